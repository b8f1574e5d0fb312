//! What counts where a class says nothing: one flag for each parameter of a class that has no older
//! one. Classes cannot be edited, so this is how those that exist get a parameter.

use clap::Args;

use crate::class::{DirectoryRules, ParameterError};
use crate::config::ConfigError;

/// See the module. The values are those of the parameters; empty is unset.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct DefaultsArgs {
    /// Directories that exist before their volume, where the class does not say: own, reuse or
    /// refuse
    #[arg(long, env = "CLAIMCHECK_EXISTING_DIRECTORY", value_name = "POLICY")]
    existing_directory: Option<String>,
    /// Directories of several claims, where the class does not say: forbid, namespace or cluster
    #[arg(long, env = "CLAIMCHECK_SHARED_DIRECTORY", value_name = "SCOPE")]
    shared_directory: Option<String>,
    /// What claims may set by annotations, where the class does not say: mode, uid and gid,
    /// separated by commas
    #[arg(long, env = "CLAIMCHECK_ALLOW_CLAIM_OVERRIDES", value_name = "LIST")]
    allow_claim_overrides: Option<String>,
    /// Remove parents that are made here and become empty, where the class does not say
    #[arg(long, env = "CLAIMCHECK_REMOVE_EMPTY_PARENTS", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    remove_empty_parents: Option<String>,
    /// Refuse requests above what is free on the export, where the class does not say
    #[arg(long, env = "CLAIMCHECK_CHECK_FREE_SPACE", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    check_free_space: Option<String>,
}

impl DefaultsArgs {
    /// Reads the values by the rules for classes.
    pub(super) fn rules(&self) -> Result<DirectoryRules, ConfigError> {
        let get = |name: &str| {
            let value = match name {
                "existingDirectory" => &self.existing_directory,
                "sharedDirectory" => &self.shared_directory,
                "allowClaimOverrides" => &self.allow_claim_overrides,
                "removeEmptyParents" => &self.remove_empty_parents,
                "checkFreeSpace" => &self.check_free_space,
                _ => &None,
            };
            value.as_deref().filter(|text| !text.is_empty())
        };
        DirectoryRules::read(get).map_err(|error| match error {
            ParameterError::Value {
                name,
                value,
                allowed,
            } => ConfigError::invalid(setting(name), value, format!("allowed are {allowed}")),
            ParameterError::Unknown { .. } | ParameterError::Pattern(_) => {
                ConfigError::invalid("the defaults of class parameters", "", error.to_string())
            }
        })
    }
}

fn setting(parameter: &str) -> &'static str {
    match parameter {
        "existingDirectory" => "--existing-directory (CLAIMCHECK_EXISTING_DIRECTORY)",
        "sharedDirectory" => "--shared-directory (CLAIMCHECK_SHARED_DIRECTORY)",
        "allowClaimOverrides" => "--allow-claim-overrides (CLAIMCHECK_ALLOW_CLAIM_OVERRIDES)",
        "removeEmptyParents" => "--remove-empty-parents (CLAIMCHECK_REMOVE_EMPTY_PARENTS)",
        _ => "--check-free-space (CLAIMCHECK_CHECK_FREE_SPACE)",
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::class::{ClaimOverrides, ExistingDirectory, SharedDirectory};

    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        defaults: DefaultsArgs,
    }

    fn rules(arguments: &[&str]) -> Result<DirectoryRules, ConfigError> {
        let all = std::iter::once("test").chain(arguments.iter().copied());
        <Cli as clap::Parser>::try_parse_from(all)
            .unwrap()
            .defaults
            .rules()
    }

    #[test]
    fn nothing_is_set_unless_it_is_given() {
        assert_eq!(rules(&[]).unwrap(), DirectoryRules::default());
        assert_eq!(
            rules(&["--existing-directory=", "--remove-empty-parents="]).unwrap(),
            DirectoryRules::default()
        );
    }

    #[test]
    fn every_flag_sets_its_own() {
        let all = [
            "--existing-directory=reuse",
            "--shared-directory=namespace",
            "--allow-claim-overrides=mode,gid",
            "--remove-empty-parents",
            "--check-free-space=true",
        ];
        assert_eq!(
            rules(&all).unwrap(),
            DirectoryRules {
                existing: Some(ExistingDirectory::Reuse),
                shared: Some(SharedDirectory::Namespace),
                overrides: Some(ClaimOverrides {
                    mode: true,
                    uid: false,
                    gid: true
                }),
                remove_empty_parents: Some(true),
                check_free_space: Some(true),
                ..DirectoryRules::default()
            }
        );
    }

    #[rstest]
    #[case("--existing-directory=always")]
    #[case("--shared-directory=all")]
    #[case("--allow-claim-overrides=size")]
    #[case("--remove-empty-parents=yes")]
    #[case("--check-free-space=2")]
    fn a_bad_value_names_flag_variable_and_what_is_allowed(#[case] argument: &str) {
        let error = rules(&[argument]).unwrap_err();
        let (flag, value) = argument.split_once('=').unwrap();
        let text = error.to_string();
        assert!(error.setting().starts_with(flag), "{text}");
        assert!(text.contains("CLAIMCHECK_"), "{text}");
        assert!(
            text.contains(value) && text.contains("allowed are"),
            "{text}"
        );
    }
}
