//! What the client crate's errors mean to a caller.

use std::io::ErrorKind;

use nfs_rs::{
    Nfs3ErrorCode as V3, Nfs3MountErrorCode as Mnt, Nfs4ErrorCode as V4, NfsError,
    OperationOutcome, RequestTransmission,
};

use crate::backend::failure::{Failure, Special};
use crate::backend::{Cause, Certainty};

/// The failure for one call on a mounted export.
pub(crate) fn failure(error: &NfsError) -> Failure {
    let (cause, lost, special) = meaning(error);
    Failure {
        cause,
        certainty: certainty(error),
        detail: words(error),
        lost,
        repeat: repeatable(error, cause, lost),
        special,
        settle: None,
    }
}

/// The failure for an attempt to mount: nothing on the export was changed, and a missing export
/// is never a missing volume.
pub(crate) fn mounting(error: &NfsError, export: &str) -> Failure {
    let (cause, ..) = meaning(error);
    let cause = match cause {
        Cause::PermissionDenied | Cause::TimedOut => cause,
        _ => Cause::Unreachable,
    };
    Failure {
        lost: true,
        ..Failure::definite(cause, format!("mounting {export}: {}", words(error)))
    }
}

/// Cause, whether the connection is lost, and what a removal needs to know.
fn meaning(error: &NfsError) -> (Cause, bool, Special) {
    let plain = |cause| (cause, false, Special::None);
    match error {
        NfsError::Nfs3(code) => v3(code),
        NfsError::Nfs4(code) => v4(*code),
        NfsError::Mount(code) => plain(mount(code)),
        NfsError::Io(error) => (transport(error.kind()), true, Special::None),
        NfsError::OperationOutcome(outcome) => meaning(&outcome.source),
        // The server said "later" until the crate gave up.
        NfsError::ServerBusy(_) => (Cause::TimedOut, false, Special::Busy),
        NfsError::LockDenied { .. } => (Cause::Io, false, Special::Busy),
        NfsError::Rpc(text) if is_denied(text) => (Cause::PermissionDenied, true, Special::None),
        // The server answered, but not to this call: nothing more is to be had of the connection.
        NfsError::Rpc(_) | NfsError::Xdr(_) => (Cause::Io, true, Special::None),
        NfsError::ClosedResource(_)
        | NfsError::ClientClosed(_)
        | NfsError::LostOpenState(_)
        | NfsError::PositionUncertain(_) => (Cause::Unreachable, true, Special::None),
        NfsError::FileClose(failures) => failures
            .first()
            .map_or_else(|| plain(Cause::Io), |first| meaning(&first.error)),
        NfsError::Unsupported(_)
        | NfsError::InvalidInput(_)
        | NfsError::ModeViolation(_)
        | NfsError::RdattrError(_) => plain(Cause::Io),
    }
}

/// RFC 1813 section 2.6.
fn v3(code: &V3) -> (Cause, bool, Special) {
    let cause = match code {
        V3::NFS3ERR_NOENT => Cause::NotFound,
        V3::NFS3ERR_EXIST => Cause::AlreadyExists,
        V3::NFS3ERR_NOTEMPTY => Cause::NotEmpty,
        V3::NFS3ERR_NOTDIR => Cause::NotADirectory,
        V3::NFS3ERR_PERM | V3::NFS3ERR_ACCES => Cause::PermissionDenied,
        V3::NFS3ERR_NOSPC => Cause::NoSpace,
        V3::NFS3ERR_DQUOT => Cause::QuotaExceeded,
        V3::NFS3ERR_ROFS => Cause::ReadOnly,
        // A handle the server does not recognise is as good as a stale one: look it up again.
        V3::NFS3ERR_STALE | V3::NFS3ERR_BADHANDLE => Cause::Stale,
        V3::NFS3ERR_XDEV => Cause::CrossDevice,
        V3::NFS3ERR_NAMETOOLONG => Cause::NameTooLong,
        V3::NFS3ERR_JUKEBOX => return (Cause::TimedOut, false, Special::Busy),
        V3::NFS3ERR_ISDIR => return (Cause::Io, false, Special::IsDirectory),
        V3::NFS3_OK
        | V3::NFS3ERR_IO
        | V3::NFS3ERR_NXIO
        | V3::NFS3ERR_NODEV
        | V3::NFS3ERR_INVAL
        | V3::NFS3ERR_FBIG
        | V3::NFS3ERR_MLINK
        | V3::NFS3ERR_REMOTE
        | V3::NFS3ERR_NOT_SYNC
        | V3::NFS3ERR_BAD_COOKIE
        | V3::NFS3ERR_NOTSUPP
        | V3::NFS3ERR_TOOSMALL
        | V3::NFS3ERR_SERVERFAULT
        | V3::NFS3ERR_BADTYPE => Cause::Io,
    };
    (cause, false, Special::None)
}

