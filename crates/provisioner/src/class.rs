//! Class parameters as a typed struct. Unknown names and bad values refuse the class when a claim
//! is provisioned, not when its volume is deleted (volume-provisioning proposal, step 4).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::config::{UnknownParameters, parse_bool};
use crate::path::pattern::{Pattern, PatternError};

pub mod directories;

pub use directories::{ClaimOverrides, DirectoryRules, ExistingDirectory, SharedDirectory};

/// The parameters a class may have.
fn known() -> Vec<&'static str> {
    let mut names = ["archiveOnDelete", "onDelete", "pathPattern"].to_vec();
    names.extend(directories::NAMES);
    names.sort_unstable();
    names
}

/// What happens to the directory when its volume is deleted. A greater one protects more.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum OnDelete {
    /// It is removed.
    Delete,
    /// It is renamed `archived-…`.
    Archive,
    /// It stays where it is.
    Retain,
}

impl OnDelete {
    /// The word in annotations, parameters and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Retain => "retain",
            Self::Archive => "archive",
        }
    }
}

impl fmt::Display for OnDelete {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for OnDelete {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "delete" => Ok(Self::Delete),
            "retain" => Ok(Self::Retain),
            "archive" => Ok(Self::Archive),
            _ => Err(()),
        }
    }
}

/// What a class asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassParameters {
    /// Where volumes lie; `None`: the default name.
    pub path_pattern: Option<Pattern>,
    /// What happens to the directory of a deleted volume.
    pub on_delete: OnDelete,
    /// What its directories are like.
    pub directories: DirectoryRules,
    /// Parameters nobody knows, when those are let through.
    pub ignored: Vec<String>,
}

/// A parameter that cannot be honoured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// A name nobody knows.
    #[error("the parameter `{name}` is unknown; known are {}", known().join(", "))]
    Unknown {
        /// The name.
        name: String,
    },
    /// A value that means nothing.
    #[error("the parameter `{name}` has the value {value:?}; allowed are {allowed}")]
    Value {
        /// The name.
        name: &'static str,
        /// The value.
        value: String,
        /// What may stand there.
        allowed: &'static str,
    },
    /// A pattern that does not parse.
    #[error("the parameter `pathPattern` {0}")]
    Pattern(#[from] PatternError),
}

