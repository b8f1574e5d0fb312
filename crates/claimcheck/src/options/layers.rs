//! Where an option comes from: the first of flag, environment and file that has it.

use std::collections::BTreeMap;
use std::fmt;

use camino::Utf8PathBuf;
use testbed::tools::Tool;

use super::file::{self, FILE};
use super::likeliest;
use crate::failure::Failure;

/// What the variables of this program start with.
const PREFIX: &str = "CLAIMCHECK_";

/// An option's text and its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    /// The text.
    pub(crate) text: String,
    /// Where it stands.
    pub(crate) origin: Origin,
}

/// Where an option stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A flag.
    Flag(&'static str),
    /// A variable.
    Environment(String),
    /// A key of `claimcheck.toml`, and its line.
    File(&'static str, usize),
    /// Nowhere.
    Default(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(key) => write!(f, "`--{key}`"),
            Self::Environment(variable) => write!(f, "environment variable `{variable}`"),
            Self::File(key, line) => write!(f, "{FILE}:{line}: key `{key}`"),
            Self::Default(key) => write!(f, "default of `--{key}`"),
        }
    }
}

/// The environment and the file, read once.
#[derive(Debug)]
pub(crate) struct Layers {
    environment: BTreeMap<String, String>,
    file: file::Options,
}

impl Layers {
    /// The environment of this process and the file of the current directory.
    ///
    /// # Errors
    /// A mistake in the file, or a misspelt variable.
    pub(crate) fn read() -> Result<Self, Failure> {
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Self::new(environment, file::read()?.as_deref())
    }

    pub(crate) fn new(
        environment: impl IntoIterator<Item = (String, String)>,
        file: Option<&str>,
    ) -> Result<Self, Failure> {
        let environment: BTreeMap<String, String> = environment
            .into_iter()
            .filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty())
            .collect();
        for name in environment.keys() {
            check_variable(name)?;
        }
        Ok(Self {
            environment,
            file: file::parse(file.unwrap_or_default())?,
        })
    }

    /// The option, where it is given.
    pub(crate) fn given(&self, key: &'static str, flag: Option<String>) -> Option<Given> {
        if let Some(text) = flag {
            return Some(Given {
                text,
                origin: Origin::Flag(key),
            });
        }
        let variable = variable(key);
        if let Some(text) = self.environment.get(&variable) {
            return Some(Given {
                text: text.clone(),
                origin: Origin::Environment(variable),
            });
        }
        let (text, line) = self.file.values.get(key)?;
        Some(Given {
            text: text.clone(),
            origin: Origin::File(key, *line),
        })
    }

    /// The option, or its default.
    pub(crate) fn one(&self, key: &'static str, flag: Option<String>, default: &str) -> Given {
        self.given(key, flag).unwrap_or_else(|| Given {
            text: default.to_owned(),
            origin: Origin::Default(key),
        })
    }

    /// The parts of an option that is a list, separated by commas.
    pub(crate) fn list(&self, key: &'static str, flags: &[String]) -> Vec<Given> {
        let flag = (!flags.is_empty()).then(|| flags.join(","));
        let Some(given) = self.given(key, flag) else {
            return Vec::new();
        };
        given
            .text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(|part| Given {
                text: part.to_owned(),
                origin: given.origin.clone(),
            })
            .collect()
    }

    /// The tools that the file gives paths of.
    pub(crate) fn file_tools(&self) -> &BTreeMap<Tool, Utf8PathBuf> {
        &self.file.tools
    }
}

fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('-', "_"))
}

/// Refuses a variable that is almost one of the options' names. Others with the prefix belong to
/// the tools, the provisioner or somebody's scripts.
fn check_variable(name: &str) -> Result<(), Failure> {
    /// Read elsewhere, and like the name of an option.
    const OTHERS: [&str; 1] = ["CLAIMCHECK_HOME"];
    let known: Vec<String> = file::KEYS.iter().map(|(key, _)| variable(key)).collect();
    if known.iter().any(|known| known == name) || OTHERS.contains(&name) {
        return Ok(());
    }
    let spelt = name
        .trim_start_matches(PREFIX)
        .to_lowercase()
        .replace('_', "-");
    let keys: Vec<&str> = file::KEYS.iter().map(|(key, _)| *key).collect();
    match likeliest(&spelt, &keys) {
        // A whole word in common is no misspelling: CLAIMCHECK_SUBJECT_DIR may be anybody's.
        Some(key) if key.len().abs_diff(spelt.len()) <= 2 => Err(Failure::wrong(format!(
            "unknown environment variable `{name}`"
        ))
        .hint(format!("did you mean `{}`?", variable(key)))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_variable_is_refused_and_others_with_the_prefix_are_not_ours() {
        assert!(check_variable("CLAIMCHECK_SUBJECT").is_ok());
        assert!(check_variable("CLAIMCHECK_TOOL_ETCD").is_ok());
        assert!(check_variable("CLAIMCHECK_HOME").is_ok());
        assert!(check_variable("CLAIMCHECK_BACKEND").is_ok());
        let failure = check_variable("CLAIMCHECK_SUBJCT").unwrap_err();
        assert_eq!(
            failure.hint.as_deref(),
            Some("did you mean `CLAIMCHECK_SUBJECT`?")
        );
    }
}
