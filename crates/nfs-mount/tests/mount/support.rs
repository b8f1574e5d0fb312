//! A server, mounts of it, and what is needed around them.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use tempfile::TempDir;
use testbed::nfs::embedded::{EmbeddedExport, ExportOptions};
use tokio::runtime::Runtime;

use super::front::Front;

/// Whether mounts can be tested here; if not, the reason is printed.
pub(crate) fn able() -> bool {
    let why = if !nix::unistd::geteuid().is_root() {
        "user is not root"
    } else if !Path::new("/dev/fuse").exists() {
        "there is no /dev/fuse"
    } else {
        return true;
    };
    eprintln!("NOT TESTED: {why}; run the tests of nfs-mount as root where FUSE is");
    false
}

/// One test at a time: a process that one test starts has, until it runs, the open files of the
/// others, and would keep their mounts busy and their programs from running.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Leaves a test where mounts can't be tested.
#[macro_export]
macro_rules! need_fuse {
    () => {
        if !$crate::support::able() {
            return;
        }
        let _turn = $crate::support::turn();
    };
}

/// A server, what stands before it, and its directory.
pub(crate) struct Server {
    pub(crate) front: Front,
    pub(crate) directory: PathBuf,
    export: Option<EmbeddedExport>,
    runtime: Runtime,
    _temporary: TempDir,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self::with(false, |_| {})
    }

    pub(crate) fn squashing() -> Self {
        Self::with(true, |_| {})
    }

    /// `prepare` gets the directory before it is served.
    pub(crate) fn with(root_squash: bool, prepare: impl FnOnce(&Path)) -> Self {
        let temporary = TempDir::new().expect("temporary directory");
        let directory = temporary.path().join("export");
        fs::create_dir(&directory).expect("directory");
        prepare(&directory);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("runtime");
        let export = runtime
            .block_on(EmbeddedExport::start(ExportOptions {
                directory: Utf8PathBuf::from_path_buf(directory.clone()).expect("utf-8"),
                export_path: "/export".to_owned(),
                bind: SocketAddr::from(([127, 0, 0, 1], 0)),
                root_squash,
            }))
            .expect("server");
        let front = Front::new(SocketAddr::from(([127, 0, 0, 1], export.port())));
        Self {
            front,
            directory,
            export: Some(export),
            runtime,
            _temporary: temporary,
        }
    }

    /// Another server over the same directory, which takes this one's place behind the front.
    pub(crate) fn again(&self) -> EmbeddedExport {
        let export = self
            .runtime
            .block_on(EmbeddedExport::start(ExportOptions {
                directory: Utf8PathBuf::from_path_buf(self.directory.clone()).expect("utf-8"),
                export_path: "/export".to_owned(),
                bind: SocketAddr::from(([127, 0, 0, 1], 0)),
                root_squash: false,
            }))
            .expect("server");
        self.front
            .leads_to(SocketAddr::from(([127, 0, 0, 1], export.port())));
        export
    }

    /// A mount with more options.
    pub(crate) fn mount(&self, options: &str) -> Mounted {
        self.try_mount("127.0.0.1:/export", options)
            .unwrap_or_else(|output| panic!("{output:?}"))
    }

    /// The ports of the front, with more options.
    pub(crate) fn options(&self, more: &str) -> String {
        let port = self.front.port();
        format!("port={port},mountport={port},{more}")
    }

    pub(crate) fn try_mount(&self, source: &str, options: &str) -> Result<Mounted, Output> {
        let place = TempDir::new().expect("temporary directory");
        let output = mount_nfs([
            OsStr::new(source),
            place.path().as_os_str(),
            OsStr::new("-o"),
            OsStr::new(&self.options(options)),
        ]);
        if output.status.success() {
            Ok(Mounted { place: Some(place) })
        } else {
            Err(output)
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(export) = self.export.take() {
            self.runtime.block_on(export.stop());
        }
        // A file system of the test's own, if it has one.
        let _ = nix::mount::umount(&self.directory);
    }
}

/// Runs the program.
pub(crate) fn mount_nfs<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mount-nfs"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("run mount-nfs")
}

/// A mount; it is unmounted with its end.
pub(crate) struct Mounted {
    place: Option<TempDir>,
}

impl Mounted {
    pub(crate) fn path(&self) -> &Path {
        self.place.as_ref().expect("mounted").path()
    }

    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }

    /// The process that serves it, if it is there.
    pub(crate) fn process(&self) -> Option<u32> {
        serving(self.path())
    }

    /// Unmounts like umount(8), and waits for the process to end.
    pub(crate) fn unmount(mut self) {
        let place = self.place.take().expect("mounted");
        let output = Command::new("umount")
            .arg(place.path())
            .output()
            .expect("umount");
        assert!(output.status.success(), "{output:?}");
        until("the process ends", || serving(place.path()).is_none());
        remove_logs(place.path());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            let _ = nix::mount::umount2(place.path(), nix::mount::MntFlags::MNT_DETACH);
            if !thread::panicking() {
                until("the process ends", || serving(place.path()).is_none());
                remove_logs(place.path());
            }
        }
    }
}

/// Logs stay where there was something to warn of, as tests mean there to be.
fn remove_logs(place: &Path) {
    let name = place.file_name().expect("a name").to_string_lossy();
    for entry in fs::read_dir("/var/log/nfs-mount").into_iter().flatten() {
        let path = entry.expect("entry").path();
        if path.to_string_lossy().contains(&*name) {
            // The process may have removed it.
            let _ = fs::remove_file(path);
        }
    }
}

/// The process that serves a place.
fn serving(place: &Path) -> Option<u32> {
    fs::read_dir("/proc").expect("proc").find_map(|entry| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        // The command line of a process that is stuck can't be read.
        if fs::read_to_string(format!("/proc/{pid}/comm"))
            .ok()?
            .trim_end()
            != "mount.nfs"
        {
            return None;
        }
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        (words.contains(&&b"--serve"[..]) && words.contains(&place.as_os_str().as_encoded_bytes()))
            .then_some(pid)
    })
}

/// Waits for a condition, at most a minute: machines that test are busy.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_mins(1), "{what}: never");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Runs a shell as another user with supplementary groups; its output must be empty on stderr.
pub(crate) fn shell_as(uid: u32, gid: u32, groups: &[u32], script: &str) -> Output {
    let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={uid}"), format!("--regid={gid}")]);
    if groups.is_empty() {
        command.arg("--clear-groups");
    } else {
        command.arg(format!("--groups={}", groups.join(",")));
    }
    command
        .args(["sh", "-c", script])
        .stdin(Stdio::null())
        .output()
        .expect("setpriv")
}

pub(crate) fn raw(error: &io::Error) -> i32 {
    error.raw_os_error().expect("an error of the system")
}

/// Bytes that are easily checked and never repeat within a block.
pub(crate) fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
