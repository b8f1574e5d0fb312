//! What a class says about the directories of its volumes besides their path and their end.
//!
//! A class's parameters cannot be edited, so each of these has a default of the deployment too,
//! for classes that exist already.

use serde::{Deserialize, Serialize};

use super::ParameterError;
use crate::config::{parse_bool, parse_mode, parse_owner};

/// The parameters read here.
pub(super) const NAMES: [&str; 8] = [
    "allowClaimOverrides",
    "checkFreeSpace",
    "directoryGid",
    "directoryMode",
    "directoryUid",
    "existingDirectory",
    "removeEmptyParents",
    "sharedDirectory",
];

/// The spellings of [`parse_bool`].
pub(super) const BOOLEANS: &str = "1, t, T, TRUE, true, True, 0, f, F, FALSE, false and False";
/// What a mode may be.
pub(crate) const MODES: &str = "octal numbers from 0 to 07777";
/// What an owner or group may be.
pub(crate) const OWNERS: &str = "numbers from 0 to 4294967294";

/// Which directories that exist before their volume may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExistingDirectory {
    /// What a volume of the same namespace and claim name kept, and what no record knows where the
    /// claim's author could not aim the path at it.
    #[default]
    Own,
    /// Besides, whatever no record knows.
    Reuse,
    /// None.
    Refuse,
}

/// Which claims may have one directory at the same time. Recorded with each volume: a claim needs
/// the consent of its own class and of those the others were made by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SharedDirectory {
    /// None.
    #[default]
    Forbid,
    /// Those of one namespace.
    Namespace,
    /// All.
    Cluster,
}

impl SharedDirectory {
    /// The word in classes and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forbid => "forbid",
            Self::Namespace => "namespace",
            Self::Cluster => "cluster",
        }
    }

    /// Whether a claim of a class that says this may join a volume of a class that said `other`.
    pub const fn allows(self, other: Self, same_namespace: bool) -> bool {
        match (self, other) {
            (Self::Forbid, _) | (_, Self::Forbid) => false,
            (Self::Cluster, Self::Cluster) => true,
            (Self::Namespace, _) | (_, Self::Namespace) => same_namespace,
        }
    }
}

/// What claims may set by annotations of their own (nfs-subdir #373).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClaimOverrides {
    /// `k8s-sigs.io/nfs-directory-mode`
    pub mode: bool,
    /// `k8s-sigs.io/nfs-directory-uid`
    pub uid: bool,
    /// `k8s-sigs.io/nfs-directory-gid`
    pub gid: bool,
}

/// The parameters of a class, or the defaults of the deployment; `None` is not given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirectoryRules {
    /// `existingDirectory`
    pub existing: Option<ExistingDirectory>,
    /// `sharedDirectory`
    pub shared: Option<SharedDirectory>,
    /// `directoryMode`: permission bits, `0..=0o7777`. As the deployment's default it is
    /// [`crate::config::DirectoryAttributes`] that counts.
    pub mode: Option<u32>,
    /// `directoryUid`; likewise.
    pub uid: Option<u32>,
    /// `directoryGid`; likewise.
    pub gid: Option<u32>,
    /// `allowClaimOverrides`
    pub overrides: Option<ClaimOverrides>,
    /// `removeEmptyParents`
    pub remove_empty_parents: Option<bool>,
    /// `checkFreeSpace`
    pub check_free_space: Option<bool>,
}

