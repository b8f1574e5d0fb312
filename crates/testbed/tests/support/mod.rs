//! What the tests of this crate share: the probe program, and questions about processes.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use testbed::state::Owner;

/// The program that guards children and owns them.
pub(crate) const PROBE: &str = env!("CARGO_BIN_EXE_testbed-probe");

/// A running probe; dropping it kills it.
pub(crate) struct Probe {
    pub(crate) process: Child,
    /// Its children.
    pub(crate) children: Vec<Owner>,
}

impl Probe {
    /// Starts a probe and waits until it says that it is up.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(PROBE);
        command.args(arguments);
        Self::run(command)
    }

    /// Runs the command of a probe and waits until it says that it is up.
    pub(crate) fn run(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let pids = line
            .strip_prefix("up")
            .unwrap_or_else(|| panic!("not up: {line:?}"));
        let children = pids
            .split_whitespace()
            // One that ended already has no entry; nothing can be asked of it.
            .filter_map(|pid| Owner::of(pid.parse().unwrap()))
            .collect();
        Self { process, children }
    }

    /// Kills the probe as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether the condition comes true within ten seconds.
pub(crate) fn eventually(condition: impl Fn() -> bool) -> bool {
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until {
        if condition() {
            return true;
        }
        thread::sleep(Duration::from_millis(10));
    }
    false
}
