//! Which path each handle was last seen under.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many handles are remembered: beyond it all are forgotten at once, which costs names only.
const REMEMBERED: usize = 1 << 16;

/// What a handle is called that was never seen in an answer.
pub(super) const UNKNOWN: &str = "?";

/// Paths below the export's root, without a leading slash; empty for the root.
#[derive(Debug, Default)]
pub(super) struct Handles(Mutex<HashMap<Vec<u8>, String>>);

impl Handles {
    /// The path of a handle.
    pub(super) fn path(&self, handle: &[u8]) -> String {
        self.lock()
            .get(handle)
            .cloned()
            .unwrap_or_else(|| UNKNOWN.to_owned())
    }

    /// The path of a name in the directory of a handle.
    pub(super) fn child(&self, directory: &[u8], name: &[u8]) -> String {
        let name = String::from_utf8_lossy(name);
        let parent = self.path(directory);
        if parent.is_empty() {
            name.into_owned()
        } else {
            format!("{parent}/{name}")
        }
    }

    /// Remembers the path of a handle.
    pub(super) fn learn(&self, handle: &[u8], path: &str) {
        let mut known = self.lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(handle.to_vec(), path.to_owned());
    }

    /// Follows a rename: what was at or below `from` is at or below `to`.
    pub(super) fn renamed(&self, from: &str, to: &str) {
        for path in self.lock().values_mut() {
            let Some(rest) = path.strip_prefix(from) else {
                continue;
            };
            if rest.is_empty() || rest.starts_with('/') {
                *path = format!("{to}{rest}");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Vec<u8>, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rename_takes_what_is_below_with_it_and_nothing_beside_it() {
        let handles = Handles::default();
        handles.learn(b"root", "");
        assert_eq!(handles.child(b"root", b"a"), "a");
        handles.learn(b"1", "a");
        handles.learn(b"2", "a/b");
        handles.learn(b"3", "ab");
        handles.renamed("a", "trash/x");
        assert_eq!(handles.path(b"1"), "trash/x");
        assert_eq!(handles.child(b"2", b"c"), "trash/x/b/c");
        assert_eq!(handles.path(b"3"), "ab");
        assert_eq!(handles.child(b"never seen", b"c"), "?/c");
    }
}
