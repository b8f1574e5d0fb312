//! Options: flags, then the environment, then `claimcheck.toml`, then defaults; resolved once, into
//! types that hold only what is allowed.
//!
//! | flag | environment | key | default |
//! |---|---|---|---|
//! | `--subject` | `CLAIMCHECK_SUBJECT` | `subject` | `reference` |
//! | `--cluster` | `CLAIMCHECK_CLUSTER` | `cluster` | `local` |
//! | `--name` | `CLAIMCHECK_NAME` | `name` | `default`; a `run` that boots takes one of its own |
//! | `--profile` | `CLAIMCHECK_PROFILE` | `profile` | all that the subject declares |
//! | `--only`, `--exclude` | `CLAIMCHECK_ONLY`, `CLAIMCHECK_EXCLUDE` | `only`, `exclude` | none |
//! | `--parallel` | `CLAIMCHECK_PARALLEL` | `parallel` | 8 |
//! | `--report-dir` | `CLAIMCHECK_REPORT_DIR` | `report-dir` | `claimcheck-report` |
//! | `--keep` | `CLAIMCHECK_KEEP` | `keep` | `never` |
//! | `--workers` | `CLAIMCHECK_WORKERS` | `workers` | 2, on `kind` |
//! | `--kubernetes` | `CLAIMCHECK_KUBERNETES` | `kubernetes` | that of this program, on `kind` |
//! | `--node-image` | `CLAIMCHECK_NODE_IMAGE` | `node-image` | local, pulled, built, on `kind` |
//! | `--tool NAME=PATH` | `CLAIMCHECK_TOOL_<NAME>` | `[tools]` `NAME` | cache, download, build |

use camino::{Utf8Path, Utf8PathBuf};
use conformance::catalogue::Profile;
use conformance::limits::Limit;
use conformance::runner::Keep;
use conformance::selection::{Selection, case_id};
use conformance::subject::{DeclarationError, Subject as Declared};
use testbed::artifacts::valid_name;
use testbed::kind::ClusterKind;
use testbed::state::StateError;
use testbed::subject::{BUILTIN, Subject};
use testbed::tools::ToolOptions;

use self::layers::{Given, Layers};
use crate::cli::arguments::{SelectionFlags, SubjectFlags};
use crate::cli::tools::ToolSources;
use crate::failure::{Failure, failed_to};

mod cluster;
mod file;
mod layers;

pub(crate) use cluster::{ClusterChoice, KindChoice, choice as cluster_choice};
pub(crate) use layers::Layers as OptionLayers;

/// The name of the testbed that `up` makes and `run` looks for, unless another is given.
pub(crate) const DEFAULT_NAME: &str = "default";
/// How many cases run at once: they wait more than they work.
const PARALLEL: usize = 8;
/// More would only queue up in the API server.
const PARALLEL_LIMIT: usize = 256;
/// Where reports go.
const REPORT_DIRECTORY: &str = "claimcheck-report";
/// A subject, read and checked.
#[derive(Clone, Debug)]
pub(crate) struct ChosenSubject {
    /// As it was given: a path, or the name of a built-in one.
    pub(crate) given: String,
    /// How it is started.
    pub(crate) file: Subject,
    /// What it declares.
    pub(crate) declared: Declared,
}

/// The subject and the kind of cluster.
///
/// # Errors
/// A mistake in either, or in the subject file.
pub(crate) fn subject(
    layers: &Layers,
    flags: SubjectFlags,
) -> Result<(ChosenSubject, ClusterKind), Failure> {
    let SubjectFlags { subject, cluster } = flags;
    let kind = cluster::kind(layers, cluster)?;
    let given = layers.one("subject", subject, BUILTIN[0]).text;
    let file = Subject::open(kind.subject(&given)).map_err(Failure::usage)?;
    let declared = Declared::declared_by(&file).map_err(|error| undeclarable(&given, &error))?;
    Ok((
        ChosenSubject {
            given,
            file,
            declared,
        },
        kind,
    ))
}

/// A name in the subject file that does not exist, with what may have been meant.
fn undeclarable(given: &str, error: &DeclarationError) -> Failure {
    let failure = Failure::wrong(format!("subject file {given}: {error}"));
    match error {
        DeclarationError::Profile { source, .. } | DeclarationError::Feature { source, .. } => {
            suggested(failure, &source.text, source.allowed)
        }
        DeclarationError::Limit { source, .. } => {
            let names: Vec<_> = Limit::ALL.iter().map(|(_, name, ..)| *name).collect();
            suggested(failure, &source.name, &names)
        }
    }
}

