//! Walking an exported tree by handles.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;

use crate::backend::failure::Failure;
use crate::backend::removal::{Batch, Cursor, Progress, no_progress, remove};
use crate::backend::{Cause, Kind};
use crate::path::RelativePath;

use super::connection::{Connection, Session};
use super::error::failure;

/// REMOVE calls under way at a time.
const PARALLEL: usize = 16;

/// Entries that are enough for one round.
const BATCH: usize = 1024;

/// How long a walk rests before it starts again after a lost connection.
const REST: Duration = Duration::from_millis(200);

/// Removes the tree at `path`, starting again from the root on a new connection after whatever
/// may pass.
pub(crate) async fn run(
    connection: &Connection,
    path: &RelativePath,
    stall: Duration,
) -> Result<(), Failure> {
    let progress = Progress::new(stall);
    loop {
        let result = tokio::select! {
            result = once(connection, path, &progress) => result,
            () = progress.stalled() => {
                connection.discard_current();
                Err(no_progress())
            }
        };
        match result {
            Err(failure) if failure.cause == Cause::NotFound => return Ok(()),
            Err(failure) if failure.is_transient() && !progress.is_over() => {
                tracing::debug!(%path, cause = ?failure.cause, "removal starts again");
                tokio::time::sleep(REST).await;
            }
            other => return other,
        }
    }
}

async fn once(
    connection: &Connection,
    path: &RelativePath,
    progress: &Progress,
) -> Result<(), Failure> {
    let session = connection.session().await?;
    let walk = async {
        let (parent, leaf) = session.need_parent(path).await?;
        let mut walk = Walk {
            session: Arc::clone(&session),
            current: parent,
            above: Vec::new(),
            fsid: None,
        };
        remove(&mut walk, leaf.as_str().to_owned(), progress).await
    };
    walk.await.inspect_err(|failure| {
        if failure.lost || failure.cause == Cause::Stale {
            connection.discard(&session);
        }
    })
}

/// A position: the handle of the current directory and of those above it.
struct Walk {
    session: Arc<Session>,
    current: Bytes,
    above: Vec<Bytes>,
    /// The file system of the tree, known with its first directory.
    fsid: Option<u64>,
}

impl Cursor for Walk {
    type Name = String;

    async fn batch(&mut self, skip: &HashSet<String>) -> Result<Batch<String>, Failure> {
        let (listed, end) = self
            .session
            .read_directory(&self.current, |entries| entries.len() >= BATCH + skip.len())
            .await?;
        let mut batch = Batch {
            directories: Vec::new(),
            others: Vec::new(),
            end,
        };
        for entry in listed {
            if skip.contains(&entry.name) {
                continue;
            }
            let kind = match entry.stat {
                Some(stat) => stat.kind,
                None => match self.session.lookup(&self.current, &entry.name).await {
                    Ok(node) => node.stat.kind,
                    Err(failure) if failure.cause == Cause::NotFound => continue,
                    Err(failure) => return Err(failure),
                },
            };
            match kind {
                Kind::Directory => batch.directories.push(entry.name),
                Kind::File | Kind::Symlink | Kind::Other => batch.others.push(entry.name),
            }
        }
        Ok(batch)
    }

    async fn unlink(&mut self, names: Vec<String>) -> Vec<(String, Result<(), Failure>)> {
        let (session, current) = (&self.session, &self.current);
        futures::stream::iter(names)
            .map(|name| async move {
                let result = session.mount.remove(current.clone(), &name).await;
                let result = result.map_err(|error| explain(&name, failure(&error)));
                (name, result)
            })
            .buffer_unordered(PARALLEL)
            .collect()
            .await
    }

    async fn enter(&mut self, name: &String) -> Result<(), Failure> {
        let node = self.session.directory_in(&self.current, name).await?;
        let fsid = node.stat.identity.fsid;
        if *self.fsid.get_or_insert(fsid) != fsid {
            return Err(Failure::definite(
                Cause::CrossDevice,
                "another file system begins there",
            ));
        }
        self.above
            .push(std::mem::replace(&mut self.current, node.handle));
        Ok(())
    }

    async fn leave(&mut self) -> Result<(), Failure> {
        if let Some(parent) = self.above.pop() {
            self.current = parent;
        }
        Ok(())
    }

    async fn rmdir(&mut self, name: &String) -> Result<(), Failure> {
        let result = self.session.mount.rmdir(self.current.clone(), name).await;
        result.map_err(|error| explain(name, failure(&error)))
    }

    async fn pause(&mut self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

/// The crate gives names that are not UTF-8 with a replacement character, and such a name cannot
/// be sent back: "not found" would then mean "done" for something that stays.
fn explain(name: &str, failure: Failure) -> Failure {
    if failure.cause == Cause::NotFound && name.contains(char::REPLACEMENT_CHARACTER) {
        return Failure::definite(
            Cause::Io,
            "the name is not UTF-8, and the client crate cannot send it back; remove it on the \
             server or with the mount backend",
        );
    }
    failure
}
