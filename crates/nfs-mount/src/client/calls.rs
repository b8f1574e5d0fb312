//! One function for each procedure of NFS (RFC 1813, section 3.3).

mod data;
mod export;
mod listing;
mod names;
mod objects;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use nfs3_types::nfs3::{
    NFS_PROGRAM, Nfs3Result, PROGRAM, VERSION, cookieverf3, diropargs3, fattr3, filename3, ftype3,
    nfs_fh3, nfsstat3, writeverf3,
};
#[cfg(test)]
use nfs3_types::xdr_codec::Opaque;
use nfs3_types::xdr_codec::{Pack, Unpack};
use nix::errno::Errno;

use super::errno_of;
use super::setup::Server;
use crate::identity::Credential;
use crate::options::{Options, Retry};
use crate::rpc::{CallError, Link, LinkOptions, Message, Patience, ReplyError, decode_reply};

/// How long to wait when the server says "later" (RFC 1813, `NFS3ERR_JUKEBOX`).
const LATER: Duration = Duration::from_secs(1);

/// What a call leads to: a value, or the error that its caller sees.
pub(crate) type Outcome<T> = Result<T, Errno>;

/// Why a call has no result.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// The server refuses; the second tells whether the call was sent more than once.
    Refused(nfsstat3, bool),
    /// The call did not get through.
    Link(Errno),
}

impl Fault {
    /// The error that a caller sees.
    pub(crate) fn errno(self) -> Errno {
        match self {
            Self::Refused(status, _) => errno_of(status),
            Self::Link(errno) => errno,
        }
    }
}

/// An object that was found or made.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) handle: nfs_fh3,
    pub(crate) attributes: fattr3,
}

/// What became of a WRITE.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    /// How many bytes were taken.
    pub(crate) count: u32,
    /// Whether they are on stable storage.
    pub(crate) stable: bool,
    /// Differs when the server was restarted, and may have lost what is not stable.
    pub(crate) verifier: writeverf3,
}

/// A page of a directory.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) entries: Vec<Entry>,
    pub(crate) last: bool,
    pub(crate) verifier: cookieverf3,
}

/// An entry of a directory.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) fileid: u64,
    pub(crate) kind: Option<ftype3>,
    pub(crate) cookie: u64,
}

/// A server's export.
#[derive(Debug)]
pub(crate) struct Client {
    link: Arc<Link>,
    server: Server,
    root: RwLock<nfs_fh3>,
    anybody: Credential,
    time_over: Errno,
    no_plus: AtomicBool,
}

impl Client {
    /// A client of an export that was found.
    pub(crate) fn new(server: Server, root: nfs_fh3, options: &Options) -> Self {
        let link = Link::new(LinkOptions {
            host: server.host.clone(),
            // The address that MOUNT answered at, as the kernel's client: a name that leads
            // somewhere else later must not move a mount to another server.
            address: Some(server.nfs.ip()),
            port: server.nfs.port(),
            socket: server.socket,
            timeout: options.timeout,
            limit: options.limit(),
        });
        Self {
            link,
            server,
            root: RwLock::new(root),
            anybody: Credential::root(),
            time_over: match options.retry {
                Retry::SoftErr => Errno::ETIMEDOUT,
                Retry::Hard | Retry::Soft => Errno::EIO,
            },
            no_plus: AtomicBool::new(false),
        }
    }

    /// What carries the calls.
    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Where the server is.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// The handle of the root.
    pub(crate) fn root(&self) -> nfs_fh3 {
        self.root
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Asks MOUNT for the root again, after its handle became stale: a server whose handles do not
    /// outlive it was started anew. `false` if it is still the same handle.
    pub(crate) fn find_root_again(&self, stale: &nfs_fh3) -> bool {
        match self.server.mount() {
            Ok(found) => {
                let mut root = self.root.write().unwrap_or_else(PoisonError::into_inner);
                let changed = found != *stale;
                if changed {
                    tracing::warn!(server = %self.server.host, "root has a new handle");
                    *root = found;
                }
                changed
            }
            Err(error) => {
                tracing::warn!(error = error.text(), "root was not found again");
                false
            }
        }
    }

    fn broken(&self, error: CallError) -> Fault {
        Fault::Link(match error {
            CallError::Killed => Errno::EINTR,
            CallError::TimeOver => self.time_over,
            CallError::Closed => Errno::ENODEV,
        })
    }

    fn exchange<T: Unpack, E: Unpack>(
        &self,
        procedure: NFS_PROGRAM,
        who: &Credential,
        arguments: &impl Pack,
        patience: &Patience,
    ) -> Result<T, Fault> {
        self.exchange_data::<T, E>(procedure, who, arguments, &Arc::from([]), patience)
    }

    fn exchange_data<T: Unpack, E: Unpack>(
        &self,
        procedure: NFS_PROGRAM,
        who: &Credential,
        arguments: &impl Pack,
        data: &Arc<[u8]>,
        patience: &Patience,
    ) -> Result<T, Fault> {
        loop {
            let xid = self.link.next_xid();
            let target = (PROGRAM, VERSION, procedure as u32);
            let message = Message::with_data(xid, target, who, arguments, Arc::clone(data))
                .map_err(|_| Fault::Link(Errno::EINVAL))?;
            let answer = self
                .link
                .call(xid, &message, patience)
                .map_err(|error| self.broken(error))?;
            match decode_reply::<Nfs3Result<T, E>>(&answer.record) {
                Ok(Nfs3Result::Ok(value)) => return Ok(value),
                Ok(Nfs3Result::Err((nfsstat3::NFS3ERR_JUKEBOX, _))) => self
                    .link
                    .pause(LATER, patience)
                    .map_err(|error| self.broken(error))?,
                Ok(Nfs3Result::Err((status, _))) => {
                    return Err(Fault::Refused(status, answer.repeated));
                }
                Err(error) => {
                    tracing::warn!(%procedure, %error, "call failed");
                    return Err(Fault::Link(match error {
                        ReplyError::Denied(_) => Errno::EACCES,
                        ReplyError::NotDone(_) => Errno::EOPNOTSUPP,
                        ReplyError::Garbage(_) | ReplyError::NoReply => Errno::EIO,
                    }));
                }
            }
        }
    }
}

fn entry<'a>(directory: &nfs_fh3, name: &'a [u8]) -> diropargs3<'a> {
    diropargs3 {
        dir: directory.clone(),
        name: filename3::from(name),
    }
}

/// An empty handle, for where there is none yet.
#[cfg(test)]
pub(crate) fn handle(bytes: &[u8]) -> nfs_fh3 {
    nfs_fh3 {
        data: Opaque::owned(bytes.to_vec()),
    }
}
