//! The view itself: how it calls the server and finds what is at a path.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use nfs3_client::{Nfs3Client, RpcError};
use nfs3_types::nfs3::{
    ACCESS3args, GETATTR3args, LOOKUP3args, Nfs3Option, Nfs3Result, diropargs3, fattr3, filename3,
    ftype3, nfs_fh3, nfsstat3,
};
use tokio::sync::Mutex;

use super::ViewError;
use super::connection::{self, Connection, LIMIT, Stream, User};
use super::manifest::{FileKind, FileStat};
use crate::nfs::ExportTarget;

/// A call that is running.
type Running<'a, T> = Pin<Box<dyn Future<Output = Result<T, RpcError>> + Send + 'a>>;

/// An export as a client sees it. It connects when it is first used; clones share the connection.
#[derive(Debug, Clone)]
pub struct ExportView {
    target: Arc<ExportTarget>,
    user: Arc<User>,
    limit: Duration,
    connection: Arc<Mutex<Option<Connection>>>,
}

/// The names of a path.
pub(crate) fn parts(path: &str) -> Result<Vec<&str>, ViewError> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if parts
        .iter()
        .any(|part| *part == "." || *part == ".." || part.contains('\0'))
    {
        return Err(ViewError::Path {
            path: path.to_owned(),
        });
    }
    Ok(parts)
}

fn kind(kind: ftype3) -> FileKind {
    match kind {
        ftype3::NF3REG => FileKind::File,
        ftype3::NF3DIR => FileKind::Directory,
        ftype3::NF3LNK => FileKind::Symlink,
        ftype3::NF3BLK | ftype3::NF3CHR | ftype3::NF3SOCK | ftype3::NF3FIFO => FileKind::Other,
    }
}

pub(crate) fn file_stat(attributes: &fattr3) -> FileStat {
    FileStat {
        kind: kind(attributes.type_),
        mode: attributes.mode & 0o7777,
        uid: attributes.uid,
        gid: attributes.gid,
        size: attributes.size,
        fileid: attributes.fileid,
        nlink: attributes.nlink,
    }
}

pub(crate) fn entry_of<'a>(directory: &nfs_fh3, name: &'a str) -> diropargs3<'a> {
    diropargs3 {
        dir: directory.clone(),
        name: filename3::from(name.as_bytes()),
    }
}

impl ExportView {
    /// A view as user 0 and group 0.
    pub fn new(info: ExportTarget) -> Self {
        Self {
            target: Arc::new(info),
            user: Arc::new(User {
                uid: 0,
                gid: 0,
                groups: Vec::new(),
            }),
            limit: LIMIT,
            connection: Arc::default(),
        }
    }

    /// The same view with another limit on each call and on the mount; 10 s if never set.
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// The same export as another user; at most 16 supplementary groups go over the wire.
    #[must_use]
    pub fn as_user(&self, uid: u32, gid: u32, groups: Vec<u32>) -> Self {
        Self {
            target: Arc::clone(&self.target),
            user: Arc::new(User { uid, gid, groups }),
            limit: self.limit,
            connection: Arc::default(),
        }
    }

    /// What is looked at.
    pub fn target(&self) -> &ExportTarget {
        &self.target
    }