/// RFC 8881 section 15.1. Session and state errors mean that the mount has to be made anew.
fn v4(code: V4) -> (Cause, bool, Special) {
    let cause = match code {
        V4::NFS4ERR_NOENT => Cause::NotFound,
        V4::NFS4ERR_EXIST => Cause::AlreadyExists,
        V4::NFS4ERR_NOTEMPTY => Cause::NotEmpty,
        V4::NFS4ERR_NOTDIR | V4::NFS4ERR_SYMLINK => Cause::NotADirectory,
        V4::NFS4ERR_PERM | V4::NFS4ERR_ACCESS | V4::NFS4ERR_WRONGSEC => Cause::PermissionDenied,
        V4::NFS4ERR_NOSPC => Cause::NoSpace,
        V4::NFS4ERR_DQUOT => Cause::QuotaExceeded,
        V4::NFS4ERR_ROFS => Cause::ReadOnly,
        V4::NFS4ERR_STALE | V4::NFS4ERR_FHEXPIRED | V4::NFS4ERR_BADHANDLE => Cause::Stale,
        V4::NFS4ERR_XDEV => Cause::CrossDevice,
        V4::NFS4ERR_NAMETOOLONG => Cause::NameTooLong,
        V4::NFS4ERR_DELAY | V4::NFS4ERR_GRACE | V4::NFS4ERR_FILE_OPEN => {
            return (Cause::TimedOut, false, Special::Busy);
        }
        V4::NFS4ERR_ISDIR => return (Cause::Io, false, Special::IsDirectory),
        V4::NFS4ERR_BADSESSION
        | V4::NFS4ERR_DEADSESSION
        | V4::NFS4ERR_CONN_NOT_BOUND_TO_SESSION
        | V4::NFS4ERR_EXPIRED
        | V4::NFS4ERR_STALE_CLIENTID
        | V4::NFS4ERR_STALE_STATEID
        | V4::NFS4ERR_SEQ_MISORDERED
        | V4::NFS4ERR_ADMIN_REVOKED => return (Cause::Unreachable, true, Special::None),
        _ => Cause::Io,
    };
    (cause, false, Special::None)
}

/// RFC 1813 section 5.1.
const fn mount(code: &Mnt) -> Cause {
    match code {
        Mnt::MNT3ERR_PERM | Mnt::MNT3ERR_ACCES => Cause::PermissionDenied,
        Mnt::MNT3ERR_NOENT => Cause::NotFound,
        Mnt::MNT3ERR_NOTDIR => Cause::NotADirectory,
        Mnt::MNT3ERR_NAMETOOLONG => Cause::NameTooLong,
        Mnt::MNT3_OK
        | Mnt::MNT3ERR_IO
        | Mnt::MNT3ERR_INVAL
        | Mnt::MNT3ERR_NOTSUPP
        | Mnt::MNT3ERR_SERVERFAULT => Cause::Io,
    }
}

const fn transport(kind: ErrorKind) -> Cause {
    match kind {
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Cause::TimedOut,
        _ => Cause::Unreachable,
    }
}