impl DirectoryRules {
    /// Reads what `get` gives for the names of the parameters.
    ///
    /// # Errors
    /// [`ParameterError::Value`] for the first one that means nothing. The empty text means
    /// something for `allowClaimOverrides` only: nothing is allowed.
    pub fn read<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<Self, ParameterError> {
        fn one<'a, T>(
            get: impl Fn(&str) -> Option<&'a str>,
            name: &'static str,
            allowed: &'static str,
            parse: impl Fn(&str) -> Option<T>,
        ) -> Result<Option<T>, ParameterError> {
            let Some(text) = get(name) else {
                return Ok(None);
            };
            let value = parse(text).ok_or_else(|| ParameterError::Value {
                name,
                value: text.to_owned(),
                allowed,
            })?;
            Ok(Some(value))
        }
        Ok(Self {
            existing: one(
                &get,
                "existingDirectory",
                "own, reuse and refuse",
                |text| match text {
                    "own" => Some(ExistingDirectory::Own),
                    "reuse" => Some(ExistingDirectory::Reuse),
                    "refuse" => Some(ExistingDirectory::Refuse),
                    _ => None,
                },
            )?,
            shared: one(
                &get,
                "sharedDirectory",
                "forbid, namespace and cluster",
                |text| match text {
                    "forbid" => Some(SharedDirectory::Forbid),
                    "namespace" => Some(SharedDirectory::Namespace),
                    "cluster" => Some(SharedDirectory::Cluster),
                    _ => None,
                },
            )?,
            mode: one(&get, "directoryMode", MODES, parse_mode)?,
            uid: one(&get, "directoryUid", OWNERS, parse_owner)?,
            gid: one(&get, "directoryGid", OWNERS, parse_owner)?,
            overrides: one(
                &get,
                "allowClaimOverrides",
                "mode, uid and gid, separated by commas, or nothing",
                overrides,
            )?,
            remove_empty_parents: one(&get, "removeEmptyParents", BOOLEANS, parse_bool)?,
            check_free_space: one(&get, "checkFreeSpace", BOOLEANS, parse_bool)?,
        })
    }

    /// These, and `others` where these say nothing.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            existing: self.existing.or(others.existing),
            shared: self.shared.or(others.shared),
            mode: self.mode.or(others.mode),
            uid: self.uid.or(others.uid),
            gid: self.gid.or(others.gid),
            overrides: self.overrides.or(others.overrides),
            remove_empty_parents: self.remove_empty_parents.or(others.remove_empty_parents),
            check_free_space: self.check_free_space.or(others.check_free_space),
        }
    }

    /// Which directories that exist already may be used.
    pub fn existing(&self) -> ExistingDirectory {
        self.existing.unwrap_or_default()
    }

    /// Which claims may share a directory.
    pub fn shared(&self) -> SharedDirectory {
        self.shared.unwrap_or_default()
    }

    /// What claims may set themselves.
    pub fn overrides(&self) -> ClaimOverrides {
        self.overrides.unwrap_or_default()
    }

    /// Whether parents made here go with the last directory in them.
    pub fn remove_empty_parents(&self) -> bool {
        self.remove_empty_parents.unwrap_or_default()
    }

    /// Whether a request above what is free is refused.
    pub fn check_free_space(&self) -> bool {
        self.check_free_space.unwrap_or_default()
    }
}