/// Reads the parameters of a class.
///
/// | onDelete | archiveOnDelete | on delete |
/// |---|---|---|
/// | delete, retain, archive | any boolean or absent | what onDelete says |
/// | absent or empty | false | delete |
/// | absent or empty | true or absent | archive |
///
/// # Errors
/// The first parameter, by name, that cannot be honoured.
pub fn parameters(
    given: Option<&BTreeMap<String, String>>,
    unknown: UnknownParameters,
) -> Result<ClassParameters, ParameterError> {
    let get = |name: &str| given.and_then(|given| given.get(name)).map(String::as_str);
    let known = known();
    let ignored: Vec<String> = given
        .into_iter()
        .flatten()
        .map(|(name, _)| name)
        .filter(|name| !known.contains(&name.as_str()))
        .cloned()
        .collect();
    if let (UnknownParameters::Refuse, Some(name)) = (unknown, ignored.first()) {
        return Err(ParameterError::Unknown { name: name.clone() });
    }
    let archive = match get("archiveOnDelete") {
        None => true,
        Some(text) => parse_bool(text).ok_or_else(|| ParameterError::Value {
            name: "archiveOnDelete",
            value: text.to_owned(),
            allowed: directories::BOOLEANS,
        })?,
    };
    let on_delete = match get("onDelete") {
        None | Some("") => {
            if archive {
                OnDelete::Archive
            } else {
                OnDelete::Delete
            }
        }
        Some(text) => text.parse().map_err(|()| ParameterError::Value {
            name: "onDelete",
            value: text.to_owned(),
            allowed: "delete, retain and archive",
        })?,
    };
    let path_pattern = match get("pathPattern") {
        None | Some("") => None,
        Some(text) => Some(Pattern::parse(text)?),
    };
    Ok(ClassParameters {
        path_pattern,
        on_delete,
        directories: DirectoryRules::read(get)?,
        ignored,
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<ClassParameters, ParameterError> {
        let map = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        parameters(Some(&map), UnknownParameters::Refuse)
    }

    #[rstest]
    #[case(&[], OnDelete::Archive)]
    #[case(&[("archiveOnDelete", "true")], OnDelete::Archive)]
    #[case(&[("archiveOnDelete", "false")], OnDelete::Delete)]
    #[case(&[("archiveOnDelete", "0")], OnDelete::Delete)]
    #[case(&[("onDelete", "")], OnDelete::Archive)]
    #[case(&[("onDelete", ""), ("archiveOnDelete", "F")], OnDelete::Delete)]
    #[case(&[("onDelete", "delete")], OnDelete::Delete)]
    #[case(&[("onDelete", "delete"), ("archiveOnDelete", "true")], OnDelete::Delete)]
    #[case(&[("onDelete", "retain"), ("archiveOnDelete", "false")], OnDelete::Retain)]
    #[case(&[("onDelete", "archive"), ("archiveOnDelete", "false")], OnDelete::Archive)]
    fn on_delete_wins_over_archive_on_delete(
        #[case] given: &[(&str, &str)],
        #[case] expected: OnDelete,
    ) {
        assert_eq!(read(given).unwrap().on_delete, expected);
    }

    #[test]
    fn no_parameters_at_all_means_archive() {
        assert_eq!(
            parameters(None, UnknownParameters::Refuse)
                .unwrap()
                .on_delete,
            OnDelete::Archive
        );
    }

    #[rstest]
    #[case(&[("archiveOnDelete", "maybe")], "archiveOnDelete")]
    #[case(&[("archiveOnDelete", "")], "archiveOnDelete")]
    #[case(&[("archiveOnDelete", "maybe"), ("onDelete", "delete")], "archiveOnDelete")]
    #[case(&[("onDelete", "Delete")], "onDelete")]
    #[case(&[("onDelete", "keep")], "onDelete")]
    #[case(&[("onDelete", " delete")], "onDelete")]
    #[case(&[("pathPattern", "${.PVC.uid}")], "pathPattern")]
    #[case(&[("archiveOndelete", "true")], "archiveOndelete")]
    #[case(&[("server", "x")], "server")]
    #[case(&[("directorymode", "0700")], "directorymode")]
    #[case(&[("directoryMode", "0900")], "directoryMode")]
    #[case(&[("sharedDirectory", "yes")], "sharedDirectory")]
    fn what_cannot_be_honoured_is_refused_by_name(
        #[case] given: &[(&str, &str)],
        #[case] named: &str,
    ) {
        let error = read(given).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }

    #[test]
    fn what_an_unknown_parameter_could_have_been_is_listed() {
        let error = read(&[("directorymode", "0700")]).unwrap_err().to_string();
        assert_eq!(
            error,
            "the parameter `directorymode` is unknown; known are allowClaimOverrides, \
             archiveOnDelete, checkFreeSpace, directoryGid, directoryMode, directoryUid, \
             existingDirectory, onDelete, pathPattern, removeEmptyParents, sharedDirectory"
        );
    }

    #[test]
    fn retain_protects_most() {
        assert!(OnDelete::Delete < OnDelete::Archive && OnDelete::Archive < OnDelete::Retain);
    }

    #[test]
    fn unknown_parameters_can_be_let_through() {
        let map = BTreeMap::from([("server".to_owned(), "x".to_owned())]);
        let read = parameters(Some(&map), UnknownParameters::Warn).unwrap();
        assert_eq!(read.ignored, ["server"]);
    }

    #[test]
    fn an_empty_pattern_means_the_default_name() {
        assert_eq!(read(&[("pathPattern", "")]).unwrap().path_pattern, None);
        assert!(
            read(&[("pathPattern", "${.PVC.name}")])
                .unwrap()
                .path_pattern
                .is_some()
        );
    }
}
