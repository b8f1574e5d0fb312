//! The hash of what goes into an image.

use std::fmt::Write as _;
use std::io::{self, Read as _};

use camino::Utf8Path;
use fs_err as fs;
use sha2::{Digest as _, Sha256};

use super::recipe::Recipe;

/// So many characters of the hash are in an image's name.
const SHOWN: usize = 12;

/// What goes into an image, as it is added up.
#[derive(Clone)]
pub(crate) struct Inputs(Sha256);

impl Inputs {
    /// A recipe's name and files, and this machine's processor.
    pub(crate) fn of(recipe: &Recipe) -> Self {
        let mut inputs = Self(Sha256::new());
        inputs.add("what", recipe.what);
        inputs.add("processor", std::env::consts::ARCH);
        for (name, text) in recipe.files {
            inputs.add(name, text);
        }
        inputs
    }

    /// Adds a named value. Lengths go in too, so that no two lists of values look alike.
    pub(crate) fn add(&mut self, name: &str, value: &str) {
        for part in [name, value] {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part.as_bytes());
        }
    }

    /// Adds a file's content. Blocks; programs have up to some hundred megabytes.
    pub(crate) fn add_file(&mut self, name: &str, path: &Utf8Path) -> io::Result<()> {
        let mut hash = Sha256::new();
        let mut file = fs::File::open(path)?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                count => hash.update(&buffer[..count]),
            }
        }
        self.add(name, &hexadecimal(hash));
        Ok(())
    }

    /// The first characters of the hash.
    pub(crate) fn key(self) -> String {
        let mut text = hexadecimal(self.0);
        text.truncate(SHOWN);
        text
    }
}

fn hexadecimal(hash: Sha256) -> String {
    hash.finalize()
        .iter()
        .fold(String::new(), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Recipe = Recipe {
        what: "one",
        title: "one",
        files: &[("build.sh", "true")],
    };

    #[test]
    fn every_input_changes_the_key_and_nothing_else_does() {
        let key = |values: &[(&str, &str)]| {
            let mut inputs = Inputs::of(&ONE);
            for (name, value) in values {
                inputs.add(name, value);
            }
            inputs.key()
        };
        assert_eq!(key(&[("a", "1")]), key(&[("a", "1")]));
        assert_eq!(key(&[]).len(), SHOWN);
        assert_ne!(key(&[("a", "1")]), key(&[("a", "2")]));
        assert_ne!(key(&[("a", "1")]), key(&[("b", "1")]));
        // The same characters, cut elsewhere.
        assert_ne!(key(&[("ab", "c")]), key(&[("a", "bc")]));
        assert_ne!(key(&[("a", "b"), ("c", "d")]), key(&[("a", "bcd")]));
        let changed = Recipe {
            files: &[("build.sh", "false")],
            ..ONE
        };
        assert_ne!(Inputs::of(&ONE).key(), Inputs::of(&changed).key());
    }

    #[test]
    fn a_file_counts_by_its_content() {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(directory.path()).unwrap().join("file");
        let key = |text: &str| {
            fs::write(&path, text).unwrap();
            let mut inputs = Inputs::of(&ONE);
            inputs.add_file("file", &path).unwrap();
            inputs.key()
        };
        assert_eq!(key("one"), key("one"));
        assert_ne!(key("one"), key("two"));
        fs::remove_file(&path).unwrap();
        assert!(Inputs::of(&ONE).add_file("file", &path).is_err());
    }
}