fn overrides(text: &str) -> Option<ClaimOverrides> {
    let mut allowed = ClaimOverrides::default();
    if text.is_empty() {
        return Some(allowed);
    }
    for word in text.split(',') {
        match word.trim() {
            "mode" => allowed.mode = true,
            "uid" => allowed.uid = true,
            "gid" => allowed.gid = true,
            _ => return None,
        }
    }
    Some(allowed)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn read(name: &str, value: &'static str) -> Result<DirectoryRules, ParameterError> {
        DirectoryRules::read(|asked| (asked == name).then_some(value))
    }

    #[rstest]
    #[case("existingDirectory", "own", DirectoryRules { existing: Some(ExistingDirectory::Own), ..DirectoryRules::default() })]
    #[case("existingDirectory", "reuse", DirectoryRules { existing: Some(ExistingDirectory::Reuse), ..DirectoryRules::default() })]
    #[case("existingDirectory", "refuse", DirectoryRules { existing: Some(ExistingDirectory::Refuse), ..DirectoryRules::default() })]
    #[case("sharedDirectory", "forbid", DirectoryRules { shared: Some(SharedDirectory::Forbid), ..DirectoryRules::default() })]
    #[case("sharedDirectory", "namespace", DirectoryRules { shared: Some(SharedDirectory::Namespace), ..DirectoryRules::default() })]
    #[case("sharedDirectory", "cluster", DirectoryRules { shared: Some(SharedDirectory::Cluster), ..DirectoryRules::default() })]
    #[case("directoryMode", "0", DirectoryRules { mode: Some(0), ..DirectoryRules::default() })]
    #[case("directoryMode", "07777", DirectoryRules { mode: Some(0o7777), ..DirectoryRules::default() })]
    #[case("directoryMode", "750", DirectoryRules { mode: Some(0o750), ..DirectoryRules::default() })]
    #[case("directoryUid", "0", DirectoryRules { uid: Some(0), ..DirectoryRules::default() })]
    #[case("directoryUid", "4294967294", DirectoryRules { uid: Some(u32::MAX - 1), ..DirectoryRules::default() })]
    #[case("directoryGid", "65534", DirectoryRules { gid: Some(65534), ..DirectoryRules::default() })]
    #[case("allowClaimOverrides", "", DirectoryRules { overrides: Some(ClaimOverrides::default()), ..DirectoryRules::default() })]
    #[case("allowClaimOverrides", "mode", DirectoryRules { overrides: Some(ClaimOverrides { mode: true, ..ClaimOverrides::default() }), ..DirectoryRules::default() })]
    #[case("allowClaimOverrides", "gid, uid", DirectoryRules { overrides: Some(ClaimOverrides { mode: false, uid: true, gid: true }), ..DirectoryRules::default() })]
    #[case("removeEmptyParents", "true", DirectoryRules { remove_empty_parents: Some(true), ..DirectoryRules::default() })]
    #[case("checkFreeSpace", "T", DirectoryRules { check_free_space: Some(true), ..DirectoryRules::default() })]
    fn every_value_is_read(
        #[case] name: &str,
        #[case] value: &'static str,
        #[case] expected: DirectoryRules,
    ) {
        assert_eq!(read(name, value), Ok(expected));
    }

    #[rstest]
    #[case("existingDirectory", "")]
    #[case("existingDirectory", "Own")]
    #[case("existingDirectory", "true")]
    #[case("sharedDirectory", "")]
    #[case("sharedDirectory", "all")]
    #[case("directoryMode", "")]
    #[case("directoryMode", "rwx")]
    #[case("directoryMode", "0888")]
    #[case("directoryMode", "10000")]
    #[case("directoryMode", "-1")]
    #[case("directoryMode", " 755")]
    #[case("directoryUid", "")]
    #[case("directoryUid", "root")]
    #[case("directoryUid", "-1")]
    #[case("directoryUid", "4294967295")]
    #[case("directoryGid", "1.5")]
    #[case("directoryGid", "+1")]
    #[case("allowClaimOverrides", "mode,size")]
    #[case("allowClaimOverrides", "mode,")]
    #[case("allowClaimOverrides", "Mode")]
    #[case("removeEmptyParents", "yes")]
    #[case("checkFreeSpace", "")]
    fn what_means_nothing_is_refused_with_name_value_and_what_is_allowed(
        #[case] name: &str,
        #[case] value: &'static str,
    ) {
        let error = read(name, value).unwrap_err().to_string();
        assert!(error.contains(&format!("`{name}`")), "{error}");
        assert!(error.contains(&format!("{value:?}")), "{error}");
        assert!(error.contains("allowed are "), "{error}");
    }

    #[test]
    fn each_name_is_read() {
        for name in NAMES {
            assert!(read(name, "no such value").is_err(), "{name}");
        }
    }

    #[test]
    fn the_class_wins_over_the_deployment() {
        let class = DirectoryRules {
            shared: Some(SharedDirectory::Forbid),
            ..DirectoryRules::default()
        };
        let deployment = DirectoryRules {
            shared: Some(SharedDirectory::Cluster),
            existing: Some(ExistingDirectory::Reuse),
            ..DirectoryRules::default()
        };
        let both = class.or(deployment);
        assert_eq!(both.shared(), SharedDirectory::Forbid);
        assert_eq!(both.existing(), ExistingDirectory::Reuse);
    }

    #[rstest]
    #[case(SharedDirectory::Forbid, SharedDirectory::Cluster, true, false)]
    #[case(SharedDirectory::Cluster, SharedDirectory::Forbid, true, false)]
    #[case(SharedDirectory::Namespace, SharedDirectory::Namespace, true, true)]
    #[case(SharedDirectory::Namespace, SharedDirectory::Namespace, false, false)]
    #[case(SharedDirectory::Cluster, SharedDirectory::Namespace, false, false)]
    #[case(SharedDirectory::Namespace, SharedDirectory::Cluster, false, false)]
    #[case(SharedDirectory::Namespace, SharedDirectory::Cluster, true, true)]
    #[case(SharedDirectory::Cluster, SharedDirectory::Cluster, false, true)]
    fn both_classes_have_to_consent(
        #[case] own: SharedDirectory,
        #[case] other: SharedDirectory,
        #[case] same_namespace: bool,
        #[case] allowed: bool,
    ) {
        assert_eq!(own.allows(other, same_namespace), allowed);
    }
}
