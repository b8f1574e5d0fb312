//! The directory behind an export, where it is on this machine.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::manifest::{FileKind, Manifest, ManifestEntry};
use super::{ExportView, ViewError};

/// Bytes as lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl ExportView {
    /// The tree at `path` straight from the server's directory; `None` when there is no such thing.
    /// Blocks on the file system. Links are not followed.
    ///
    /// # Errors
    /// When the target has no directory, or it can't be read.
    pub fn local_manifest(&self, path: &str) -> Result<Option<Manifest>, ViewError> {
        let Some(root) = self.local_path(path)? else {
            return Err(ViewError::Local {
                path: path.to_owned(),
                source: io::Error::new(
                    io::ErrorKind::Unsupported,
                    "the export's directory is not on this machine",
                ),
            });
        };
        match fs::symlink_metadata(&root) {
            Err(error) if absent(&error) => return Ok(None),
            Err(source) => return Err(local(&root, source)),
            Ok(_) => {}
        }
        let mut entries = Vec::new();
        let mut open = vec![(root, String::new())];
        while let Some((at, name)) = open.pop() {
            let entry = entry(&at, name).map_err(|source| local(&at, source))?;
            if entry.kind == FileKind::Directory {
                for child in fs::read_dir(&at).map_err(|source| local(&at, source))? {
                    let child = child.map_err(|source| local(&at, source))?;
                    let below = child.file_name().to_string_lossy().into_owned();
                    open.push((child.path(), join(&entry.path, &below)));
                }
            }
            entries.push(entry);
        }
        Ok(Some(Manifest::new(entries)))
    }

    /// Whether there is something at `path` in the server's directory; `None` without a directory
    /// to look into, or when it can't be told. A link counts itself.
    pub fn local_exists(&self, path: &str) -> Option<bool> {
        let at = self.local_path(path).ok()??;
        match fs::symlink_metadata(at) {
            Ok(_) => Some(true),
            Err(error) if absent(&error) => Some(false),
            Err(_) => None,
        }
    }

    fn local_path(&self, path: &str) -> Result<Option<PathBuf>, ViewError> {
        let parts = super::client::parts(path)?;
        Ok(self.target().directory.as_ref().map(|directory| {
            let mut at = directory.as_std_path().to_owned();
            at.extend(parts);
            at
        }))
    }
}

/// A path below another, `""` being the root.
pub(crate) fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() {
        name.to_owned()
    } else if name.is_empty() {
        parent.to_owned()
    } else {
        format!("{parent}/{name}")
    }
}

fn absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn local(path: &Path, source: io::Error) -> ViewError {
    ViewError::Local {
        path: path.display().to_string(),
        source,
    }
}

fn entry(at: &Path, path: String) -> io::Result<ManifestEntry> {
    let metadata = fs::symlink_metadata(at)?;
    let kind = if metadata.is_dir() {
        FileKind::Directory
    } else if metadata.is_symlink() {
        FileKind::Symlink
    } else if metadata.is_file() {
        FileKind::File
    } else {
        FileKind::Other
    };
    let is_file = kind == FileKind::File;
    Ok(ManifestEntry {
        path,
        kind,
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        size: if is_file { metadata.len() } else { 0 },
        sha256: if is_file { Some(digest(at)?) } else { None },
        target: if kind == FileKind::Symlink {
            Some(fs::read_link(at)?.to_string_lossy().into_owned())
        } else {
            None
        },
    })
}

fn digest(at: &Path) -> io::Result<String> {
    let mut file = File::open(at)?;
    let mut hasher = Sha256::new();
    let mut block = vec![0; 64 * 1024];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hex(&hasher.finalize())),
            count => hasher.update(&block[..count]),
        }
    }
}
