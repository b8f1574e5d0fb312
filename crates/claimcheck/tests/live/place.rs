//! A place for one test, and a command under way in it.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use camino::Utf8Path;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use testbed::artifacts::Home;

/// How long anything that a test waits for may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A state root and a working directory for one test, and the turn to use the machine.
pub(crate) struct Place {
    directory: tempfile::TempDir,
    _turn: File,
}

impl Place {
    pub(crate) fn new() -> Self {
        let turn = fs_err::File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("live.lock"));
        let (turn, _) = turn.unwrap().into_parts();
        turn.lock().unwrap();
        Self {
            directory: tempfile::tempdir().unwrap(),
            _turn: turn,
        }
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    pub(crate) fn home(&self) -> Home {
        Home::at(Utf8Path::from_path(&self.path("state")).unwrap())
    }

    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_claimcheck"));
        command
            .args(arguments.split_whitespace())
            .current_dir(self.directory.path())
            .env("CLAIMCHECK_HOME", self.path("state"))
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        for option in [
            "SUBJECT", "CLUSTER", "NAME", "PROFILE", "ONLY", "EXCLUDE", "KEEP",
        ] {
            command.env_remove(format!("CLAIMCHECK_{option}"));
        }
        command
    }

    pub(crate) fn call(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub(crate) fn start(&self, arguments: &str) -> Running {
        let mut child = self
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let err = child.stderr.take().unwrap();
        let (said, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                if said.send(line).is_err() {
                    return;
                }
            }
        });
        Running {
            child,
            lines,
            heard: Vec::new(),
        }
    }

    /// A subject that does nothing, and for which nobody waits long.
    pub(crate) fn impatient_idle(&self) -> String {
        let rbac = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../fixtures/walkthrough/rbac.yaml"
        );
        let text = format!(
            "name: impatient\nprovisioner: westos.org/nfs\nmanifests: [{rbac}]\n\
             start:\n  process:\n    command: [sleep, infinity]\n    \
             serviceAccount: {{ namespace: default, name: nfs-client-provisioner }}\n\
             declares:\n  profiles: [core]\n  features: []\n\
             limits: {{ claim-bound: 1s }}\n"
        );
        let path = self.path("impatient.yaml");
        fs_err::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Asserts that no testbed and no process of this place is left.
    pub(crate) fn nothing_is_left(&self) {
        assert_eq!(self.home().names().unwrap(), Vec::<String>::new());
        let state = self.path("state").to_str().unwrap().to_owned();
        let left: Vec<String> = fs_err::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|pid| {
                let environment = fs_err::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                String::from_utf8_lossy(&environment).contains(&state)
            })
            .filter_map(|pid| fs_err::read_to_string(format!("/proc/{pid}/comm")).ok())
            .collect();
        assert_eq!(left, Vec::<String>::new());
    }

    pub(crate) fn report(&self, directory: &str) -> Value {
        let path = self.path(directory).join("report.json");
        serde_json::from_str(&fs_err::read_to_string(path).unwrap()).unwrap()
    }
}

/// A command under way.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    pub(crate) heard: Vec<String>,
}

impl Running {
    /// Waits for a line of standard error that holds `text`.
    pub(crate) fn says(&mut self, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.heard.last().is_some_and(|line| line.contains(text)) {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("`{text}` was never said, but: {:#?}", self.heard);
            };
            self.heard.push(line);
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(
            Pid::from_raw(i32::try_from(self.child.id()).unwrap()),
            signal,
        )
        .unwrap();
    }

    /// Waits for the end; gives exit status and standard output.
    pub(crate) fn ends(mut self) -> (ExitStatus, String) {
        let out = self.child.stdout.take().unwrap();
        let text = std::io::read_to_string(out).unwrap();
        (self.child.wait().unwrap(), text)
    }
}

/// A test that fails does not leave a cluster behind.
impl Drop for Running {
    fn drop(&mut self) {
        // Fails when it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn said(output: &Output) -> String {
    format!(
        "{}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