/// Which cases are asked for.
///
/// # Errors
/// A profile or case that does not exist.
pub(crate) fn selection(layers: &Layers, flags: SelectionFlags) -> Result<Selection, Failure> {
    let SelectionFlags {
        profile,
        only,
        exclude,
    } = flags;
    let mut selection = Selection::default();
    for given in layers.list("profile", &profile) {
        let profile = given.text.parse::<Profile>().map_err(|error| {
            let names: Vec<_> = Profile::ALL.iter().map(|profile| profile.name()).collect();
            let failure = Failure::wrong(format!(
                "{}: unknown profile `{}`; allowed are {}",
                given.origin,
                error.text,
                names.join(", ")
            ));
            suggested(failure, &error.text, &names)
        })?;
        selection.profiles.push(profile);
    }
    selection.only = cases(&layers.list("only", &only))?;
    selection.exclude = cases(&layers.list("exclude", &exclude))?;
    Ok(selection)
}

fn cases(given: &[Given]) -> Result<Vec<&'static str>, Failure> {
    given
        .iter()
        .map(|given| case(&given.text, &given.origin.to_string()))
        .collect()
}

/// The id of a case that is given by its id or its name.
///
/// # Errors
/// No row of the catalogue has it.
pub(crate) fn case(text: &str, origin: &str) -> Result<&'static str, Failure> {
    case_id(text).map_err(|error| {
        let failure = Failure::wrong(format!("{origin}: unknown case `{}`", error.id));
        let names: Vec<_> = conformance::catalogue::rows().map(|row| row.name).collect();
        match (likeliest(text, &names), error.suggestion) {
            (Some(name), _) => failure.hint(format!("did you mean `{name}`?")),
            (None, Some(id)) => failure.hint(format!("did you mean `{id}`?")),
            (None, None) => failure.hint("`claimcheck list` shows every case"),
        }
    })
}

/// How a run is done, apart from where and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunSettings {
    /// How many cases at once.
    pub(crate) parallel: usize,
    /// Where reports go, as it was given.
    pub(crate) report_directory: Utf8PathBuf,
    /// What is left for a person to look at.
    pub(crate) keep: Keep,
}

/// The settings of a run.
///
/// # Errors
/// A value that is not allowed.
pub(crate) fn run_settings(
    layers: &Layers,
    parallel: Option<String>,
    report_directory: Option<String>,
    keep: Option<String>,
) -> Result<RunSettings, Failure> {
    let parallel = layers.one("parallel", parallel, &PARALLEL.to_string());
    let directory = layers.one("report-dir", report_directory, REPORT_DIRECTORY);
    if directory.text.is_empty() {
        return Err(Failure::wrong(format!(
            "{}: the directory is empty",
            directory.origin
        )));
    }
    let keep = layers.one("keep", keep, "never");
    Ok(RunSettings {
        parallel: parallel
            .text
            .parse()
            .ok()
            .filter(|number| (1..=PARALLEL_LIMIT).contains(number))
            .ok_or_else(|| {
                Failure::wrong(format!(
                    "{}: `{}` is no number of cases; allowed is 1 to {PARALLEL_LIMIT}",
                    parallel.origin, parallel.text
                ))
            })?,
        report_directory: directory.text.into(),
        keep: match keep.text.as_str() {
            "never" => Keep::Never,
            "failure" => Keep::Failure,
            "always" => Keep::Always,
            other => {
                let names = ["never", "failure", "always"];
                let failure = Failure::wrong(format!(
                    "{}: unknown value `{other}`; allowed are {}",
                    keep.origin,
                    names.join(", ")
                ));
                return Err(suggested(failure, other, &names));
            }
        },
    })
}

/// The testbed's name, when one is given.
///
/// # Errors
/// The name is no DNS label.
pub(crate) fn name(layers: &Layers, flag: Option<String>) -> Result<Option<String>, Failure> {
    match layers.given("name", flag) {
        Some(given) if !valid_name(&given.text) => Err(StateError::BadName(given.text).into()),
        given => Ok(given.map(|given| given.text)),
    }
}

/// Where a cluster's tools come from.
///
/// # Errors
/// The environment names no cache directory, or the machine is none that tools exist for.
pub(crate) fn tools(layers: &Layers, flags: ToolSources) -> Result<ToolOptions, Failure> {
    let mut options = flags
        .options()
        .map_err(|error| Failure::usage(failed_to(&error)))?;
    for (tool, path) in layers.file_tools() {
        options.paths.entry(*tool).or_insert_with(|| path.clone());
    }
    Ok(options)
}

