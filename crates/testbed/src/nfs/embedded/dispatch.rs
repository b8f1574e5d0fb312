//! From a record to its reply.

use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::Arc;

use nfs3_types::nfs3::nfs_fh3;
use nfs3_types::rpc::{accept_stat_data, rejected_reply};
use nfs3_types::xdr_codec::{Unpack, Void};
use nfs3_types::{mount as mount_protocol, nfs3};

use super::Procedure;
use super::access::Credentials;
use super::duplicates::{CallKey, Duplicates, Seen, unrepeatable};
use super::filesystem::FileSystem;
use super::hook::{Call, CallHook, Counters, Verdict};
use super::mount::{self, Mounts};
use super::procedures::{create, inspect, listing, name_changes, set_attributes, transfer};
use super::rpc::{self, NotACall, RpcCall};

/// What all connections of an export share.
pub(crate) struct Service {
    pub(crate) fs: FileSystem,
    pub(crate) export_path: String,
    pub(crate) counters: Counters,
    pub(crate) hook: Arc<dyn CallHook>,
    pub(crate) mounts: Mounts,
    pub(crate) duplicates: Duplicates,
}

/// What a record comes to.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A reply to be sent.
    Reply(Vec<u8>),
    /// Nothing: the reply of the same call, which runs already, will do.
    Nothing,
    /// The record is no call; the connection can't be trusted any more.
    Close,
}

/// Arguments, if they are well-formed and nothing follows them.
pub(crate) fn decode<A: Unpack>(arguments: &[u8]) -> Option<A> {
    let mut cursor = Cursor::new(arguments);
    let (decoded, _) = A::unpack(&mut cursor).ok()?;
    (cursor.position() == arguments.len() as u64).then_some(decoded)
}

impl Service {
    /// Carries out the call in a record. Blocks on the file system.
    pub(crate) fn answer(&self, peer: SocketAddr, record: &[u8]) -> Answer {
        let call = match rpc::parse(record) {
            Ok(call) => call,
            Err(NotACall::Refused(reply)) => return Answer::Reply(reply),
            Err(NotACall::Garbage) => return Answer::Close,
        };
        let (version, low) = match call.program {
            nfs3::PROGRAM => (nfs3::VERSION, nfs3::VERSION),
            mount_protocol::PROGRAM => (mount_protocol::VERSION, mount_protocol::VERSION),
            _ => return reply(call.xid, accept_stat_data::PROG_UNAVAIL),
        };
        if call.version != version {
            return reply(
                call.xid,
                accept_stat_data::PROG_MISMATCH { low, high: version },
            );
        }
        // NULL answers everyone (RFC 5531, section 12.1 on its use).
        let caller = match &call.caller {
            Ok(caller) => caller.clone(),
            Err(_) if call.procedure == 0 => Credentials::anonymous(),
            Err(reason) => {
                return Answer::Reply(rpc::denied(call.xid, rejected_reply::auth_error(*reason)));
            }
        };
        if call.program == mount_protocol::PROGRAM {
            return Answer::Reply(mount::answer(
                &self.fs,
                &self.mounts,
                &self.export_path,
                peer.ip(),
                &call,
            ));
        }
        let Ok(procedure) = Procedure::try_from(call.procedure) else {
            return reply(call.xid, accept_stat_data::PROC_UNAVAIL);
        };
        if !unrepeatable(procedure) {
            return Answer::Reply(self.run(procedure, &self.fs.caller(caller), &call));
        }
        let key = CallKey::new(peer, call.xid, record);
        match self.duplicates.begin(key) {
            Seen::Running => Answer::Nothing,
            Seen::Answered(reply) => Answer::Reply(reply),
            Seen::Never => {
                let reply = self.run(procedure, &self.fs.caller(caller), &call);
                self.duplicates.finish(&key, &reply);
                Answer::Reply(reply)
            }
        }
    }

    fn run(&self, procedure: Procedure, who: &Credentials, call: &RpcCall<'_>) -> Vec<u8> {
        let path = first_handle(call.arguments)
            .and_then(|handle| self.fs.handles.decode(&handle).ok())
            .map(|number| self.fs.handles.path_hint(number))
            .unwrap_or_default();
        let count = self.counters.count(procedure);
        match self.hook.before(&Call {
            procedure,
            path: &path,
            count,
        }) {
            Verdict::Proceed => {}
        }
        self.perform(procedure, who, call)
            .unwrap_or_else(|| rpc::accepted(call.xid, accept_stat_data::GARBAGE_ARGS))
    }

