//! Reading and writing the state of testbeds below a [`Home`].

use std::fs::File;
use std::io::{self, ErrorKind, Write as _};

use camino::{Utf8Path, Utf8PathBuf};
use thiserror::Error;

use super::{Owner, State};
use crate::artifacts::{Home, valid_name};

/// File in a testbed's directory that names its owner, written before anything is started.
const OWNER_FILE: &str = "owner";
/// File in a testbed's directory that describes it once it is up.
const STATE_FILE: &str = "state.json";
/// File in the directory of testbeds that is locked while a name is taken or a dead one is swept.
const LOCK_FILE: &str = ".lock";

/// Why a testbed's state could not be read or written.
#[derive(Debug, Error)]
pub enum StateError {
    /// None of the variables that place the state root is set.
    #[error(
        "no place for state: none of CLAIMCHECK_HOME, XDG_STATE_HOME and HOME is set; set \
         CLAIMCHECK_HOME to a directory"
    )]
    NoHome,
    /// The name is not a DNS label.
    #[error(
        "cluster name `{0}` is not a DNS label: use up to 40 of a-z, 0-9 and `-`, with a letter or \
         digit first and last"
    )]
    BadName(String),
    /// A testbed of that name runs.
    #[error(
        "cluster `{name}` is already up, owned by process {pid}: use it, run `claimcheck down \
         --name {name}`, or choose another `--name`"
    )]
    Live {
        /// The testbed's name.
        name: String,
        /// The owner's pid.
        pid: u32,
    },
    /// A directory of that name is left from a dead owner.
    #[error(
        "cluster `{name}` was left behind by a dead process: run `claimcheck down` to remove it"
    )]
    Dead {
        /// The testbed's name.
        name: String,
    },
    /// Nothing of that name.
    #[error("no cluster `{name}` is up; {}", listing(.known))]
    Unknown {
        /// The name asked for.
        name: String,
        /// Names that exist.
        known: Vec<String>,
    },
    /// Still booting: there is an owner, but no state yet.
    #[error("cluster `{name}` is still starting in process {pid}: wait for its `up` to end")]
    Starting {
        /// The testbed's name.
        name: String,
        /// The owner's pid.
        pid: u32,
    },
    /// The calling process cannot be told apart from a later one with its pid.
    #[error("this process's start time is not to be had: /proc is not mounted; mount it")]
    NoProc,
    /// A file could not be read or written. The source names the path.
    #[error("state of clusters is not accessible")]
    Io(#[from] io::Error),
    /// A state file that is not what this version writes.
    #[error("state file {path} is not one of this version: run `claimcheck down`")]
    Format {
        /// The file.
        path: Utf8PathBuf,
        /// What the decoder found.
        source: serde_json::Error,
    },
}

fn listing(names: &[String]) -> String {
    if names.is_empty() {
        "start one with `claimcheck up`".to_owned()
    } else {
        format!("there is: {}", names.join(", "))
    }
}

impl State {
    /// The state of the testbed `name` below the state root of the environment.
    ///
    /// # Errors
    /// The name is no DNS label, nothing of that name is up, it is still starting, or its owner is
    /// dead.
    pub fn load(name: &str) -> Result<Self, StateError> {
        Home::from_environment()?.load(name)
    }

    /// Every testbed that is up below the state root of the environment, by name.
    ///
    /// # Errors
    /// The state root cannot be read. A testbed that is starting, dead or of another version is
    /// left out.
    pub fn list() -> Result<Vec<Self>, StateError> {
        let home = Home::from_environment()?;
        Ok(home
            .names()?
            .iter()
            .filter_map(|name| home.load(name).ok())
            .collect())
    }

    /// Writes the state into the testbed's directory, at once or not at all.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn save(&self) -> Result<(), StateError> {
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        write_atomically(&self.directory.join(STATE_FILE), &text)?;
        Ok(())
    }
}

