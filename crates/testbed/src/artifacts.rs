//! Where things lie on this machine: the state root, the testbeds' directories and their logs.

use std::env;

use camino::{Utf8Path, Utf8PathBuf};

use crate::state::StateError;

/// The longest name of a testbed: it becomes part of paths and of host names.
const LONGEST_NAME: usize = 40;

/// The state root: `$CLAIMCHECK_HOME`, else `$XDG_STATE_HOME/claimcheck`, else
/// `~/.local/state/claimcheck`.
///
/// Below it, `clusters/NAME/` is a testbed's directory, gone after `down`, and `logs/NAME/` holds
/// its logs, kept until the next boot of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    root: Utf8PathBuf,
}

impl Home {
    /// The state root as the environment places it.
    ///
    /// # Errors
    /// None of the three variables is set.
    pub fn from_environment() -> Result<Self, StateError> {
        Self::choose(|name| env::var(name).ok().filter(|value| !value.is_empty()))
            .ok_or(StateError::NoHome)
    }

    /// A state root at a given directory, which need not exist yet.
    pub fn at(root: impl Into<Utf8PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn choose(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let below =
            |name: &str, path: &str| variable(name).map(|base| Utf8Path::new(&base).join(path));
        variable("CLAIMCHECK_HOME")
            .map(Utf8PathBuf::from)
            .or_else(|| below("XDG_STATE_HOME", "claimcheck"))
            .or_else(|| below("HOME", ".local/state/claimcheck"))
            .map(Self::at)
    }

    /// The root itself.
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// The directory that holds the testbeds' directories.
    pub fn clusters(&self) -> Utf8PathBuf {
        self.root.join("clusters")
    }

    /// The directory of the testbed `name`.
    pub fn cluster(&self, name: &str) -> Utf8PathBuf {
        self.clusters().join(name)
    }

    /// Where the logs of the testbed `name` go when nobody says otherwise.
    pub fn logs(&self, name: &str) -> Utf8PathBuf {
        self.root.join("logs").join(name)
    }
}

/// Whether `name` can name a testbed: a DNS label (RFC 1123) of at most 40 characters.
pub fn valid_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=LONGEST_NAME).contains(&name.len())
        && name.chars().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// Makes `directory` and empties it of the logs (`*.log`) of an earlier boot. Other files stay: the
/// directory may be the user's own.
///
/// # Errors
/// The directory cannot be made or read, or a file in it cannot be removed.
pub fn fresh_logs(directory: &Utf8Path) -> std::io::Result<()> {
    fs_err::create_dir_all(directory)?;
    for entry in directory.read_dir_utf8()? {
        let entry = entry?;
        if entry.path().extension() == Some("log") && entry.file_type()?.is_file() {
            fs_err::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(&[("CLAIMCHECK_HOME", "/a"), ("XDG_STATE_HOME", "/b"), ("HOME", "/c")], Some("/a"))]
    #[case(&[("XDG_STATE_HOME", "/b"), ("HOME", "/c")], Some("/b/claimcheck"))]
    #[case(&[("HOME", "/c")], Some("/c/.local/state/claimcheck"))]
    #[case(&[], None)]
    fn the_first_variable_that_is_set_places_the_root(
        #[case] set: &[(&str, &str)],
        #[case] expected: Option<&str>,
    ) {
        let home = Home::choose(|name| {
            set.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        });
        assert_eq!(home.as_ref().map(|home| home.root().as_str()), expected);
    }

    #[rstest]
    #[case("default", true)]
    #[case("a-1", true)]
    #[case("", false)]
    #[case("-a", false)]
    #[case("a-", false)]
    #[case("A", false)]
    #[case("a/b", false)]
    #[case("..", false)]
    fn only_a_dns_label_names_a_testbed(#[case] name: &str, #[case] valid: bool) {
        assert_eq!(valid_name(name), valid);
    }

    #[test]
    fn a_boot_replaces_the_logs_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let directory = Utf8Path::from_path(directory.path()).unwrap();
        fs_err::write(directory.join("etcd.log"), "old").unwrap();
        fs_err::write(directory.join("notes.txt"), "mine").unwrap();
        fresh_logs(directory).unwrap();
        assert!(!directory.join("etcd.log").exists());
        assert!(directory.join("notes.txt").exists());
    }
}