/// An answer of the server is definite; a request whose answer is missing is not, unless it only
/// looked or was never sent.
fn certainty(error: &NfsError) -> Certainty {
    match error.operation_outcome().map(|outcome| outcome.outcome) {
        Some(OperationOutcome::Uncertain) => Certainty::Uncertain,
        Some(OperationOutcome::DefiniteFailure | OperationOutcome::SafeToRetry) => {
            Certainty::Definite
        }
        None => match error {
            NfsError::Io(_)
                if error.request_transmission() != Some(RequestTransmission::NotSent) =>
            {
                Certainty::Uncertain
            }
            NfsError::Rpc(_) | NfsError::Xdr(_) | NfsError::PositionUncertain(_) => {
                Certainty::Uncertain
            }
            _ => Certainty::Definite,
        },
    }
}

/// Whether the call can be run again at once: after a stale handle, or when the connection was
/// lost without anything having been changed.
fn repeatable(error: &NfsError, cause: Cause, lost: bool) -> bool {
    let definite = certainty(error) == Certainty::Definite;
    definite && (cause == Cause::Stale || (lost && cause == Cause::Unreachable))
}

/// The crate's text for a denied RPC (RFC 5531 section 9), which means rejected credentials.
fn is_denied(text: &str) -> bool {
    text.contains("bad status")
}

/// The failure when the server does not even tell the attributes of the root, which need no
/// permission (RFC 1813 section 3.3.1): Linux answers so to `AUTH_SYS` on an export with Kerberos
/// only, after a MOUNT that went well. Version 3 has no status of its own for it.
pub(crate) fn looking_at_root(error: &NfsError, export: &str) -> Failure {
    let failure = failure(error);
    if failure.cause == Cause::PermissionDenied {
        return Failure {
            lost: true,
            ..Failure::definite(
                Cause::PermissionDenied,
                format!("mounting {export}: {KERBEROS}"),
            )
        };
    }
    mounting(error, export)
}

const KERBEROS: &str = "the server does not accept AUTH_SYS for this export (sec=krb5?): export it \
                        with sec=sys, or use the mount backend";

/// Unless told otherwise every call is made as root, whom a file system refuses nothing. Where a
/// server does, it takes root for somebody else, as a rule (nfs-subdir #34, #98, #158, #285).
const SQUASHED: &str = "calls are made as root unless --nfs-client-uid names another user: if the server \
                        squashes root, export it with no_root_squash, or give that other user the \
                        right to write there";

