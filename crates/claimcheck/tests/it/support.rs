//! A place of its own for each test: a working directory, a state root, a cleared environment.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Where a test calls the binary.
pub(crate) struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs_err::create_dir(directory.path().join("state")).unwrap();
        Self { directory }
    }

    /// One whose working directory has this file.
    pub(crate) fn with(name: &str, text: &str) -> Self {
        let place = Self::new();
        fs_err::write(place.path().join(name), text).unwrap();
        place
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Its state root.
    pub(crate) fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// Calls the binary with arguments separated by spaces.
    pub(crate) fn call(&self, arguments: &str) -> Call {
        self.call_with(arguments, &[])
    }

    /// The same, with variables.
    pub(crate) fn call_with(&self, arguments: &str, variables: &[(&str, &str)]) -> Call {
        let output = Command::new(env!("CARGO_BIN_EXE_claimcheck"))
            .args(arguments.split_whitespace())
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("CLAIMCHECK_HOME", self.state())
            .env("CLAIMCHECK_CACHE", self.path().join("cache"))
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        Call {
            arguments: arguments.to_owned(),
            output,
        }
    }

    /// Whether no testbed, report or tool was begun.
    pub(crate) fn nothing_was_started(&self) -> bool {
        let entries: Vec<_> = fs_err::read_dir(self.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| Path::new(name).extension().is_none())
            .collect();
        entries == ["state"] && fs_err::read_dir(self.state()).unwrap().next().is_none()
    }
}

/// How a call ended.
pub(crate) struct Call {
    arguments: String,
    output: Output,
}

impl Call {
    pub(crate) fn code(&self) -> i32 {
        self.output.status.code().unwrap()
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8(self.output.stdout.clone()).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8(self.output.stderr.clone()).unwrap()
    }

    /// All of it, for a snapshot.
    pub(crate) fn shown(&self) -> String {
        let mut text = format!(
            "$ claimcheck {}\nexit code: {}\n",
            self.arguments,
            self.code()
        );
        for (name, stream) in [("stdout", self.stdout()), ("stderr", self.stderr())] {
            if !stream.is_empty() {
                let _ = write!(text, "----- {name}\n{stream}");
            }
        }
        text
    }
}