    /// One call that changes something. It is sent once: when its reply is lost, it may have
    /// happened or not.
    pub(crate) async fn change<T: Send>(
        &self,
        operation: &'static str,
        path: &str,
        call: impl for<'c> Fn(&'c mut Nfs3Client<Stream>) -> Running<'c, T>,
    ) -> Result<T, ViewError> {
        let mut slot = self.connection.lock().await;
        self.send(&mut slot, operation, path, &call).await
    }

    /// One call that only looks. After a broken connection it is sent once more.
    pub(crate) async fn look<T: Send>(
        &self,
        operation: &'static str,
        path: &str,
        call: impl for<'c> Fn(&'c mut Nfs3Client<Stream>) -> Running<'c, T>,
    ) -> Result<T, ViewError> {
        let mut slot = self.connection.lock().await;
        let used_before = slot.is_some();
        match self.send(&mut slot, operation, path, &call).await {
            Err(ViewError::Call {
                source: RpcError::Io(_),
                ..
            }) if used_before => self.send(&mut slot, operation, path, &call).await,
            result => result,
        }
    }

    async fn send<T>(
        &self,
        slot: &mut Option<Connection>,
        operation: &'static str,
        path: &str,
        call: &impl for<'c> Fn(&'c mut Nfs3Client<Stream>) -> Running<'c, T>,
    ) -> Result<T, ViewError> {
        // Taken out while the call runs: a call that is cancelled, or fails half-way, must not
        // leave its late reply to the next one.
        let mut connection = match slot.take() {
            Some(connection) => connection,
            None => connection::mount(&self.target, &self.user, self.limit).await?,
        };
        let answered = tokio::time::timeout(self.limit, call(&mut connection.client)).await;
        match answered {
            Ok(Ok(result)) => {
                *slot = Some(connection);
                Ok(result)
            }
            Ok(Err(source)) => Err(ViewError::Call {
                operation,
                path: path.to_owned(),
                export: connection::name(&self.target),
                source,
            }),
            Err(_elapsed) => Err(ViewError::Timeout {
                operation,
                path: path.to_owned(),
                export: connection::name(&self.target),
                limit: self.limit,
            }),
        }
    }

    /// The server's refusal of a call.
    pub(crate) fn refused(
        &self,
        operation: &'static str,
        path: &str,
        status: nfsstat3,
    ) -> ViewError {
        ViewError::Refused {
            operation,
            path: path.to_owned(),
            export: connection::name(&self.target),
            status,
        }
    }

    /// A result of the protocol as one of this view.
    pub(crate) fn checked<T, E>(
        &self,
        operation: &'static str,
        path: &str,
        result: Nfs3Result<T, E>,
    ) -> Result<T, ViewError> {
        match result {
            Nfs3Result::Ok(value) => Ok(value),
            Nfs3Result::Err((status, _)) => Err(self.refused(operation, path, status)),
        }
    }

    pub(crate) async fn attributes(
        &self,
        object: &nfs_fh3,
        path: &str,
    ) -> Result<fattr3, ViewError> {
        let result = self
            .look("GETATTR", path, |client| {
                let object = object.clone();
                Box::pin(async move { client.getattr(&GETATTR3args { object }).await })
            })
            .await?;
        Ok(self.checked("GETATTR", path, result)?.obj_attributes)
    }

    /// The root. Asking for its attributes shows a broken connection before a change is sent, and
    /// a server that was started anew, whose handles are others.
    async fn root(&self) -> Result<(nfs_fh3, fattr3), ViewError> {
        for last in [false, true] {
            let root = {
                let mut slot = self.connection.lock().await;
                if slot.is_none() {
                    *slot = Some(connection::mount(&self.target, &self.user, self.limit).await?);
                }
                slot.as_ref().map(|connection| connection.root.clone())
            };
            let Some(root) = root else { continue };
            match self.attributes(&root, "").await {
                Err(error)
                    if !last
                        && matches!(
                            error.status(),
                            Some(nfsstat3::NFS3ERR_STALE | nfsstat3::NFS3ERR_BADHANDLE)
                        ) =>
                {
                    *self.connection.lock().await = None;
                }
                result => return Ok((root, result?)),
            }
        }
        Err(self.refused("GETATTR", "", nfsstat3::NFS3ERR_STALE))
    }

    /// The object at a path.
    pub(crate) async fn find(&self, path: &str) -> Result<(nfs_fh3, fattr3), ViewError> {
        let parts = parts(path)?;
        let (mut handle, mut attributes) = self.root().await?;
        for part in parts {
            (handle, attributes) = self.child(&handle, part, path).await?;
        }
        Ok((handle, attributes))
    }

    /// The object at a path, or `None` when something on the way to it isn't there.
    pub(crate) async fn find_if_there(
        &self,
        path: &str,
    ) -> Result<Option<(nfs_fh3, fattr3)>, ViewError> {
        match self.find(path).await {
            Ok(found) => Ok(Some(found)),
            Err(error)
                if matches!(
                    error.status(),
                    Some(nfsstat3::NFS3ERR_NOENT | nfsstat3::NFS3ERR_NOTDIR)
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn child(
        &self,
        directory: &nfs_fh3,
        name: &str,
        path: &str,
    ) -> Result<(nfs_fh3, fattr3), ViewError> {
        let result = self
            .look("LOOKUP", path, |client| {
                let (directory, name) = (directory.clone(), name.to_owned());
                Box::pin(async move {
                    let what = entry_of(&directory, &name);
                    client.lookup(&LOOKUP3args { what }).await
                })
            })
            .await?;
        let found = self.checked("LOOKUP", path, result)?;
        let attributes = match found.obj_attributes {
            Nfs3Option::Some(attributes) => attributes,
            Nfs3Option::None => self.attributes(&found.object, path).await?,
        };
        Ok((found.object, attributes))
    }

    /// The directory that a path's last name is in, and that name.
    pub(crate) async fn place<'p>(
        &self,
        operation: &'static str,
        path: &'p str,
    ) -> Result<(nfs_fh3, &'p str), ViewError> {
        let parts = parts(path)?;
        let Some((name, above)) = parts.split_last() else {
            return Err(ViewError::Root {
                operation,
                export: connection::name(&self.target),
            });
        };
        let (directory, _) = self.find(&above.join("/")).await?;
        Ok((directory, name))
    }

    /// Asks as a mounting kernel does before it opens a file: the mode bits count for the owner too.
    pub(crate) async fn require(
        &self,
        object: &nfs_fh3,
        path: &str,
        wanted: u32,
    ) -> Result<(), ViewError> {
        let result = self
            .look("ACCESS", path, |client| {
                let object = object.clone();
                Box::pin(async move {
                    let access = wanted;
                    client.access(&ACCESS3args { object, access }).await
                })
            })
            .await?;
        if self.checked("ACCESS", path, result)?.access & wanted == wanted {
            Ok(())
        } else {
            Err(self.refused("ACCESS", path, nfsstat3::NFS3ERR_ACCES))
        }
    }
}
