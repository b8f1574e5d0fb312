//! What the kernel's error numbers mean to a caller.

use nix::errno::Errno;
use nix::unistd::geteuid;

use crate::backend::failure::{Failure, Special};
use crate::backend::{Cause, Certainty};

use super::Effect;

/// The failure for one kernel call.
///
/// A soft mount that gives up answers `ETIMEDOUT` or, on older kernels, `EIO`; `EINTR` says that
/// nobody waited for the answer. The server may have done what was asked, so a change that ends
/// this way is uncertain.
pub(crate) fn failure(errno: Errno, effect: Effect) -> Failure {
    let cause = cause(errno);
    let detail = match cause {
        Cause::PermissionDenied => format!("{errno} ({})", refused(geteuid().is_root())),
        _ => errno.to_string(),
    };
    let mut failure = Failure::definite(cause, detail);
    let unanswered = matches!(cause, Cause::TimedOut | Cause::Unreachable)
        || matches!(errno, Errno::EIO | Errno::EINTR);
    if effect == Effect::Changes && unanswered {
        failure.certainty = Certainty::Uncertain;
    }
    failure.repeat = cause == Cause::Stale;
    failure.special = match errno {
        Errno::EBUSY => Special::Busy,
        Errno::EISDIR => Special::IsDirectory,
        _ => Special::None,
    };
    failure
}

/// What may be done about a refusal (nfs-subdir #34, #98, #158, #285).
const fn refused(root: bool) -> &'static str {
    if root {
        "this process is root: if the server squashes root, export it with no_root_squash, or run this as a user \
         who may write there"
    } else {
        "this process is not root: set runAsUser: 0, or give its user the right to write to the export's root"
    }
}

/// A call that looks only.
pub(crate) fn reading(errno: Errno) -> Failure {
    failure(errno, Effect::Reads)
}

/// A call that changes something.
pub(crate) fn changing(errno: Errno) -> Failure {
    failure(errno, Effect::Changes)
}

const fn cause(errno: Errno) -> Cause {
    match errno {
        Errno::ENOENT => Cause::NotFound,
        Errno::EEXIST => Cause::AlreadyExists,
        Errno::ENOTEMPTY => Cause::NotEmpty,
        // ELOOP is how the kernel says that a symbolic link was not followed.
        Errno::ENOTDIR | Errno::ELOOP => Cause::NotADirectory,
        Errno::EACCES | Errno::EPERM => Cause::PermissionDenied,
        Errno::ENOSPC => Cause::NoSpace,
        Errno::EDQUOT => Cause::QuotaExceeded,
        Errno::EROFS => Cause::ReadOnly,
        Errno::ESTALE => Cause::Stale,
        Errno::EXDEV => Cause::CrossDevice,
        Errno::ENAMETOOLONG => Cause::NameTooLong,
        Errno::ETIMEDOUT => Cause::TimedOut,
        Errno::EHOSTUNREACH
        | Errno::EHOSTDOWN
        | Errno::ENETUNREACH
        | Errno::ENETDOWN
        | Errno::ECONNREFUSED
        | Errno::ECONNRESET
        | Errno::ECONNABORTED
        | Errno::ENOTCONN
        | Errno::EPIPE => Cause::Unreachable,
        _ => Cause::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(Errno::ENOENT, Cause::NotFound)]
    #[case(Errno::EEXIST, Cause::AlreadyExists)]
    #[case(Errno::ENOTEMPTY, Cause::NotEmpty)]
    #[case(Errno::ENOTDIR, Cause::NotADirectory)]
    #[case(Errno::ELOOP, Cause::NotADirectory)]
    #[case(Errno::EACCES, Cause::PermissionDenied)]
    #[case(Errno::EPERM, Cause::PermissionDenied)]
    #[case(Errno::ENOSPC, Cause::NoSpace)]
    #[case(Errno::EDQUOT, Cause::QuotaExceeded)]
    #[case(Errno::EROFS, Cause::ReadOnly)]
    #[case(Errno::EXDEV, Cause::CrossDevice)]
    #[case(Errno::ENAMETOOLONG, Cause::NameTooLong)]
    fn a_refusal_is_definite(#[case] errno: Errno, #[case] cause: Cause) {
        let failure = changing(errno);
        assert_eq!(
            (failure.cause, failure.certainty),
            (cause, Certainty::Definite)
        );
        assert!(!failure.repeat);
    }

    #[rstest]
    #[case(Errno::ETIMEDOUT, Cause::TimedOut)]
    #[case(Errno::EHOSTUNREACH, Cause::Unreachable)]
    #[case(Errno::EIO, Cause::Io)]
    #[case(Errno::EINTR, Cause::Io)]
    fn a_change_without_an_answer_is_uncertain(#[case] errno: Errno, #[case] cause: Cause) {
        assert_eq!(changing(errno).cause, cause);
        assert_eq!(changing(errno).certainty, Certainty::Uncertain);
        assert_eq!(reading(errno).certainty, Certainty::Definite);
    }

    #[rstest]
    #[case(Errno::EACCES)]
    #[case(Errno::EPERM)]
    fn a_refusal_says_what_may_be_done(#[case] errno: Errno) {
        let advice = refused(geteuid().is_root());
        assert!(changing(errno).detail.contains(advice));
        assert!(reading(errno).detail.contains(advice));
        assert!(refused(true).contains("no_root_squash"));
        assert!(refused(false).contains("runAsUser: 0"));
        assert!(!changing(Errno::EROFS).detail.contains(advice));
    }

    #[test]
    fn a_stale_handle_is_resolved_again() {
        let failure = changing(Errno::ESTALE);
        assert_eq!((failure.cause, failure.repeat), (Cause::Stale, true));
    }
}
