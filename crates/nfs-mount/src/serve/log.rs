//! The log of a mount: one file each, which is removed with the mount if there was nothing to note.

use std::fs::File;
use std::io::{self, Stderr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Where the logs are.
const DIRECTORY: &str = "/var/log/nfs-mount";
/// Environment variable for the least level: `error`, `warn`, `info` (the default), `debug`.
const LEVEL: &str = "NFS_MOUNT_LOG";

/// The log's file name for a place: readable, and without slashes.
fn name(target: &Path, pid: u32) -> String {
    let place: String = target
        .to_string_lossy()
        .trim_start_matches('/')
        .chars()
        .map(|c| if c == '/' { '-' } else { c })
        .collect();
    // File names end at 255 bytes; the end of a kubelet's paths tells more than their start.
    let start = place
        .char_indices()
        .map(|(at, _)| at)
        .find(|at| place.len() - at <= 200)
        .unwrap_or(0);
    format!("{}-{pid}.log", &place[start..])
}

/// Opens the log of a mount that is about to be made; `None` where there is no place for it.
pub(crate) fn open(target: &Path) -> Option<(PathBuf, File)> {
    fs_err::create_dir_all(DIRECTORY).ok()?;
    let path = Path::new(DIRECTORY).join(name(target, std::process::id()));
    let file = fs_err::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .ok()?;
    Some((path, file.into_file()))
}

/// The end of a mount: a log that nobody needs is removed.
pub(crate) fn close(path: Option<&Path>, unneeded: bool) {
    if let Some(path) = path
        && unneeded
    {
        let _ = fs_err::remove_file(path);
    }
}

/// Whether anything was noted that a person may want to read later.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks(Arc<AtomicBool>);

impl Marks {
    pub(crate) fn anything_noted(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl<'a> MakeWriter<'a> for Marks {
    type Writer = Stderr;

    fn make_writer(&'a self) -> Self::Writer {
        io::stderr()
    }

    fn make_writer_for(&'a self, meta: &tracing::Metadata<'_>) -> Self::Writer {
        if *meta.level() <= Level::WARN {
            self.0.store(true, Ordering::SeqCst);
        }
        io::stderr()
    }
}

/// Starts to log to stderr.
pub(crate) fn start() -> Marks {
    let level = std::env::var(LEVEL)
        .ok()
        .and_then(|level| level.parse().ok())
        .unwrap_or(LevelFilter::INFO);
    let marks = Marks::default();
    // Fails when the program that this is part of logs already; then it goes there.
    let _ = tracing_subscriber::fmt()
        .with_writer(marks.clone())
        .with_ansi(false)
        .with_target(false)
        .with_max_level(level)
        .try_init();
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_named_by_its_place_within_what_a_name_may_have() {
        assert_eq!(name(Path::new("/mnt/a b"), 7), "mnt-a b-7.log");
        let long = PathBuf::from(format!("/start/{}/end", "x".repeat(300)));
        let name = name(&long, 7);
        assert!(name.len() <= 255 && name.ends_with("-end-7.log") && !name.contains('/'));
    }
}
