//! The single calls on one session.

use bytes::Bytes;
use nfs_rs::{NFSVersion, OPEN_READ};

use crate::backend::failure::{Failure, Settle};
use crate::backend::temporary::{FILE_MAX, fits, temporary_name};
use crate::backend::{Attributes, Cause, Certainty, Entry, Identity, Kind, Space, Stat};
use crate::path::{Component, RelativePath};

use super::connection::Session;
use super::error::failure;
use super::tree::Node;

/// Nobody but the owner gets into a directory that only reserves a name.
const PRIVATE: u32 = 0o700;

pub(crate) async fn stat(session: &Session, path: &RelativePath) -> Result<Option<Stat>, Failure> {
    match session.resolve(path).await {
        Ok(node) => Ok(Some(node.stat)),
        Err(failure) if failure.cause == Cause::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

pub(crate) async fn list(session: &Session, path: &RelativePath) -> Result<Vec<Entry>, Failure> {
    let directory = session.directory(path).await?;
    let (listed, _) = session.read_directory(&directory.handle, |_| false).await?;
    let mut entries = Vec::with_capacity(listed.len());
    for entry in listed {
        let stat = match entry.stat {
            Some(stat) => stat,
            None => match session.lookup(&directory.handle, &entry.name).await {
                Ok(node) => node.stat,
                // Removed since the listing began.
                Err(failure) if failure.cause == Cause::NotFound => continue,
                Err(failure) => return Err(failure),
            },
        };
        entries.push(Entry {
            name: entry.name,
            stat,
        });
    }
    Ok(entries)
}

pub(crate) async fn make_directory(
    session: &Session,
    path: &RelativePath,
    mode: u32,
) -> Result<Identity, Failure> {
    let (parent, leaf) = session.need_parent(path).await?;
    let new = make(session, &parent, leaf, mode).await?;
    // The server may apply a default of its own to MKDIR.
    if new.stat.mode != mode & 0o7777
        && let Err(failure) = set(session, &new.handle, Some(mode), None, None).await
    {
        let failure = failure.after_a_change();
        return Err(undo_directory(session, &parent, leaf, new.stat.identity, failure).await);
    }
    Ok(new.stat.identity)
}

pub(crate) async fn set_attributes(
    session: &Session,
    path: &RelativePath,
    attributes: Attributes,
) -> Result<(), Failure> {
    let node = session.resolve(path).await?;
    if node.stat.kind == Kind::Symlink {
        let name = path.leaf().map_or("/", Component::as_str);
        return Err(Failure::not_a_directory(name, node.stat.kind));
    }
    set(
        session,
        &node.handle,
        attributes.mode,
        attributes.uid,
        attributes.gid,
    )
    .await
}

pub(crate) async fn rename_directory(
    session: &Session,
    from: &RelativePath,
    to: &RelativePath,
) -> Result<(), Failure> {
    if from.contains(to) && from != to {
        return Err(Failure::definite(
            Cause::Io,
            format!("`{to}` lies inside the source"),
        ));
    }
    let (source_parent, source) = session.need_parent(from).await?;
    let (target_parent, target) = session.need_parent(to).await?;
    let moved = session
        .directory_in(&source_parent, source.as_str())
        .await?
        .stat
        .identity;
    let reservation = make(session, &target_parent, target, PRIVATE)
        .await
        .map_err(|failure| Failure {
            detail: format!("`{to}`: {}", failure.detail),
            ..failure
        })?
        .stat
        .identity;
    // Replaces the reservation only while it is empty, and never with anything but a directory
    // (RFC 1813 section 3.3.14).
    let renamed = session
        .mount
        .rename(
            source_parent,
            source.as_str(),
            target_parent.clone(),
            target.as_str(),
        )
        .await;
    let Err(error) = renamed else { return Ok(()) };
    let failure = failure(&error).after_a_change();
    if failure.certainty == Certainty::Uncertain {
        let settle = Settle {
            moved,
            reservation: Some(reservation),
        };
        return Err(Failure {
            settle: Some(settle),
            ..failure
        });
    }
    let failure = undo_directory(session, &target_parent, target, reservation, failure).await;
    // With both statuses the server also says that source and target do not go together.
    if matches!(failure.cause, Cause::NotEmpty | Cause::AlreadyExists) {
        return Err(Failure::definite(
            Cause::AlreadyExists,
            format!("something was put into `{to}` while it was reserved, or the source changed"),
        ));
    }
    Err(failure)
}

pub(crate) async fn remove_directory(
    session: &Session,
    path: &RelativePath,
) -> Result<(), Failure> {
    let (parent, leaf) = session.need_parent(path).await?;
    session
        .mount
        .rmdir(parent, leaf.as_str())
        .await
        .map_err(|e| failure(&e))
}

pub(crate) async fn read_file(
    session: &Session,
    path: &RelativePath,
) -> Result<Option<Vec<u8>>, Failure> {
    match content(session, path).await {
        Ok(content) => Ok(Some(content)),
        Err(failure) if failure.cause == Cause::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

async fn content(session: &Session, path: &RelativePath) -> Result<Vec<u8>, Failure> {
    let Some((parent, leaf)) = session.parent_of(path).await? else {
        return Err(Failure::not_a_file(Kind::Directory));
    };
    let node = session.lookup(&parent, leaf.as_str()).await?;
    if node.stat.kind != Kind::File {
        return Err(Failure::not_a_file(node.stat.kind));
    }
    if !fits(node.stat.size) {
        return Err(too_long());
    }
    // Version 3 has no OPEN; the handle is what is read.
    if session.mount.version() == NFSVersion::NFSv3 {
        return read(session, &node.handle, node.stat.size).await;
    }
    let opened = session
        .mount
        .open(parent, leaf.as_str(), OPEN_READ)
        .await
        .map_err(|e| failure(&e))?;
    let content = read(session, &opened.fh, node.stat.size).await;
    close(session, opened.fh).await;
    content
}

async fn read(session: &Session, handle: &Bytes, size: u64) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    while (content.len() as u64) < size {
        let rest = u32::try_from(size - content.len() as u64).unwrap_or(u32::MAX);
        let part = session
            .mount
            .read(handle.clone(), content.len() as u64, rest)
            .await
            .map_err(|e| failure(&e))?;
        if part.is_empty() {
            break;
        }
        content.extend_from_slice(&part);
    }
    Ok(content)
}

pub(crate) async fn write_file(
    session: &Session,
    path: &RelativePath,
    content: &[u8],
) -> Result<(), Failure> {
    if !fits(content.len() as u64) {
        return Err(too_long());
    }
    let (parent, leaf) = session.parent_to_write(path).await?;
    // The crate's create is not exclusive. A name nobody can guess stands in for that, and a look
    // at what was made: a new, empty, regular file. A create that was refused may be run again: what it
    // may leave after all is a temporary file, and nothing points at that.
    let temporary = temporary_name();
    let made = session
        .mount
        .create(parent.clone(), &temporary, Some(0o600))
        .await
        .map_err(|e| failure(&e))?;
    let made = session.node(made).await.map_err(Failure::after_a_change)?;
    let stored = if made.stat.kind == Kind::File && made.stat.size == 0 {
        store(session, &made, content).await
    } else {
        Err(Failure::definite(
            Cause::AlreadyExists,
            format!("`{temporary}` was there before"),
        ))
    };
    close(session, made.handle.clone()).await;
    let renamed = match stored {
        Ok(()) => session
            .mount
            .rename(parent.clone(), &temporary, parent.clone(), leaf.as_str())
            .await
            .map_err(|e| failure(&e)),
        Err(failure) => Err(failure),
    };
    let Err(failure) = renamed else { return Ok(()) };
    let mut failure = failure.after_a_change();
    if failure.certainty == Certainty::Uncertain {
        failure.settle = Some(Settle {
            moved: made.stat.identity,
            reservation: None,
        });
    } else if !failure.lost {
        // Nothing points at the temporary file; what stays behind is recognised by its name.
        let _ = session.mount.remove(parent, &temporary).await;
    }
    Err(failure)
}

/// Writes and commits: the data is on stable storage when this returns (RFC 1813 section 3.3.21).
/// The crate writes UNSTABLE, and checks the write verifier with the commit.
async fn store(session: &Session, file: &Node, content: &[u8]) -> Result<(), Failure> {
    let most = usize::try_from(session.mount.get_max_write_size())
        .unwrap_or(FILE_MAX)
        .max(1);
    let content = Bytes::copy_from_slice(content);
    let mut outcomes = Vec::new();
    let mut offset = 0;
    while offset < content.len() {
        let part = content.slice(offset..content.len().min(offset + most));
        let outcome = session
            .mount
            .write(file.handle.clone(), offset as u64, part)
            .await
            .map_err(|e| failure(&e))?;
        if outcome.count == 0 {
            return Err(Failure::definite(Cause::Io, "the server took no data"));
        }
        offset += usize::try_from(outcome.count).unwrap_or(usize::MAX);
        outcomes.push(outcome);
    }
    session
        .mount
        .commit_write_batch(file.handle.clone(), 0, 0, &outcomes)
        .await
        .map_err(|e| failure(&e))
}

pub(crate) async fn remove_file(session: &Session, path: &RelativePath) -> Result<(), Failure> {
    match unlink(session, path).await {
        Err(failure) if failure.cause == Cause::NotFound => Ok(()),
        other => other,
    }
}

async fn unlink(session: &Session, path: &RelativePath) -> Result<(), Failure> {
    let Some((parent, leaf)) = session.parent_of(path).await? else {
        return Err(Failure::not_a_file(Kind::Directory));
    };
    // REMOVE may take a directory on some servers (RFC 1813 section 3.3.12).
    let node = session.lookup(&parent, leaf.as_str()).await?;
    if node.stat.kind == Kind::Directory {
        return Err(Failure::not_a_file(node.stat.kind));
    }
    session
        .mount
        .remove(parent, leaf.as_str())
        .await
        .map_err(|e| failure(&e))
}

pub(crate) async fn space(session: &Session) -> Result<Space, Failure> {
    let told = session.mount.fsstat().await.map_err(|e| failure(&e))?;
    Ok(Space {
        bytes_free: told.abytes,
        inodes_free: told.afiles,
    })
}

/// MKDIR, which is exclusive.
async fn make(
    session: &Session,
    parent: &Bytes,
    leaf: &Component,
    mode: u32,
) -> Result<Node, Failure> {
    let new = session
        .mount
        .mkdir(parent.clone(), leaf.as_str(), mode)
        .await
        .map_err(|e| failure(&e))?;
    session.node(new).await.map_err(|failure| {
        Failure {
            certainty: Certainty::Uncertain,
            ..failure
        }
        .after_a_change()
    })
}

async fn set(
    session: &Session,
    handle: &Bytes,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
) -> Result<(), Failure> {
    if mode.is_none() && uid.is_none() && gid.is_none() {
        return Ok(());
    }
    session
        .mount
        .setattr(handle.clone(), None, mode, uid, gid, None, None, None)
        .await
        .map_err(|e| failure(&e))
}

/// Takes back a directory that was just made, if it still is the same and empty. Then nothing was
/// changed after all; otherwise the outcome is for the caller to look at.
async fn undo_directory(
    session: &Session,
    parent: &Bytes,
    leaf: &Component,
    made: Identity,
    failure: Failure,
) -> Failure {
    let undone = match session.lookup(parent, leaf.as_str()).await {
        Ok(node) if node.stat.identity == made => session
            .mount
            .rmdir(parent.clone(), leaf.as_str())
            .await
            .map_err(|error| error.to_string()),
        Ok(_) => Err("somebody replaced it".to_owned()),
        Err(missing) if missing.cause == Cause::NotFound => Ok(()),
        Err(other) => Err(other.detail),
    };
    match undone {
        Ok(()) => failure,
        Err(reason) => Failure {
            certainty: Certainty::Uncertain,
            detail: format!(
                "{}; `{leaf}` was made and stays behind: {reason}",
                failure.detail
            ),
            ..failure
        },
    }
}

/// Releases what an open or create holds on the server; nothing to do for version 3.
async fn close(session: &Session, handle: Bytes) {
    if let Err(error) = session.mount.close(handle).await {
        tracing::debug!(%error, "the server did not take the close");
    }
}

fn too_long() -> Failure {
    Failure::definite(Cause::Io, format!("it is longer than {FILE_MAX} bytes"))
}
