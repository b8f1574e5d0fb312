//! Handles of directories of records, for a moment.
//!
//! A claim's record is written three times within a second, and its path has three parents. Only
//! records are written through such a handle: nothing is read or removed, and no volume's directory is
//! reached. A handle stays below the export whatever is put in the directory's place, and goes stale
//! with it; should the directory be moved away by hand, it is followed for as long. The kernel's
//! client, which the other backend is on, trusts what it has looked up for 30 s and more (nfs(5),
//! `acdirmin`).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::path::Component;

/// How long a handle counts after it was asked for.
const TRUSTED: Duration = Duration::from_secs(1);

/// See the module. It belongs to one session and goes with it.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<HashMap<Vec<Component>, (Bytes, Instant)>>);

impl Known {
    /// The handle of a directory that was looked up a moment ago.
    pub(crate) fn get(&self, directory: &[Component]) -> Option<Bytes> {
        let known = self.known();
        let (handle, asked) = known.get(directory)?;
        (asked.elapsed() < TRUSTED).then(|| handle.clone())
    }

    /// Keeps a handle that was asked for at this time.
    pub(crate) fn put(&self, directory: &[Component], handle: Bytes, asked: Instant) {
        let mut known = self.known();
        known.retain(|_, (_, asked)| asked.elapsed() < TRUSTED);
        known.insert(directory.to_vec(), (handle, asked));
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Vec<Component>, (Bytes, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_handle_is_trusted_for_a_moment_and_not_kept_longer() {
        let known = Known::default();
        let directories = ["a", "b"].map(|name| vec![Component::new(name).unwrap()]);
        let [first, second] = &directories;
        known.put(first, Bytes::from_static(b"1"), Instant::now());
        tokio::time::advance(TRUSTED.checked_sub(Duration::from_millis(1)).unwrap()).await;
        assert_eq!(known.get(first), Some(Bytes::from_static(b"1")));
        assert_eq!(known.get(second), None);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(known.get(first), None);
        known.put(second, Bytes::from_static(b"2"), Instant::now());
        assert_eq!(known.known().len(), 1);
    }
}