/// The server's words, with advice where the crate's own say little.
fn words(error: &NfsError) -> String {
    match error {
        NfsError::Nfs3(V3::NFS3ERR_PERM | V3::NFS3ERR_ACCES)
        | NfsError::Nfs4(V4::NFS4ERR_PERM | V4::NFS4ERR_ACCESS) => {
            format!("{error} ({SQUASHED})")
        }
        NfsError::Nfs4(V4::NFS4ERR_WRONGSEC) => KERBEROS.to_owned(),
        NfsError::Rpc(text) if is_denied(text) => KERBEROS.to_owned(),
        NfsError::OperationOutcome(outcome) => words(&outcome.source),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use nfs_rs::{
        NFSVersion, OperationClass, OperationOutcomeError, RecoveryAction, RequestContext,
    };
    use rstest::rstest;

    use super::*;

    fn outcome(outcome: OperationOutcome, source: NfsError) -> NfsError {
        let context = RequestContext {
            operation: "mkdir".to_owned(),
            protocol: NFSVersion::NFSv3,
            request_id: None,
        };
        NfsError::OperationOutcome(Box::new(OperationOutcomeError::new(
            outcome,
            OperationClass::ReplaySensitive,
            RecoveryAction::VerifyThenResume,
            context,
            source,
        )))
    }

    fn broken() -> NfsError {
        NfsError::Io(ErrorKind::ConnectionReset.into())
    }

    #[rstest]
    #[case(V3::NFS3ERR_NOENT, Cause::NotFound)]
    #[case(V3::NFS3ERR_EXIST, Cause::AlreadyExists)]
    #[case(V3::NFS3ERR_NOTEMPTY, Cause::NotEmpty)]
    #[case(V3::NFS3ERR_NOTDIR, Cause::NotADirectory)]
    #[case(V3::NFS3ERR_ACCES, Cause::PermissionDenied)]
    #[case(V3::NFS3ERR_PERM, Cause::PermissionDenied)]
    #[case(V3::NFS3ERR_NOSPC, Cause::NoSpace)]
    #[case(V3::NFS3ERR_DQUOT, Cause::QuotaExceeded)]
    #[case(V3::NFS3ERR_ROFS, Cause::ReadOnly)]
    #[case(V3::NFS3ERR_STALE, Cause::Stale)]
    #[case(V3::NFS3ERR_XDEV, Cause::CrossDevice)]
    #[case(V3::NFS3ERR_NAMETOOLONG, Cause::NameTooLong)]
    #[case(V3::NFS3ERR_SERVERFAULT, Cause::Io)]
    fn an_answer_is_definite(#[case] code: V3, #[case] cause: Cause) {
        let failure = failure(&NfsError::Nfs3(code));
        assert_eq!(
            (failure.cause, failure.certainty),
            (cause, Certainty::Definite)
        );
        assert!(!failure.lost);
        assert_eq!(failure.repeat, cause == Cause::Stale);
    }

    #[test]
    fn a_change_without_an_answer_is_uncertain_and_not_repeated() {
        let failure = failure(&outcome(OperationOutcome::Uncertain, broken()));
        assert_eq!(failure.cause, Cause::Unreachable);
        assert_eq!(failure.certainty, Certainty::Uncertain);
        assert!(failure.lost && !failure.repeat);
    }

    #[rstest]
    #[case(OperationOutcome::DefiniteFailure)]
    #[case(OperationOutcome::SafeToRetry)]
    fn what_changed_nothing_is_repeated_on_a_new_connection(#[case] kind: OperationOutcome) {
        let failure = failure(&outcome(kind, broken()));
        assert_eq!(failure.certainty, Certainty::Definite);
        assert!(failure.lost && failure.repeat);
    }

    #[test]
    fn an_export_that_is_missing_is_unreachable_and_not_empty() {
        let failure = mounting(&NfsError::Mount(Mnt::MNT3ERR_NOENT), "nas:/export");
        assert_eq!(failure.cause, Cause::Unreachable);
        assert!(failure.detail.contains("nas:/export"), "{}", failure.detail);
        let failure = mounting(&NfsError::Mount(Mnt::MNT3ERR_ACCES), "nas:/export");
        assert_eq!(failure.cause, Cause::PermissionDenied);
    }

    #[test]
    fn a_server_that_refuses_root_may_squash_it() {
        for error in [
            NfsError::Nfs3(V3::NFS3ERR_ACCES),
            NfsError::Nfs4(V4::NFS4ERR_PERM),
        ] {
            let failure = failure(&outcome(OperationOutcome::DefiniteFailure, error));
            assert_eq!(failure.cause, Cause::PermissionDenied);
            let said = failure.detail;
            assert!(said.contains("no_root_squash"), "{said}");
        }
        let failure = failure(&NfsError::Nfs3(V3::NFS3ERR_ROFS));
        assert!(!failure.detail.contains("squash"), "{}", failure.detail);
    }

    #[test]
    fn kerberos_is_named() {
        for error in [
            NfsError::Nfs4(V4::NFS4ERR_WRONGSEC),
            NfsError::Rpc("could not parse response due to bad status".to_owned()),
        ] {
            let failure = mounting(&error, "nas:/export");
            assert_eq!(failure.cause, Cause::PermissionDenied);
            assert!(failure.detail.contains("sec=krb5"), "{}", failure.detail);
        }
        let failure = looking_at_root(&NfsError::Nfs3(V3::NFS3ERR_ACCES), "nas:/export");
        assert_eq!(failure.cause, Cause::PermissionDenied);
        assert!(failure.detail.contains("sec=krb5"), "{}", failure.detail);
        let failure = looking_at_root(&broken(), "nas:/export");
        assert_eq!(failure.cause, Cause::Unreachable);
        assert!(!failure.detail.contains("krb5"), "{}", failure.detail);
    }
}
