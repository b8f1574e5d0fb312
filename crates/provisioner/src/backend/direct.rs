//! The export over NFS in this process, without a mount: NFS v3, v4.1 or v4.2 over TCP.
//!
//! Every path is resolved by handles, one LOOKUP per component from the root handle of the mount;
//! each must be a directory. Only where records are written is trusted for a second ([`known`]). READLINK is never sent. The `*_path` calls of the client crate are
//! not used: they clean paths as text.

mod connection;
mod error;
mod known;
mod operations;
mod options;
mod removal;
mod tree;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::backend::failure::{Failure, Settle};
use crate::backend::{
    Attributes, Backend, Cause, Certainty, Entry, Identity, Space, Stat, StorageError,
    StorageResult,
};
use crate::path::RelativePath;

pub use options::{DirectOptions, Version};

use connection::{Connection, Session};

/// The backend that speaks NFS itself.
#[derive(Debug)]
pub struct DirectBackend {
    connection: Connection,
}

/// Whether a call changes something, hence what running out of time means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// It looks only.
    Reads,
    /// It may have been done when its answer is missing.
    Changes,
}

/// One call as a function of the session it runs on, so that it can be run again on a new one.
type Work<'a, T> = &'a (dyn Fn(Arc<Session>) -> BoxFuture<'a, Result<T, Failure>> + Send + Sync);

impl DirectBackend {
    /// Checks the options. The first call connects.
    ///
    /// # Errors
    /// [`Cause::Unreachable`] when the options cannot name an export; the detail says which one
    /// and what is allowed.
    pub fn connect(options: DirectOptions) -> Result<Self, StorageError> {
        options
            .check()
            .map_err(|failure| failure.into_error("connect", &RelativePath::root()))?;
        Ok(Self {
            connection: Connection::new(options),
        })
    }

    /// Tells the server that the export is not used any more. The next call connects again.
    pub async fn disconnect(&self) {
        self.connection.close().await;
    }

    /// Runs `work` within `limit`, on a connection that works: one that was lost is replaced.
    ///
    /// `target` is where a rename leads; an uncertain one is looked at before it is reported.
    async fn call<'a, T: Send>(
        &'a self,
        operation: &'static str,
        path: &'a RelativePath,
        effect: Effect,
        limit: Duration,
        work: Work<'a, T>,
    ) -> StorageResult<T> {
        let result = tokio::time::timeout(limit, self.attempts(work)).await;
        let failure = match result {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(failure)) => failure,
            Err(_) => {
                // Whatever hangs, the next call gets a connection of its own.
                self.connection.discard_current();
                let detail = format!("no answer within {limit:?}");
                match effect {
                    Effect::Reads => Failure::definite(Cause::TimedOut, detail),
                    Effect::Changes => Failure::uncertain(Cause::TimedOut, detail),
                }
            }
        };
        Err(failure.into_error(operation, path))
    }

    /// At most two runs: the second on a new connection, and only when the first is known to have
    /// changed nothing.
    async fn attempts<T>(&self, work: Work<'_, T>) -> Result<T, Failure> {
        let session = self.connection.session().await?;
        let failure = match work(Arc::clone(&session)).await {
            Ok(value) => return Ok(value),
            Err(failure) => failure,
        };
        if failure.lost || failure.cause == Cause::Stale {
            self.connection.discard(&session);
        }
        if !failure.repeat {
            return Err(failure);
        }
        drop(session);
        let session = self.connection.session().await?;
        work(Arc::clone(&session)).await.inspect_err(|failure| {
            if failure.lost {
                self.connection.discard(&session);
            }
        })
    }

    /// Finds out what became of a rename whose answer was lost.
    async fn settle(&self, target: &RelativePath, failure: Failure) -> Result<(), Failure> {
        let Some(Settle { moved, reservation }) = failure.settle else {
            return Err(failure);
        };
        if failure.certainty == Certainty::Definite {
            return Err(failure);
        }
        let session = self.connection.session().await?;
        match operations::stat(&session, target).await {
            Ok(Some(found)) if found.identity == moved => Ok(()),
            // The request may still be on its way, so the outcome stays uncertain. The
            // reservation goes: it is empty, and a late rename does not need it.
            Ok(Some(found)) if Some(found.identity) == reservation => {
                let _ = operations::remove_directory(&session, target).await;
                Err(failure)
            }
            _ => Err(failure),
        }
    }

    /// A call that ends in a rename onto `target`.
    async fn call_renaming<'a>(
        &'a self,
        operation: &'static str,
        path: &'a RelativePath,
        target: &'a RelativePath,
        limit: Duration,
        work: Work<'a, ()>,
    ) -> StorageResult<()> {
        let settled = async {
            match self.attempts(work).await {
                Err(failure) => self.settle(target, failure).await,
                done => done,
            }
        };
        match tokio::time::timeout(limit, settled).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(failure)) => Err(failure.into_error(operation, path)),
            Err(_) => {
                self.connection.discard_current();
                let detail = format!("no answer within {limit:?}");
                Err(Failure::uncertain(Cause::TimedOut, detail).into_error(operation, path))
            }
        }
    }
}

