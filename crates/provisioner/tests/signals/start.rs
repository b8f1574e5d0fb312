//! A provisioner that goes no further than its kubeconfig, which is a pipe nobody writes to.

use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};

/// The longest a step may take on a machine that is busy with other tests.
const LIMIT: Duration = Duration::from_mins(1);

/// A process that is starting; killed when dropped.
pub(crate) struct Start {
    child: Child,
    pipe: PathBuf,
    /// Held open, so that reading the pipe does not end.
    writer: Option<File>,
    _directory: tempfile::TempDir,
}

impl Start {
    /// Starts a program, with the arguments it has.
    pub(crate) fn of(mut program: Command) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("kubeconfig");
        mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        let child = program
            .env_clear()
            .envs([
                ("PROVISIONER_NAME", "example.org/nfs"),
                ("NFS_SERVER", "server"),
                ("NFS_PATH", "/export"),
                ("POD_NAMESPACE", "default"),
                ("CLAIMCHECK_HTTP_ADDRESS", "off"),
            ])
            .env("KUBECONFIG", &pipe)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            child,
            pipe,
            writer: None,
            _directory: directory,
        }
    }

    /// The same with SIGTERM and SIGINT blocked from the very start: what is sent now comes before
    /// the program does anything.
    pub(crate) fn held_back(program: Command) -> Self {
        let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
        signals.thread_block().unwrap();
        let start = Self::of(program);
        signals.thread_unblock().unwrap();
        start
    }

    /// Opening a pipe to write waits for its reader.
    pub(crate) fn wait_until_it_reads_its_kubeconfig(&mut self) {
        let (sender, receiver) = mpsc::channel();
        let pipe = self.pipe.clone();
        std::thread::spawn(move || sender.send(OpenOptions::new().write(true).open(pipe)));
        let opened = receiver.recv_timeout(LIMIT);
        self.writer = Some(opened.expect("it never read its kubeconfig").unwrap());
    }

    pub(crate) fn send(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap());
        kill(pid, signal).unwrap();
    }

    /// Waits for its end; `None` where a signal ended it.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(started.elapsed() < LIMIT, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Start {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
