//! From the arguments to a mount that answers, and to its end.

use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fuser::{Config, SessionACL};
use nix::mount::{MntFlags, mount, umount2};
use nix::sys::signal::{SigSet, Signal};

use super::mountinfo;
use crate::arguments::Arguments;
use crate::client::{Client, find};
use crate::error::MountError;
use crate::fs::{Fs, Kernel, keep};
use crate::rpc::Patience;

/// The type in the table of mounts: plain umount(8) serves, without a helper.
const KIND: &str = "fuse.nfs";
/// How long the first questions to the server may take.
const FIRST: Duration = Duration::from_secs(10);
/// Read-ahead of the kernel, in KiB; its own 128 leave a fast server idle.
const READ_AHEAD: &str = "1024";

/// A mount that is served.
pub(crate) struct Session {
    fs: Arc<Fs>,
    running: JoinHandle<io::Result<()>>,
    keeper: JoinHandle<()>,
}

fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> MountError {
    let what = what.into();
    move |source| MountError::System { what, source }
}

impl Session {
    /// Finds the export, mounts, and returns when the mount answers.
    pub(crate) fn start(asked: &Arguments, target: &Path) -> Result<Self, MountError> {
        let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]);
        // For all threads to come: one of them waits for these signals.
        signals
            .thread_block()
            .map_err(io::Error::from)
            .map_err(system("block signals"))?;
        let fs = Arc::new(connect(asked)?);
        let device = fs_err::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .map_err(system(
                "open /dev/fuse: load the module with `modprobe fuse`, or give the container the \
                 device",
            ))?
            .into_file();
        let flags = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0,allow_other",
            device.as_raw_fd()
        );
        let source = asked.source.text.as_str();
        let (kind, mount_flags) = (KIND, asked.options.flags);
        mount(
            Some(source),
            target,
            Some(kind),
            mount_flags,
            Some(flags.as_str()),
        )
        .map_err(io::Error::from)
        .map_err(system(format!(
            "mount on {}: this needs root with CAP_SYS_ADMIN",
            target.display()
        )))?;
        let started = Self::run(&fs, device, target, signals);
        if started.is_err() {
            let _ = umount2(target, MntFlags::MNT_DETACH);
        }
        started
    }

    fn run(
        fs: &Arc<Fs>,
        device: std::fs::File,
        target: &Path,
        signals: SigSet,
    ) -> Result<Self, MountError> {
        let mut config = Config::default();
        config.acl = SessionACL::All;
        let kernel = Kernel(Arc::clone(fs));
        let session = fuser::Session::from_fd(kernel, device.into(), SessionACL::All, config)
            .map_err(system("agree with the kernel on FUSE"))?;
        let running = thread::Builder::new()
            .name("nfs-requests".to_owned())
            .spawn(move || session.run())
            .map_err(system("start a thread"))?;
        let keeper = keep(fs).map_err(system("start a thread"))?;
        let mounted = mountinfo::read()
            .map_err(system("read the table of mounts"))
            .map(|table| mountinfo::top(&table, target, KIND).map(|top| top.device.clone()))?;
        if let Some(device) = mounted {
            let read_ahead = format!("/sys/class/bdi/{device}/read_ahead_kb");
            if let Err(error) = fs_err::write(read_ahead, READ_AHEAD) {
                tracing::debug!(%error, "read-ahead stays as it is");
            }
            thread::Builder::new()
                .name("nfs-signals".to_owned())
                .spawn(move || unmount_on(&signals, &device))
                .map_err(system("start a thread"))?;
        }
        // The proof that it answers; a kubelet starts containers right after.
        fs_err::metadata(target).map_err(|source| MountError::Target {
            path: target.display().to_string(),
            source,
        })?;
        tracing::info!(target = %target.display(), "mounted");
        Ok(Self {
            fs: Arc::clone(fs),
            running,
            keeper,
        })
    }

    /// Serves until the mount is gone.
    pub(crate) fn wait(self) {
        match self.running.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "requests of the kernel ended"),
            Err(_) => tracing::error!("requests of the kernel ended"),
        }
        self.fs.end();
        self.keeper.thread().unpark();
        let _ = self.keeper.join();
        self.fs.client().server().unmount();
        tracing::info!("unmounted");
    }
}

/// Everything of the server's that is needed before the mount.
fn connect(asked: &Arguments) -> Result<Fs, MountError> {
    let export = find(&asked.source, &asked.options)?;
    let address = export.server.nfs;
    let client = Client::new(export.server, export.root, &asked.options);
    let unreachable = |errno: nix::errno::Errno| MountError::Unreachable {
        service: "NFS",
        address,
        source: errno.into(),
    };
    let patience = Patience::at_most(FIRST);
    let root = client
        .attributes(&client.root(), &patience)
        .map_err(unreachable)?;
    let limits = client
        .limits(&asked.options, &patience)
        .map_err(unreachable)?;
    let space = client.space(&patience).map_err(unreachable)?;
    tracing::debug!(?limits, server = %asked.source.text, "export found");
    Ok(Fs::new(client, limits, &asked.options, root, &space))
}

/// Waits for a signal to end, and takes the mount away from wherever it is. It is gone for good
/// when the last one who uses it lets go.
fn unmount_on(signals: &SigSet, device: &str) {
    loop {
        match signals.wait() {
            // A terminal that was closed is none of a mount's business.
            Ok(Signal::SIGHUP) => continue,
            Ok(signal) => tracing::info!(%signal, "asked to end"),
            Err(error) => {
                tracing::warn!(%error, "signals are not heard");
                return;
            }
        }
        let places: Vec<PathBuf> = mountinfo::read()
            .unwrap_or_default()
            .into_iter()
            .filter(|mounted| mounted.device == device)
            .map(|mounted| mounted.place)
            .collect();
        for place in places {
            if let Err(error) = umount2(&place, MntFlags::MNT_DETACH) {
                tracing::warn!(place = %place.display(), %error, "not unmounted");
            }
        }
    }
}
