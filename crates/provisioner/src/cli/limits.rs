//! How long a step may take, for exports and trees that are slower than most.

use std::time::Duration;

use clap::Args;

use crate::config::{ConfigError, Limits, parse_duration};

/// See the module. Go's syntax for durations; empty is unset.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct LimitsArgs {
    /// Longest time for one call on the export [default: 30s]
    #[arg(
        long = "storage-timeout",
        env = "CLAIMCHECK_STORAGE_TIMEOUT",
        value_name = "DURATION"
    )]
    storage: Option<String>,
    /// Longest time for one attempt to serve a claim; the next one goes on from its record
    /// [default: 2m]
    #[arg(
        long = "provision-timeout",
        env = "CLAIMCHECK_PROVISION_TIMEOUT",
        value_name = "DURATION"
    )]
    provision: Option<String>,
    /// Longest time without progress while a tree is removed; the next attempt goes on
    /// [default: 2m]
    #[arg(
        long = "removal-timeout",
        env = "CLAIMCHECK_REMOVAL_TIMEOUT",
        value_name = "DURATION"
    )]
    removal: Option<String>,
}

impl LimitsArgs {
    /// Reads the values.
    pub(super) fn limits(&self) -> Result<Limits, ConfigError> {
        let usual = Limits::default();
        Ok(Limits {
            storage: limit(
                "--storage-timeout (CLAIMCHECK_STORAGE_TIMEOUT)",
                self.storage.as_deref(),
                usual.storage,
            )?,
            provision: limit(
                "--provision-timeout (CLAIMCHECK_PROVISION_TIMEOUT)",
                self.provision.as_deref(),
                usual.provision,
            )?,
            removal: limit(
                "--removal-timeout (CLAIMCHECK_REMOVAL_TIMEOUT)",
                self.removal.as_deref(),
                usual.removal,
            )?,
            ..usual
        })
    }
}

/// Below a second every call of a busy server would fail, and be made again for ever.
fn limit(
    setting: &'static str,
    text: Option<&str>,
    usual: Duration,
) -> Result<Duration, ConfigError> {
    match text {
        None | Some("") => Ok(usual),
        Some(text) => parse_duration(text)
            .filter(|limit| *limit >= Duration::from_secs(1))
            .ok_or_else(|| {
                ConfigError::invalid(
                    setting,
                    text,
                    "a duration of at least 1s, such as 30s or 5m",
                )
            }),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        limits: LimitsArgs,
    }

    fn limits(arguments: &[&str]) -> Result<Limits, ConfigError> {
        let all = std::iter::once("test").chain(arguments.iter().copied());
        <Cli as clap::Parser>::try_parse_from(all)
            .unwrap()
            .limits
            .limits()
    }

    #[test]
    fn nothing_is_changed_unless_it_is_given() {
        assert_eq!(limits(&[]).unwrap(), Limits::default());
        assert_eq!(
            limits(&["--storage-timeout=", "--removal-timeout="]).unwrap(),
            Limits::default()
        );
    }

    #[test]
    fn every_flag_sets_its_own() {
        let all = [
            "--storage-timeout=90s",
            "--provision-timeout=10m",
            "--removal-timeout=1h",
        ];
        assert_eq!(
            limits(&all).unwrap(),
            Limits {
                storage: Duration::from_secs(90),
                provision: Duration::from_mins(10),
                removal: Duration::from_hours(1),
                ..Limits::default()
            }
        );
    }

    #[rstest]
    #[case("--storage-timeout=30")]
    #[case("--provision-timeout=0")]
    #[case("--removal-timeout=10ms")]
    fn a_bad_value_names_flag_variable_and_what_is_allowed(#[case] argument: &str) {
        let error = limits(&[argument]).unwrap_err();
        let (flag, value) = argument.split_once('=').unwrap();
        let text = error.to_string();
        assert!(error.setting().starts_with(flag), "{text}");
        assert!(text.contains("CLAIMCHECK_"), "{text}");
        assert!(
            text.contains(value) && text.contains("at least 1s"),
            "{text}"
        );
    }
}
