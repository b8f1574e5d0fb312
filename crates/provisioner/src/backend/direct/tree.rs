//! Handles: from a path to an object, and what an object is.

use bytes::Bytes;
use nfs_rs::{Attr, DirectoryCookie, ObjRes};
use tokio::time::Instant;

use crate::backend::failure::Failure;
use crate::backend::{Cause, Identity, Kind, Stat};
use crate::constants::{RECORDS, STATE_DIRECTORY};
use crate::path::{Component, RelativePath};

use super::connection::Session;
use super::error::failure;

/// How often a listing is begun again because the server forgot its place in it.
const RESTARTS: usize = 4;

/// An object by its handle.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) handle: Bytes,
    pub(crate) stat: Stat,
}

/// One entry of a listing; attributes and handle are left out by some servers.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) stat: Option<Stat>,
}

impl Session {
    /// The object at `path`.
    pub(crate) async fn resolve(&self, path: &RelativePath) -> Result<Node, Failure> {
        if let Some((parent, leaf)) = self.parent_of(path).await? {
            return self.lookup(&parent, leaf.as_str()).await;
        }
        let attributes = self
            .mount
            .getattr(self.root.clone())
            .await
            .map_err(|e| failure(&e))?;
        Ok(Node {
            handle: self.root.clone(),
            stat: stat(&attributes),
        })
    }

    /// Handle of the parent and the last component; `None` for the root.
    pub(crate) async fn parent_of<'p>(
        &self,
        path: &'p RelativePath,
    ) -> Result<Option<(Bytes, &'p Component)>, Failure> {
        let Some((leaf, parents)) = path.components().split_last() else {
            return Ok(None);
        };
        let mut current = self.root.clone();
        for component in parents {
            current = self
                .directory_in(&current, component.as_str())
                .await?
                .handle;
        }
        Ok(Some((current, leaf)))
    }

    /// The same for a file that is written: the handle of a directory of records may be [known].
    ///
    /// [known]: super::known
    pub(crate) async fn parent_to_write<'p>(
        &self,
        path: &'p RelativePath,
    ) -> Result<(Bytes, &'p Component), Failure> {
        let Some((leaf, parents)) = path.components().split_last() else {
            return Err(Failure::not_a_file(Kind::Directory));
        };
        if !holds_records(parents) {
            return self.need_parent(path).await;
        }
        if let Some(handle) = self.known.get(parents) {
            return Ok((handle, leaf));
        }
        let asked = Instant::now();
        let (handle, leaf) = self.need_parent(path).await?;
        self.known.put(parents, handle.clone(), asked);
        Ok((handle, leaf))
    }

    /// The same for a call that cannot apply to the root.
    pub(crate) async fn need_parent<'p>(
        &self,
        path: &'p RelativePath,
    ) -> Result<(Bytes, &'p Component), Failure> {
        self.parent_of(path).await?.ok_or_else(Failure::is_the_root)
    }

    /// A directory, which must be one.
    pub(crate) async fn directory(&self, path: &RelativePath) -> Result<Node, Failure> {
        let node = self.resolve(path).await?;
        if node.stat.kind == Kind::Directory {
            Ok(node)
        } else {
            let name = path.leaf().map_or("/", Component::as_str);
            Err(Failure::not_a_directory(name, node.stat.kind))
        }
    }

    /// A directory in another one.
    pub(crate) async fn directory_in(&self, parent: &Bytes, name: &str) -> Result<Node, Failure> {
        let node = self.lookup(parent, name).await?;
        if node.stat.kind == Kind::Directory {
            Ok(node)
        } else {
            Err(Failure::not_a_directory(name, node.stat.kind))
        }
    }

    /// One LOOKUP. The answer is about the link itself where there is one.
    pub(crate) async fn lookup(&self, parent: &Bytes, name: &str) -> Result<Node, Failure> {
        let found = self
            .mount
            .lookup(parent.clone(), name)
            .await
            .map_err(|e| failure(&e))?;
        self.node(found).await
    }

    /// Asks for attributes when the answer came without (they are optional in version 3).
    pub(crate) async fn node(&self, found: ObjRes) -> Result<Node, Failure> {
        let stat = match found.attr {
            Some(attributes) => stat(&attributes),
            None => stat(
                &self
                    .mount
                    .getattr(found.fh.clone())
                    .await
                    .map_err(|e| failure(&e))?,
            ),
        };
        Ok(Node {
            handle: found.fh,
            stat,
        })
    }

    /// Entries of a directory from the beginning, until `enough` says so of the number read.
    ///
    /// Returns them with whether these are all. A server that forgot its place, because the
    /// directory changed, is asked again from the beginning.
    pub(crate) async fn read_directory(
        &self,
        directory: &Bytes,
        mut enough: impl FnMut(&[Listed]) -> bool + Send,
    ) -> Result<(Vec<Listed>, bool), Failure> {
        for _ in 0..RESTARTS {
            if let Some(listing) = self.pages(directory, &mut enough).await? {
                return Ok(listing);
            }
            tracing::debug!("the server forgot its place in a directory");
        }
        Err(Failure::definite(
            Cause::Io,
            "the directory changes faster than it can be listed",
        ))
    }

    async fn pages(
        &self,
        directory: &Bytes,
        enough: &mut (impl FnMut(&[Listed]) -> bool + Send),
    ) -> Result<Option<(Vec<Listed>, bool)>, Failure> {
        let mut entries = Vec::new();
        let mut position = DirectoryCookie::default();
        let mut seen = std::collections::HashSet::new();
        loop {
            let page = match self
                .mount
                .readdirplus_page(directory.clone(), position)
                .await
            {
                Ok(page) => page,
                Err(error) if error.is_bad_directory_cookie() => return Ok(None),
                Err(error) => return Err(failure(&error)),
            };
            entries.extend(page.entries.into_iter().map(|entry| Listed {
                name: entry.file_name,
                stat: entry.attr.as_ref().map(stat),
            }));
            if page.eof {
                return Ok(Some((entries, true)));
            }
            if enough(&entries) {
                return Ok(Some((entries, false)));
            }
            if !seen.insert(page.next.cookie) {
                return Err(Failure::definite(
                    Cause::Io,
                    "the server lists a directory in circles",
                ));
            }
            position = page.next;
        }
    }
}

/// Whether this is `.claimcheck/<owner>/records`, which is never renamed.
fn holds_records(directory: &[Component]) -> bool {
    matches!(directory, [top, _, last] if top.as_str() == STATE_DIRECTORY && last.as_str() == RECORDS)
}

/// The crate's attributes as ours. The types are `ftype3` of RFC 1813 section 2.5; `nfs_ftype4`
/// of RFC 8881 section 3.3.13 agrees on those that matter.
pub(crate) fn stat(attributes: &Attr) -> Stat {
    Stat {
        identity: Identity {
            fsid: attributes.fsid,
            fileid: attributes.fileid,
        },
        kind: match attributes.type_ {
            1 => Kind::File,
            2 => Kind::Directory,
            5 => Kind::Symlink,
            _ => Kind::Other,
        },
        mode: attributes.file_mode & 0o7777,
        uid: attributes.uid,
        gid: attributes.gid,
        size: attributes.filesize,
    }
}