    /// The reply, or `None` when the arguments can't be decoded.
    fn perform(
        &self,
        procedure: Procedure,
        who: &Credentials,
        call: &RpcCall<'_>,
    ) -> Option<Vec<u8>> {
        let (fs, xid, arguments) = (&self.fs, call.xid, call.arguments);
        Some(match procedure {
            Procedure::NFSPROC3_NULL => rpc::success(xid, &Void),
            Procedure::NFSPROC3_GETATTR => {
                rpc::success(xid, &inspect::getattr(fs, &decode(arguments)?))
            }
            Procedure::NFSPROC3_SETATTR => {
                rpc::success(xid, &set_attributes::setattr(fs, who, &decode(arguments)?))
            }
            Procedure::NFSPROC3_LOOKUP => {
                rpc::success(xid, &inspect::lookup(fs, who, &decode(arguments)?))
            }
            Procedure::NFSPROC3_ACCESS => {
                rpc::success(xid, &inspect::access(fs, who, &decode(arguments)?))
            }
            Procedure::NFSPROC3_READLINK => {
                rpc::success(xid, &inspect::readlink(fs, &decode(arguments)?))
            }
            Procedure::NFSPROC3_READ => {
                rpc::success(xid, &transfer::read(fs, who, &decode(arguments)?))
            }
            Procedure::NFSPROC3_WRITE => {
                rpc::success(xid, &transfer::write(fs, who, &decode(arguments)?))
            }
            Procedure::NFSPROC3_CREATE => {
                rpc::success(xid, &create::create(fs, who, &decode(arguments)?))
            }
            Procedure::NFSPROC3_MKDIR => {
                rpc::success(xid, &create::mkdir(fs, who, &decode(arguments)?))
            }
            Procedure::NFSPROC3_SYMLINK => {
                rpc::success(xid, &create::symlink(fs, who, &decode(arguments)?))
            }
            Procedure::NFSPROC3_MKNOD => {
                rpc::success(xid, &create::mknod(fs, who, &decode(arguments)?))
            }
            Procedure::NFSPROC3_REMOVE => {
                rpc::success(xid, &name_changes::remove(fs, who, &decode(arguments)?))
            }
            Procedure::NFSPROC3_RMDIR => {
                rpc::success(xid, &name_changes::rmdir(fs, who, &decode(arguments)?))
            }
            Procedure::NFSPROC3_RENAME => {
                rpc::success(xid, &name_changes::rename(fs, who, &decode(arguments)?))
            }
            Procedure::NFSPROC3_LINK => {
                rpc::success(xid, &name_changes::link(fs, who, &decode(arguments)?))
            }
            Procedure::NFSPROC3_READDIR => {
                rpc::success(xid, &listing::readdir(fs, who, &decode(arguments)?))
            }
            Procedure::NFSPROC3_READDIRPLUS => {
                rpc::success(xid, &listing::readdirplus(fs, who, &decode(arguments)?))
            }
            Procedure::NFSPROC3_FSSTAT => {
                rpc::success(xid, &inspect::fsstat(fs, &decode(arguments)?))
            }
            Procedure::NFSPROC3_FSINFO => {
                rpc::success(xid, &inspect::fsinfo(fs, &decode(arguments)?))
            }
            Procedure::NFSPROC3_PATHCONF => {
                rpc::success(xid, &inspect::pathconf(fs, &decode(arguments)?))
            }
            Procedure::NFSPROC3_COMMIT => {
                rpc::success(xid, &transfer::commit(fs, who, &decode(arguments)?))
            }
        })
    }
}

fn reply(xid: u32, status: accept_stat_data) -> Answer {
    Answer::Reply(rpc::accepted(xid, status))
}

/// The handle that the arguments of every procedure but NULL begin with.
fn first_handle(arguments: &[u8]) -> Option<nfs_fh3> {
    let (length, _) = u32::unpack(&mut Cursor::new(arguments)).ok()?;
    if length as usize > nfs3::NFS3_FHSIZE {
        return None;
    }
    nfs_fh3::unpack(&mut Cursor::new(arguments))
        .ok()
        .map(|(handle, _)| handle)
}