#[async_trait]
impl Backend for DirectBackend {
    fn name(&self) -> &'static str {
        "direct"
    }

    async fn stat(&self, path: &RelativePath, limit: Duration) -> StorageResult<Option<Stat>> {
        self.call("stat", path, Effect::Reads, limit, &|session| {
            async move { operations::stat(&session, path).await }.boxed()
        })
        .await
    }

    async fn list(&self, path: &RelativePath, limit: Duration) -> StorageResult<Vec<Entry>> {
        self.call("list", path, Effect::Reads, limit, &|session| {
            async move { operations::list(&session, path).await }.boxed()
        })
        .await
    }

    async fn make_directory(
        &self,
        path: &RelativePath,
        mode: u32,
        limit: Duration,
    ) -> StorageResult<Identity> {
        self.call("mkdir", path, Effect::Changes, limit, &move |session| {
            async move { operations::make_directory(&session, path, mode).await }.boxed()
        })
        .await
    }

    async fn set_attributes(
        &self,
        path: &RelativePath,
        attributes: Attributes,
        limit: Duration,
    ) -> StorageResult<()> {
        self.call("setattr", path, Effect::Changes, limit, &move |session| {
            async move { operations::set_attributes(&session, path, attributes).await }.boxed()
        })
        .await
    }

    async fn rename_directory(
        &self,
        from: &RelativePath,
        to: &RelativePath,
        limit: Duration,
    ) -> StorageResult<()> {
        self.call_renaming("rename", from, to, limit, &move |session| {
            async move { operations::rename_directory(&session, from, to).await }.boxed()
        })
        .await
    }

    async fn remove_directory(&self, path: &RelativePath, limit: Duration) -> StorageResult<()> {
        self.call("rmdir", path, Effect::Changes, limit, &|session| {
            async move { operations::remove_directory(&session, path).await }.boxed()
        })
        .await
    }

    async fn remove_tree(&self, path: &RelativePath, stall: Duration) -> StorageResult<()> {
        removal::run(&self.connection, path, stall)
            .await
            .map_err(|failure| failure.into_error("remove", path))
    }

    async fn read_file(
        &self,
        path: &RelativePath,
        limit: Duration,
    ) -> StorageResult<Option<Vec<u8>>> {
        self.call("read", path, Effect::Reads, limit, &|session| {
            async move { operations::read_file(&session, path).await }.boxed()
        })
        .await
    }

    async fn write_file(
        &self,
        path: &RelativePath,
        content: &[u8],
        limit: Duration,
    ) -> StorageResult<()> {
        self.call_renaming("write", path, path, limit, &move |session| {
            async move { operations::write_file(&session, path, content).await }.boxed()
        })
        .await
    }

    async fn remove_file(&self, path: &RelativePath, limit: Duration) -> StorageResult<()> {
        self.call("unlink", path, Effect::Changes, limit, &|session| {
            async move { operations::remove_file(&session, path).await }.boxed()
        })
        .await
    }

    async fn space(&self, limit: Duration) -> StorageResult<Space> {
        let root = RelativePath::root();
        self.call("fsstat", &root, Effect::Reads, limit, &|session| {
            async move { operations::space(&session).await }.boxed()
        })
        .await
    }
}