impl Home {
    /// The state of the testbed `name`.
    ///
    /// # Errors
    /// As [`State::load`].
    pub fn load(&self, name: &str) -> Result<State, StateError> {
        if !valid_name(name) {
            return Err(StateError::BadName(name.to_owned()));
        }
        let directory = self.cluster(name);
        let Some(owner) = read_owner(&directory)? else {
            let known = self.names()?;
            return Err(StateError::Unknown {
                name: name.to_owned(),
                known,
            });
        };
        if !owner.is_alive() {
            return Err(StateError::Dead {
                name: name.to_owned(),
            });
        }
        let path = directory.join(STATE_FILE);
        let text = match fs_err::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(StateError::Starting {
                    name: name.to_owned(),
                    pid: owner.pid,
                });
            }
            Err(error) => return Err(error.into()),
        };
        serde_json::from_slice(&text).map_err(|source| StateError::Format { path, source })
    }

    /// The names of all testbeds with a directory, sorted, whatever their state.
    ///
    /// # Errors
    /// The state root cannot be read.
    pub fn names(&self) -> Result<Vec<String>, StateError> {
        let entries = match self.clusters().read_dir_utf8() {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            if valid_name(entry.file_name()) && entry.file_type()?.is_dir() {
                names.push(entry.file_name().to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Takes the name for the calling process: makes the testbed's directory with an `owner` file.
    ///
    /// # Errors
    /// The name is no DNS label, it is taken by a live process, or a dead one's directory is still
    /// there (sweep first).
    pub fn claim(&self, name: &str) -> Result<Utf8PathBuf, StateError> {
        if !valid_name(name) {
            return Err(StateError::BadName(name.to_owned()));
        }
        let owner = Owner::this_process().ok_or(StateError::NoProc)?;
        let _lock = self.lock()?;
        let directory = self.cluster(name);
        match fs_err::create_dir(&directory) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(match read_owner(&directory)? {
                    Some(owner) if owner.is_alive() => StateError::Live {
                        name: name.to_owned(),
                        pid: owner.pid,
                    },
                    _ => StateError::Dead {
                        name: name.to_owned(),
                    },
                });
            }
            Err(error) => return Err(error.into()),
        }
        let text = serde_json::to_vec(&owner).map_err(io::Error::other)?;
        write_atomically(&directory.join(OWNER_FILE), &text)?;
        Ok(directory)
    }

    /// The owner of the testbed `name`; `None` when there is no such testbed, or when its directory
    /// was made by a process that died before it could write its name.
    ///
    /// # Errors
    /// The owner file cannot be read.
    pub fn owner(&self, name: &str) -> Result<Option<Owner>, StateError> {
        read_owner(&self.cluster(name))
    }

    /// Locks the directory of testbeds against other processes, until the returned file is dropped.
    pub(crate) fn lock(&self) -> Result<File, StateError> {
        fs_err::create_dir_all(self.clusters())?;
        let path = self.clusters().join(LOCK_FILE);
        let file = fs_err::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)?
            .into_parts()
            .0;
        file.lock()?;
        Ok(file)
    }
}

/// Reads the `owner` file. An unreadable text counts as no owner: its writer died.
fn read_owner(directory: &Utf8Path) -> Result<Option<Owner>, StateError> {
    match fs_err::read(directory.join(OWNER_FILE)) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Writes a file beside `path` and renames it there, so that a reader sees all of it or none.
pub(crate) fn write_atomically(path: &Utf8Path, text: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Utf8Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(text)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(Utf8Path::from_path(directory.path()).unwrap());
        (directory, home)
    }

    #[test]
    fn a_name_is_taken_once_while_its_owner_lives() {
        let (_directory, home) = home();
        home.claim("one").unwrap();
        assert!(
            matches!(home.claim("one"), Err(StateError::Live { pid, .. }) if pid == std::process::id())
        );
        home.claim("two").unwrap();
        assert_eq!(home.names().unwrap(), ["one", "two"]);
    }

    #[test]
    fn a_testbed_without_state_is_starting_and_one_of_a_dead_owner_is_dead() {
        let (_directory, home) = home();
        let directory = home.claim("one").unwrap();
        assert!(matches!(home.load("one"), Err(StateError::Starting { .. })));
        let mut owner = home.owner("one").unwrap().unwrap();
        owner.start_time += 1;
        fs_err::write(
            directory.join(OWNER_FILE),
            serde_json::to_vec(&owner).unwrap(),
        )
        .unwrap();
        assert!(matches!(home.load("one"), Err(StateError::Dead { .. })));
        assert!(matches!(home.claim("one"), Err(StateError::Dead { .. })));
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let (_directory, home) = home();
        assert_eq!(
            home.load("x").unwrap_err().to_string(),
            "no cluster `x` is up; start one with `claimcheck up`"
        );
        home.claim("one").unwrap();
        assert_eq!(
            home.load("x").unwrap_err().to_string(),
            "no cluster `x` is up; there is: one"
        );
    }

    #[test]
    fn what_is_saved_is_what_is_loaded() {
        let (_directory, home) = home();
        let directory = home.claim("one").unwrap();
        let state = crate::state::tests::example("one", &directory);
        state.save().unwrap();
        assert_eq!(home.load("one").unwrap(), state);
    }

    #[test]
    fn a_name_that_would_leave_the_root_is_refused() {
        let (_directory, home) = home();
        assert!(matches!(home.claim("../x"), Err(StateError::BadName(_))));
        assert!(matches!(home.load("../x"), Err(StateError::BadName(_))));
    }
}
