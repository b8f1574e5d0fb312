//! Calls and replies of ONC RPC version 2 (RFC 5531), and `AUTH_SYS` credentials (appendix A).

use std::io::{Cursor, Read};

use nfs3_types::rpc::{
    RPC_VERSION_2, accept_stat_data, accepted_reply, auth_stat, msg_body, opaque_auth,
    rejected_reply, reply_body, rpc_msg,
};
use nfs3_types::xdr_codec::{Pack, Unpack};

use super::access::Credentials;

const CALL: u32 = 0;
const AUTH_NONE: u32 = 0;
const AUTH_SYS: u32 = 1;
/// The longest body of credentials or verifier.
const AUTH_MAX: u32 = 400;
/// The most supplementary groups of `AUTH_SYS`.
const GROUPS_MAX: u32 = 16;
/// The longest machine name of `AUTH_SYS`.
const MACHINE_MAX: u32 = 255;

/// A call, taken apart.
#[derive(Debug)]
pub(crate) struct RpcCall<'a> {
    pub(crate) xid: u32,
    pub(crate) program: u32,
    pub(crate) version: u32,
    pub(crate) procedure: u32,
    /// Who calls, or why the credentials don't count.
    pub(crate) caller: Result<Credentials, auth_stat>,
    /// The arguments, still encoded.
    pub(crate) arguments: &'a [u8],
}

/// A record that is no call to be carried out.
#[derive(Debug)]
pub(crate) enum NotACall {
    /// Not even a header: the connection is of no use.
    Garbage,
    /// A reply says what is wrong.
    Refused(Vec<u8>),
}

/// Takes a record apart.
pub(crate) fn parse(record: &[u8]) -> Result<RpcCall<'_>, NotACall> {
    let mut cursor = Cursor::new(record);
    let mut word = || u32::unpack(&mut cursor).map(|(word, _)| word).ok();
    let (Some(xid), Some(CALL)) = (word(), word()) else {
        return Err(NotACall::Garbage);
    };
    if word() != Some(RPC_VERSION_2) {
        return Err(NotACall::Refused(denied(
            xid,
            rejected_reply::rpc_mismatch(RPC_VERSION_2, RPC_VERSION_2),
        )));
    }
    let (Some(program), Some(version), Some(procedure)) = (word(), word(), word()) else {
        return Err(NotACall::Garbage);
    };
    let flavour = word().ok_or(NotACall::Garbage)?;
    let body = opaque(&mut cursor).ok_or(NotACall::Garbage)?;
    // The verifier: only its place matters, these flavours have none.
    let (Ok(_), Some(_)) = (u32::unpack(&mut cursor), opaque(&mut cursor)) else {
        return Err(NotACall::Garbage);
    };
    let caller = match flavour {
        AUTH_NONE => Ok(Credentials::anonymous()),
        AUTH_SYS => auth_sys(&body).ok_or(auth_stat::AUTH_BADCRED),
        _ => Err(auth_stat::AUTH_REJECTEDCRED),
    };
    let start = usize::try_from(cursor.position()).unwrap_or(record.len());
    Ok(RpcCall {
        xid,
        program,
        version,
        procedure,
        caller,
        arguments: &record[start..],
    })
}

/// Opaque bytes of bounded length. The library's decoder would reserve whatever length is claimed.
fn opaque(cursor: &mut Cursor<&[u8]>) -> Option<Vec<u8>> {
    let (length, _) = u32::unpack(cursor).ok()?;
    if length > AUTH_MAX {
        return None;
    }
    let mut padded = vec![0; length.next_multiple_of(4) as usize];
    cursor.read_exact(&mut padded).ok()?;
    padded.truncate(length as usize);
    Some(padded)
}

fn auth_sys(body: &[u8]) -> Option<Credentials> {
    let mut cursor = Cursor::new(body);
    let (_stamp, _) = u32::unpack(&mut cursor).ok()?;
    let machine = opaque(&mut cursor)?;
    if machine.len() > MACHINE_MAX as usize {
        return None;
    }
    let (uid, _) = u32::unpack(&mut cursor).ok()?;
    let (gid, _) = u32::unpack(&mut cursor).ok()?;
    let (count, _) = u32::unpack(&mut cursor).ok()?;
    if count > GROUPS_MAX {
        return None;
    }
    let mut groups = Vec::with_capacity(count as usize);
    for _ in 0..count {
        groups.push(u32::unpack(&mut cursor).ok()?.0);
    }
    Some(Credentials { uid, gid, groups })
}

