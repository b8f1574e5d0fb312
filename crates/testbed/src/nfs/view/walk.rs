//! Looks at whole directories and trees.

use nfs3_types::nfs3::{
    Nfs3Option, READDIRPLUS3args, REMOVE3args, RMDIR3args, cookieverf3, fattr3, nfs_fh3, nfsstat3,
};
use sha2::{Digest, Sha256};

use super::client::{entry_of, file_stat};
use super::local::{hex, join};
use super::manifest::{FileKind, Manifest, ManifestEntry};
use super::{ExportView, ViewError};

/// How much a page of a directory may hold.
const PAGE: u32 = 64 * 1024;

/// How often a removal begins anew when objects vanish under it.
const REMOVALS: usize = 5;

/// An entry of a directory: its name and the object.
struct Listed {
    name: String,
    object: nfs_fh3,
    attributes: fattr3,
}

impl ExportView {
    /// The names in a directory, sorted, without `.` and `..`.
    ///
    /// # Errors
    /// When it is missing or no directory, when the server refuses, or does not answer.
    pub async fn list(&self, path: &str) -> Result<Vec<String>, ViewError> {
        let (directory, _) = self.find(path).await?;
        let mut names: Vec<String> = self
            .pages(&directory, path)
            .await?
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    /// All entries, with the object where the server tells it.
    async fn pages(
        &self,
        directory: &nfs_fh3,
        path: &str,
    ) -> Result<Vec<(String, Option<(nfs_fh3, fattr3)>)>, ViewError> {
        let mut found = Vec::new();
        let (mut cookie, mut cookieverf) = (0, cookieverf3::default());
        loop {
            let result = self
                .look("READDIRPLUS", path, |client| {
                    let args = READDIRPLUS3args {
                        dir: directory.clone(),
                        cookie,
                        cookieverf,
                        dircount: PAGE,
                        maxcount: PAGE,
                    };
                    Box::pin(async move { client.readdirplus(&args).await })
                })
                .await?;
            let page = self.checked("READDIRPLUS", path, result)?;
            cookieverf = page.cookieverf;
            let before = cookie;
            for entry in page.reply.entries.into_inner() {
                cookie = entry.cookie;
                let name = String::from_utf8_lossy(entry.name.as_ref()).into_owned();
                if name == "." || name == ".." {
                    continue;
                }
                let object = match (entry.name_handle, entry.name_attributes) {
                    (Nfs3Option::Some(handle), Nfs3Option::Some(attributes)) => {
                        Some((handle, attributes))
                    }
                    _ => None,
                };
                found.push((name, object));
            }
            if page.reply.eof {
                return Ok(found);
            }
            if cookie == before {
                // Neither an entry nor an end: a server's fault, and an endless loop otherwise.
                return Err(self.refused("READDIRPLUS", path, nfsstat3::NFS3ERR_SERVERFAULT));
            }
        }
    }

    async fn children(&self, directory: &nfs_fh3, path: &str) -> Result<Vec<Listed>, ViewError> {
        let mut children = Vec::new();
        for (name, object) in self.pages(directory, path).await? {
            let at = join(path, &name);
            let (object, attributes) = match object {
                Some(found) => found,
                None => match self.child(directory, &name, &at).await {
                    Ok(found) => found,
                    // Went in the meantime.
                    Err(error) if error.is_missing() => continue,
                    Err(error) => return Err(error),
                },
            };
            children.push(Listed {
                name,
                object,
                attributes,
            });
        }
        Ok(children)
    }

    /// Removes whatever is at `path`, with everything below it. A link goes itself, what it leads
    /// to stays. What is not there is no error.
    ///
    /// # Errors
    /// When the server refuses, or does not answer; part of the tree may be gone then.
    pub async fn remove_tree(&self, path: &str) -> Result<(), ViewError> {
        for _ in 1..REMOVALS {
            match self.remove_once(path).await {
                // Somebody else removes the same tree: what is left of it is looked up anew.
                Err(error) if error.status() == Some(nfsstat3::NFS3ERR_STALE) => {}
                ended => return ended,
            }
        }
        self.remove_once(path).await
    }

    async fn remove_once(&self, path: &str) -> Result<(), ViewError> {
        let (parent, name) = match self.place("REMOVE", path).await {
            Ok(place) => place,
            Err(error) if error.is_missing() => return Ok(()),
            Err(error) => return Err(error),
        };
        let (top, attributes) = match self.child(&parent, name, path).await {
            Ok(found) => found,
            Err(error) if error.is_missing() => return Ok(()),
            Err(error) => return Err(error),
        };
        if file_stat(&attributes).kind != FileKind::Directory {
            return self.remove_file(&parent, name, path).await;
        }
        // Directories in the order they were found: each comes after the one it is in.
        let mut directories = vec![(parent, name.to_owned(), top, path.to_owned())];
        let mut next = 0;
        while next < directories.len() {
            let (_, _, directory, at) = directories[next].clone();
            next += 1;
            for child in self.children(&directory, &at).await? {
                let below = join(&at, &child.name);
                if file_stat(&child.attributes).kind == FileKind::Directory {
                    directories.push((directory.clone(), child.name, child.object, below));
                } else {
                    self.remove_file(&directory, &child.name, &below).await?;
                }
            }
        }
        for (parent, name, _, at) in directories.iter().rev() {
            self.remove_directory(parent, name, at).await?;
        }
        Ok(())
    }

    async fn remove_file(
        &self,
        directory: &nfs_fh3,
        name: &str,
        path: &str,
    ) -> Result<(), ViewError> {
        let result = self
            .change("REMOVE", path, |client| {
                let (directory, name) = (directory.clone(), name.to_owned());
                Box::pin(async move {
                    let object = entry_of(&directory, &name);
                    client.remove(&REMOVE3args { object }).await
                })
            })
            .await?;
        absent_is_fine(self.checked("REMOVE", path, result).map(drop))
    }

    async fn remove_directory(
        &self,
        directory: &nfs_fh3,
        name: &str,
        path: &str,
    ) -> Result<(), ViewError> {
        let result = self
            .change("RMDIR", path, |client| {
                let (directory, name) = (directory.clone(), name.to_owned());
                Box::pin(async move {
                    let object = entry_of(&directory, &name);
                    client.rmdir(&RMDIR3args { object }).await
                })
            })
            .await?;
        absent_is_fine(self.checked("RMDIR", path, result).map(drop))
    }

    /// Everything at and below `path`, over the protocol. Files are read.
    ///
    /// # Errors
    /// When there is no such thing, when the server refuses, or does not answer.
    pub async fn manifest(&self, path: &str) -> Result<Manifest, ViewError> {
        let (top, attributes) = self.find(path).await?;
        let mut entries = Vec::new();
        let mut open = vec![(top, attributes, String::new())];
        while let Some((object, attributes, name)) = open.pop() {
            let at = join(path, &name);
            let entry = self.entry(&object, &attributes, &at, name).await?;
            if entry.kind == FileKind::Directory {
                for child in self.children(&object, &at).await? {
                    let below = join(&entry.path, &child.name);
                    open.push((child.object, child.attributes, below));
                }
            }
            entries.push(entry);
        }
        Ok(Manifest::new(entries))
    }

    async fn entry(
        &self,
        object: &nfs_fh3,
        attributes: &fattr3,
        at: &str,
        path: String,
    ) -> Result<ManifestEntry, ViewError> {
        let stat = file_stat(attributes);
        let (mut size, mut sha256, mut target) = (0, None, None);
        match stat.kind {
            FileKind::File => {
                let content = self.read_object(object, at).await?;
                size = content.len() as u64;
                sha256 = Some(hex(&Sha256::digest(&content)));
            }
            FileKind::Symlink => target = Some(self.target_of(object, at).await?),
            FileKind::Directory | FileKind::Other => {}
        }
        Ok(ManifestEntry {
            path,
            kind: stat.kind,
            mode: stat.mode,
            uid: stat.uid,
            gid: stat.gid,
            size,
            sha256,
            target,
        })
    }
}

fn absent_is_fine(result: Result<(), ViewError>) -> Result<(), ViewError> {
    match result {
        Err(error) if error.is_missing() => Ok(()),
        result => result,
    }
}
