//! The lock on global state, such as the default class: every case takes it shared, an exclusive
//! one alone. It is a file lock (flock) beside the cluster's state, so that the command and nextest,
//! which has a process for each case, keep out of each other's way.

use std::fs::{File, TryLockError};
use std::io;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use crate::case::Serial;

/// The pause between two attempts: a blocking lock could not be given up on an interruption.
const PAUSE: Duration = Duration::from_millis(25);

/// Locks held until dropped.
#[derive(Debug)]
pub(crate) struct Held {
    _files: Vec<File>,
}

/// Takes what a case of kind `serial` needs; waits as long as it takes.
pub(crate) async fn take(path: &Utf8Path, serial: Serial) -> io::Result<Held> {
    let global = match serial {
        Serial::Exclusive => locked(path.to_owned(), File::try_lock).await?,
        Serial::No | Serial::Group(_) => locked(path.to_owned(), File::try_lock_shared).await?,
    };
    let mut files = vec![global];
    if let Serial::Group(name) = serial {
        let group = Utf8PathBuf::from(format!("{path}.{name}"));
        files.push(locked(group, File::try_lock).await?);
    }
    Ok(Held { _files: files })
}

async fn locked(
    path: Utf8PathBuf,
    attempt: fn(&File) -> Result<(), TryLockError>,
) -> io::Result<File> {
    let file = fs_err::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)?
        .into_parts()
        .0;
    let mut ticks = tokio::time::interval(PAUSE);
    loop {
        ticks.tick().await;
        match attempt(&file) {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn is_free(path: &Utf8Path, serial: Serial) -> bool {
        tokio::time::timeout(Duration::from_millis(100), take(path, serial))
            .await
            .is_ok()
    }

    #[tokio::test]
    async fn an_exclusive_case_keeps_all_others_out_and_shared_ones_run_side_by_side() {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(directory.path().join("lock")).unwrap();
        let shared = take(&path, Serial::No).await.unwrap();
        assert!(is_free(&path, Serial::Group("walkthrough")).await);
        assert!(!is_free(&path, Serial::Exclusive).await);
        drop(shared);
        let _alone = take(&path, Serial::Exclusive).await.unwrap();
        assert!(!is_free(&path, Serial::No).await);
    }

    #[tokio::test]
    async fn members_of_a_group_take_turns() {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(directory.path().join("lock")).unwrap();
        let _first = take(&path, Serial::Group("walkthrough")).await.unwrap();
        assert!(!is_free(&path, Serial::Group("walkthrough")).await);
        assert!(is_free(&path, Serial::Group("other")).await);
    }
}