/// The same path, absolute, which need not exist.
///
/// # Errors
/// There is no current directory, or its path is not UTF-8.
pub(crate) fn absolute(path: &Utf8Path) -> Result<Utf8PathBuf, Failure> {
    camino::absolute_utf8(path).map_err(|error| {
        Failure::usage(anyhow::Error::from(error).context(format!("cannot find {path}")))
    })
}

/// Adds what may have been meant.
pub(crate) fn suggested(failure: Failure, word: &str, known: &[&str]) -> Failure {
    match likeliest(word, known) {
        Some(meant) => failure.hint(format!("did you mean `{meant}`?")),
        None => failure,
    }
}

/// The one of `known` that `word` is most like, if any is.
fn likeliest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    /// Jaro-Winkler: one letter wrong, missing or swapped is above, another word is below.
    const ALIKE: f64 = 0.8;
    let likeness = |other: &str| strsim::jaro_winkler(&word.to_lowercase(), &other.to_lowercase());
    known
        .iter()
        .map(|other| (likeness(other), *other))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(environment: &[(&str, &str)], file: &str) -> Layers {
        let environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Layers::new(environment, Some(file)).unwrap()
    }

    fn parallel(layers: &Layers, flag: Option<&str>) -> usize {
        run_settings(layers, flag.map(str::to_owned), None, None)
            .unwrap()
            .parallel
    }

    #[test]
    fn flags_outweigh_the_environment_which_outweighs_the_file() {
        let all = layers(&[("CLAIMCHECK_PARALLEL", "3")], "parallel = 2");
        assert_eq!(parallel(&all, Some("4")), 4);
        assert_eq!(parallel(&all, None), 3);
        assert_eq!(parallel(&layers(&[], "parallel = 2"), None), 2);
        assert_eq!(parallel(&layers(&[], ""), None), 8);
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        assert_eq!(
            parallel(&layers(&[("CLAIMCHECK_PARALLEL", "")], ""), None),
            8
        );
    }

    #[test]
    fn a_wrong_value_names_where_it_was_given_and_what_is_allowed() {
        let wrong = |environment: &[(&str, &str)], file: &str| {
            run_settings(&layers(environment, file), None, None, None).unwrap_err()
        };
        assert_eq!(
            wrong(&[("CLAIMCHECK_PARALLEL", "0")], "").error.to_string(),
            "environment variable `CLAIMCHECK_PARALLEL`: `0` is no number of cases; allowed is 1 to 256"
        );
        let failure = wrong(&[], "\nkeep = \"allways\"");
        assert_eq!(
            failure.error.to_string(),
            "claimcheck.toml:2: key `keep`: unknown value `allways`; allowed are never, failure, always"
        );
        assert_eq!(failure.hint.as_deref(), Some("did you mean `always`?"));
    }

    #[test]
    fn lists_are_split_at_commas_and_take_ids_and_names() {
        let layers = layers(
            &[("CLAIMCHECK_EXCLUDE", "b02")],
            "only = [\"B01\", \"capacity-at-least-request\"]",
        );
        let selection = selection(&layers, SelectionFlags::default()).unwrap();
        assert_eq!(selection.only, ["B01", "B02"]);
        assert_eq!(selection.exclude, ["B02"]);
        let flags = SelectionFlags {
            only: vec!["B03,B04".into(), "B05".into()],
            ..SelectionFlags::default()
        };
        assert_eq!(
            super::selection(&layers, flags).unwrap().only,
            ["B03", "B04", "B05"]
        );
    }

    #[test]
    fn an_unknown_profile_or_case_is_refused_with_a_suggestion() {
        let none = layers(&[], "");
        let flags = SelectionFlags {
            profile: vec!["walktrough".into()],
            ..SelectionFlags::default()
        };
        let failure = selection(&none, flags).unwrap_err();
        assert_eq!(failure.hint.as_deref(), Some("did you mean `walkthrough`?"));
        let flags = SelectionFlags {
            only: vec!["claimref-id".into()],
            ..SelectionFlags::default()
        };
        let failure = selection(&none, flags).unwrap_err();
        assert_eq!(
            failure.error.to_string(),
            "`--only`: unknown case `claimref-id`"
        );
        assert_eq!(
            failure.hint.as_deref(),
            Some("did you mean `claimref-uid`?")
        );
    }
}
