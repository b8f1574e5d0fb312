//! What is in a directory tree, in a form that can be compared.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The kind of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A FIFO, socket or device.
    Other,
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Symlink => "symbolic link",
            Self::Other => "special file",
        })
    }
}

/// Attributes of an object itself; of a link, not of what it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStat {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits with set-id and sticky, such as `0o755`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length in bytes.
    pub size: u64,
    /// The inode number on the server.
    pub fileid: u64,
    /// How many names it has.
    pub nlink: u32,
}

/// An object of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestEntry {
    /// Path below the tree's root; `""` for the root itself. Bytes that are no UTF-8 are replaced.
    pub path: String,
    /// What it is.
    pub kind: FileKind,
    /// Permission bits with set-id and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length in bytes of a file; 0 for everything else, where it says nothing.
    pub size: u64,
    /// Digest of a file's content, in hexadecimal.
    pub sha256: Option<String>,
    /// Where a symbolic link leads.
    pub target: Option<String>,
}

/// Everything in a tree, sorted by path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The objects; the first is the tree's root.
    pub entries: Vec<ManifestEntry>,
}

impl Manifest {
    /// A manifest of entries in any order.
    pub(crate) fn new(mut entries: Vec<ManifestEntry>) -> Self {
        entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Self { entries }
    }

    /// The entry of a path.
    pub fn get(&self, path: &str) -> Option<&ManifestEntry> {
        self.entries
            .binary_search_by(|entry| entry.path.as_str().cmp(path))
            .ok()
            .map(|index| &self.entries[index])
    }

    /// What is different, one line each; empty when nothing is. Owners are left out, since without
    /// root the directory behind an export can't have those that the protocol tells.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let by_path = |manifest: &Self| -> BTreeMap<String, ManifestEntry> {
            manifest
                .entries
                .iter()
                .map(|entry| (entry.path.clone(), entry.clone()))
                .collect()
        };
        let (mine, mut theirs) = (by_path(self), by_path(other));
        let mut found = Vec::new();
        for (path, entry) in &mine {
            match theirs.remove(path) {
                None => found.push(format!(
                    "{path:?}: {} only on one side (the first)",
                    entry.kind
                )),
                Some(match_) => compare(entry, &match_, &mut found),
            }
        }
        for (path, entry) in theirs {
            found.push(format!(
                "{path:?}: {} only on one side (the second)",
                entry.kind
            ));
        }
        found
    }
}

fn compare(a: &ManifestEntry, b: &ManifestEntry, found: &mut Vec<String>) {
    let path = &a.path;
    if a.kind != b.kind {
        found.push(format!("{path:?}: {} against {}", a.kind, b.kind));
        return;
    }
    if a.mode != b.mode && a.kind != FileKind::Symlink {
        found.push(format!(
            "{path:?}: mode {:04o} against {:04o}",
            a.mode, b.mode
        ));
    }
    if a.size != b.size {
        found.push(format!("{path:?}: {} bytes against {}", a.size, b.size));
    } else if a.sha256 != b.sha256 {
        found.push(format!("{path:?}: same length, different content"));
    }
    if a.target != b.target {
        found.push(format!(
            "{path:?}: leads to {:?} against {:?}",
            a.target.as_deref().unwrap_or(""),
            b.target.as_deref().unwrap_or("")
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: &str) -> ManifestEntry {
        ManifestEntry {
            path: path.to_owned(),
            kind: FileKind::File,
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: content.len() as u64,
            sha256: Some(content.to_owned()),
            target: None,
        }
    }

    #[test]
    fn owners_make_no_difference_everything_else_does() {
        let a = Manifest::new(vec![file("b", "xx"), file("a", "x")]);
        let mut b = a.clone();
        b.entries[0].uid = 1000;
        assert_eq!(a.differences(&b), Vec::<String>::new());
        b.entries[0].mode = 0o600;
        b.entries[1].sha256 = Some("yy".to_owned());
        b.entries.push(file("c", ""));
        assert_eq!(
            a.differences(&b),
            [
                "\"a\": mode 0644 against 0600",
                "\"b\": same length, different content",
                "\"c\": file only on one side (the second)",
            ]
        );
        assert_eq!(b.differences(&a).len(), 3);
    }

    #[test]
    fn entries_are_found_by_path() {
        let manifest = Manifest::new(vec![file("b", ""), file("a/c", ""), file("a", "")]);
        assert_eq!(
            manifest.get("a/c").map(|entry| entry.path.as_str()),
            Some("a/c")
        );
        assert_eq!(manifest.get("c"), None);
    }
}