fn encode(xid: u32, body: reply_body<'_>) -> Vec<u8> {
    let message = rpc_msg {
        xid,
        body: msg_body::REPLY(body),
    };
    let mut encoded = Vec::with_capacity(message.packed_size());
    if let Err(error) = message.pack(&mut encoded) {
        // Writing into memory does not fail; if it did, the client sees a reply cut short.
        tracing::error!(%error, xid, "reply header was not encoded");
    }
    encoded
}

/// A reply that the call is refused for its version or credentials.
pub(crate) fn denied(xid: u32, reason: rejected_reply) -> Vec<u8> {
    encode(xid, reply_body::MSG_DENIED(reason))
}

/// A reply without a result, or the header of one with a result.
pub(crate) fn accepted(xid: u32, reply_data: accept_stat_data) -> Vec<u8> {
    encode(
        xid,
        reply_body::MSG_ACCEPTED(accepted_reply {
            verf: opaque_auth::default(),
            reply_data,
        }),
    )
}

/// A reply with a result.
pub(crate) fn success(xid: u32, result: &impl Pack) -> Vec<u8> {
    let mut reply = accepted(xid, accept_stat_data::SUCCESS);
    reply.reserve(result.packed_size());
    match result.pack(&mut reply) {
        Ok(_) => reply,
        Err(error) => {
            tracing::error!(%error, xid, "result was not encoded");
            accepted(xid, accept_stat_data::SYSTEM_ERR)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn credentials_are_taken_apart() {
        // Flavour, length, stamp, machine "a", user, group, two groups; then an empty verifier.
        let header = [7, 0, 2, 100_003, 3, 1];
        let auth = [
            1,
            32,
            9,
            1,
            u32::from_be_bytes(*b"a\0\0\0"),
            1000,
            100,
            2,
            5,
            6,
        ];
        let record = words(&[&header[..], &auth, &[0, 0, 42]].concat());
        let call = parse(&record).expect("a call");
        assert_eq!((call.xid, call.program, call.procedure), (7, 100_003, 1));
        assert_eq!(
            call.caller.expect("credentials"),
            Credentials {
                uid: 1000,
                gid: 100,
                groups: vec![5, 6]
            }
        );
        assert_eq!(call.arguments, 42u32.to_be_bytes());
    }

    #[test]
    fn no_name_is_anonymous_and_other_flavours_are_refused() {
        let record = words(&[7, 0, 2, 100_003, 3, 1, 0, 0, 0, 0]);
        let call = parse(&record).expect("a call");
        assert_eq!(call.caller, Ok(Credentials::anonymous()));
        let record = words(&[7, 0, 2, 100_003, 3, 1, 6, 4, 0, 0, 0]);
        let call = parse(&record).expect("a call");
        assert_eq!(call.caller, Err(auth_stat::AUTH_REJECTEDCRED));
    }

    #[test]
    fn too_many_groups_are_bad_credentials() {
        let groups = [1; 17];
        let auth = [1, 20 + 4 * 17, 0, 0, 1, 1, 17];
        let record = words(&[&[7, 0, 2, 100_003, 3, 1][..], &auth, &groups, &[0, 0]].concat());
        let call = parse(&record).expect("a call");
        assert_eq!(call.caller, Err(auth_stat::AUTH_BADCRED));
    }

    #[test]
    fn other_versions_of_rpc_are_told_which_one_works() {
        let record = words(&[7, 0, 3, 100_003, 3, 1, 0, 0, 0, 0]);
        let Err(NotACall::Refused(reply)) = parse(&record) else {
            panic!("a call of RPC version 3 was taken");
        };
        assert_eq!(reply, words(&[7, 1, 1, 0, 2, 2]));
    }

    #[test]
    fn replies_and_scraps_are_no_calls() {
        for record in [&words(&[7, 1, 0])[..], &[1, 2, 3], &words(&[7, 0, 2, 1])] {
            assert!(matches!(parse(record), Err(NotACall::Garbage)));
        }
    }
}
