//! Calls and replies as bytes.

use std::io::Cursor;
use std::sync::Arc;

use nfs3_types::rpc::{
    RPC_VERSION_2, accept_stat_data, call_body, msg_body, opaque_auth, rejected_reply, reply_body,
    rpc_msg,
};
use nfs3_types::xdr_codec::{Pack, Unpack};

use crate::identity::Credential;

/// Marks the last fragment of a record (RFC 5531, section 11).
const LAST: u32 = 0x8000_0000;

/// A call, ready to be sent, as often as needed.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Record mark, header and arguments.
    head: Arc<[u8]>,
    /// The data of a WRITE, which ends the arguments.
    data: Arc<[u8]>,
}

/// Which procedure is called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) program: u32,
    pub(crate) version: u32,
    pub(crate) procedure: u32,
}

impl Message {
    /// A call with its arguments.
    pub(crate) fn new(
        xid: u32,
        target: (u32, u32, u32),
        who: &Credential,
        arguments: &impl Pack,
    ) -> Result<Self, nfs3_types::xdr_codec::Error> {
        Self::with_data(xid, target, who, arguments, Arc::from([]))
    }

    /// A call whose arguments end with opaque data, which is not copied: length, data, padding.
    /// `arguments` is what precedes the length; without data there is no length either.
    pub(crate) fn with_data(
        xid: u32,
        (program, version, procedure): (u32, u32, u32),
        who: &Credential,
        arguments: &impl Pack,
        data: Arc<[u8]>,
    ) -> Result<Self, nfs3_types::xdr_codec::Error> {
        let target = Target {
            program,
            version,
            procedure,
        };
        let mut head = vec![0; 4];
        rpc_msg {
            xid,
            body: msg_body::CALL(call_body {
                rpcvers: RPC_VERSION_2,
                prog: target.program,
                vers: target.version,
                proc: target.procedure,
                cred: who.wire.borrow(),
                verf: opaque_auth::default(),
            }),
        }
        .pack(&mut head)?;
        arguments.pack(&mut head)?;
        if !data.is_empty() {
            length(data.len())?.pack(&mut head)?;
        }
        let total = head.len() - 4 + data.len() + padding(data.len()).len();
        head[..4].copy_from_slice(&(length(total)? | LAST).to_be_bytes());
        Ok(Self {
            head: Arc::from(head),
            data,
        })
    }

    /// The pieces, in the order in which they are sent.
    pub(crate) fn pieces(&self) -> [&[u8]; 3] {
        [&self.head, &self.data, padding(self.data.len())]
    }
}

fn length(bytes: usize) -> Result<u32, nfs3_types::xdr_codec::Error> {
    u32::try_from(bytes)
        .ok()
        .filter(|length| *length < LAST)
        .ok_or(nfs3_types::xdr_codec::Error::ObjectTooLarge(bytes))
}

/// What fills `bytes` up to a multiple of four.
fn padding(bytes: usize) -> &'static [u8] {
    const ZEROES: [u8; 3] = [0; 3];
    &ZEROES[..bytes.wrapping_neg() & 3]
}

/// Why a reply has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplyError {
    /// The server does not take the identity.
    #[error("the server refuses the credentials: {0:?}")]
    Denied(rejected_reply),
    /// The server does not know the procedure, or could not read the call.
    #[error("the server does not carry out the call: {0:?}")]
    NotDone(accept_stat_data),
    /// The reply is not what the protocol allows.
    #[error("the reply makes no sense")]
    Garbage(#[from] nfs3_types::xdr_codec::Error),
    /// It is no reply at all.
    #[error("the message is no reply")]
    NoReply,
}

/// The result in a reply, which is a whole record.
pub(crate) fn decode_reply<R: Unpack>(reply: &[u8]) -> Result<R, ReplyError> {
    let mut input = Cursor::new(reply);
    let (message, _) = rpc_msg::unpack(&mut input)?;
    match message.body {
        msg_body::REPLY(reply_body::MSG_ACCEPTED(accepted)) => match accepted.reply_data {
            accept_stat_data::SUCCESS => Ok(R::unpack(&mut input)?.0),
            other => Err(ReplyError::NotDone(other)),
        },
        msg_body::REPLY(reply_body::MSG_DENIED(denied)) => Err(ReplyError::Denied(denied)),
        msg_body::CALL(_) => Err(ReplyError::NoReply),
    }
}

#[cfg(test)]
mod tests {
    use nfs3_types::nfs3::{WRITE3args, nfs_fh3, stable_how};
    use nfs3_types::xdr_codec::Opaque;

    use super::*;

    #[test]
    fn data_that_is_not_copied_gives_the_same_bytes() {
        for size in 1..9_u8 {
            let data: Vec<u8> = (0..size).collect();
            let file = nfs_fh3 {
                data: Opaque::owned(vec![7; 5]),
            };
            let who = Credential::new(1, 2, &[3]);
            let target = (100_003, 3, 7);
            let whole = WRITE3args {
                file: file.clone(),
                offset: 11,
                count: u32::from(size),
                stable: stable_how::UNSTABLE,
                data: Opaque::borrowed(&data),
            };
            let mut head = Vec::new();
            file.pack(&mut head).expect("packed");
            11_u64.pack(&mut head).expect("packed");
            u32::from(size).pack(&mut head).expect("packed");
            stable_how::UNSTABLE.pack(&mut head).expect("packed");
            let apart =
                Message::with_data(5, target, &who, &Raw(&head), Arc::from(data.as_slice()))
                    .expect("encoded");
            let together = Message::new(5, target, &who, &whole).expect("encoded");
            assert_eq!(apart.pieces().concat(), together.pieces().concat());
        }
    }

    struct Raw<'a>(&'a [u8]);

    impl Pack for Raw<'_> {
        fn packed_size(&self) -> usize {
            self.0.len()
        }
        fn pack(
            &self,
            output: &mut impl std::io::Write,
        ) -> Result<usize, nfs3_types::xdr_codec::Error> {
            output.write_all(self.0)?;
            Ok(self.0.len())
        }
    }

    #[test]
    fn a_record_says_its_length_and_that_it_is_the_last() {
        let call = Message::new(
            9,
            (1, 2, 3),
            &Credential::root(),
            &nfs3_types::xdr_codec::Void,
        )
        .expect("encoded");
        let bytes = call.pieces().concat();
        let mark = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        assert_eq!(mark & LAST, LAST);
        assert_eq!((mark & !LAST) as usize, bytes.len() - 4);
    }

    #[test]
    fn a_cut_reply_is_garbage() {
        assert!(matches!(
            decode_reply::<u32>(&[0, 0, 0, 1]),
            Err(ReplyError::Garbage(_))
        ));
    }
}
