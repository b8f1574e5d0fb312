//! What a bench is asked for, resolved: nothing in it can be a mistake of the caller any more.
//!
//! | flag | environment | key | default |
//! |---|---|---|---|
//! | `--subject` | `CLAIMCHECK_SUBJECT` | `subject` | `reference` |
//! | `--claims` | – | – | 1000 |
//! | `--rounds` | – | – | 5 |
//! | `--report-dir` | `CLAIMCHECK_REPORT_DIR` | `report-dir` | `claimcheck-report` |
//! | `--tool NAME=PATH` | `CLAIMCHECK_TOOL_<NAME>` | `[tools]` `NAME` | cache, download, build |

use std::ops::RangeInclusive;
use std::time::Duration;

use camino::Utf8PathBuf;
use testbed::kind::ClusterKind;
use testbed::subject::{BUILTIN, ProcessStart, Readiness, Start, Subject, VolumeBindingMode};
use testbed::tools::ToolOptions;

use super::audit;
use crate::cli::tools::ToolSources;
use crate::failure::Failure;
use crate::options::{self, OptionLayers};

/// Claims of a burst, unless given.
const CLAIMS: usize = 1000;
/// The watches and the marks of a burst are kept in memory, a few hundred bytes each.
const CLAIMS_ALLOWED: RangeInclusive<usize> = 1..=50_000;
/// Rounds, unless given: a median of five outlives two bad ones.
const ROUNDS: usize = 5;
const ROUNDS_ALLOWED: RangeInclusive<usize> = 1..=99;
/// Where `bench.json` goes, unless given.
const REPORT_DIRECTORY: &str = "claimcheck-report";
/// How long nothing at all may happen to the claims of a burst before it counts as stuck: longer
/// than any back-off that a provisioner is allowed in good health.
const STALL: Duration = Duration::from_mins(1);
/// The limit of a subject file that replaces it.
const STALL_LIMIT: &str = "claim-bound";

/// What is measured of each subject beside its bursts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beside {
    /// Before a burst, what it does with nearly nothing to do.
    pub(crate) idle: bool,
    /// In the middle of a burst, how soon it works again after a new start.
    pub(crate) restart: bool,
}

/// The flags of `bench`, as they were given.
#[derive(Clone, Debug, Default)]
pub(crate) struct BenchFlags {
    /// `--subject`, each with one or more, separated by commas.
    pub(crate) subject: Vec<String>,
    /// `--ceiling`.
    pub(crate) ceiling: bool,
    /// `--claims`.
    pub(crate) claims: Option<String>,
    /// `--rounds`.
    pub(crate) rounds: Option<String>,
    /// `--idle` and `--restart`.
    pub(crate) beside: Beside,
    /// `--cluster`.
    pub(crate) cluster: Option<String>,
    /// `--report-dir`.
    pub(crate) report_dir: Option<String>,
    /// Where binaries come from.
    pub(crate) tools: ToolSources,
}

/// A bench to do.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// The subjects, in their order; their names differ.
    pub(crate) subjects: Vec<BenchSubject>,
    /// Whether the ceiling is measured.
    pub(crate) ceiling: bool,
    /// Claims of each burst.
    pub(crate) claims: usize,
    /// Rounds.
    pub(crate) rounds: usize,
    /// What is measured beside bursts.
    pub(crate) beside: Beside,
    /// Where `bench.json` goes, as it was given.
    pub(crate) report_directory: Utf8PathBuf,
    /// Where the cluster's programs come from.
    pub(crate) tools: ToolOptions,
}

/// A subject that can be measured: a process of this machine.
#[derive(Clone, Debug)]
pub(crate) struct BenchSubject {
    /// The subject.
    pub(crate) file: Subject,
    /// The user that the API server knows it as.
    pub(super) user: String,
    /// The Lease that it holds once it is ready, where the file names one: namespace and name.
    pub(super) lease: Option<(String, String)>,
    /// How long nothing may happen before it counts as stuck.
    pub(super) stall: Duration,
}

impl BenchSubject {
    fn of(given: &str) -> Result<Self, Failure> {
        let file = Subject::open(given).map_err(Failure::usage)?;
        file.runs_on(ClusterKind::Local).map_err(|error| {
            Failure::usage(error).hint(
                "`bench` measures processes of this machine; describe the provisioner by a subject \
                 file with `start.process`",
            )
        })?;
        let Start::Process(start) = &file.start else {
            return Err(Failure::wrong(format!(
                "subject `{given}` is no process, and `bench` measures processes only"
            )));
        };
        if file.class.volume_binding_mode == VolumeBindingMode::WaitForFirstConsumer {
            return Err(Failure::wrong(format!(
                "subject `{given}`: its classes wait for a first consumer, and `bench` makes claims \
                 without pods; give a subject file with `volumeBindingMode: Immediate`"
            )));
        }
        let account = &start.service_account;
        let user = audit::user(&account.namespace, &account.name);
        let (lease, stall) = (lease(start), stall(&file));
        Ok(Self {
            file,
            user,
            lease,
            stall,
        })
    }

    /// Its name in the report.
    pub(crate) fn name(&self) -> &str {
        &self.file.name
    }
}

fn lease(start: &ProcessStart) -> Option<(String, String)> {
    match start.ready.as_ref()? {
        Readiness::Lease(name) => Some((start.service_account.namespace.clone(), name.clone())),
        Readiness::Log(_) => None,
    }
}

fn stall(subject: &Subject) -> Duration {
    subject.limits.get(STALL_LIMIT).copied().unwrap_or(STALL)
}

impl Order {
    /// Resolves the flags; nothing is started.
    ///
    /// # Errors
    /// A value that is not allowed, or a subject that cannot be measured.
    pub(crate) fn of(layers: &OptionLayers, flags: BenchFlags) -> Result<Self, Failure> {
        let BenchFlags {
            subject,
            ceiling,
            claims,
            rounds,
            beside,
            cluster,
            report_dir,
            tools,
        } = flags;
        check_cluster(cluster.as_deref())?;
        let claims = number(claims, "claims", CLAIMS, &CLAIMS_ALLOWED)?;
        let rounds = number(rounds, "rounds", ROUNDS, &ROUNDS_ALLOWED)?;
        let mut given: Vec<String> = layers
            .list("subject", &subject)
            .into_iter()
            .map(|given| given.text)
            .collect();
        if given.is_empty() {
            given.push(BUILTIN[0].to_owned());
        }
        let subjects = given
            .iter()
            .map(|given| BenchSubject::of(given))
            .collect::<Result<Vec<_>, _>>()?;
        check_names(&subjects)?;
        let directory = layers.one("report-dir", report_dir, REPORT_DIRECTORY);
        if directory.text.is_empty() {
            return Err(Failure::wrong(format!(
                "{}: the directory is empty",
                directory.origin
            )));
        }
        Ok(Self {
            subjects,
            ceiling,
            claims,
            rounds,
            beside,
            report_directory: directory.text.into(),
            tools: options::tools(layers, tools)?,
        })
    }

    /// The users whose API calls are counted.
    pub(crate) fn users(&self) -> Vec<String> {
        let mut users: Vec<String> = self
            .subjects
            .iter()
            .map(|subject| subject.user.clone())
            .collect();
        users.sort_unstable();
        users.dedup();
        users
    }
}

/// Only `local` will do; a variable or the options file that names another kind is for other
/// commands, and is not asked.
fn check_cluster(flag: Option<&str>) -> Result<(), Failure> {
    match flag {
        None | Some("local") => Ok(()),
        Some(other) => Err(Failure::wrong(format!(
            "`--cluster`: `bench` does not run on `{other}`; allowed is local"
        ))
        .hint(
            "it measures on a control plane of its own, whose controller-manager has its limits \
             raised and whose API server counts calls",
        )),
    }
}

fn number(
    flag: Option<String>,
    name: &str,
    default: usize,
    allowed: &RangeInclusive<usize>,
) -> Result<usize, Failure> {
    let Some(text) = flag else { return Ok(default) };
    let number = text.parse().ok().filter(|number| allowed.contains(number));
    number.ok_or_else(|| {
        Failure::wrong(format!(
            "`--{name}`: `{text}` is no number of {name}; allowed is {} to {}",
            allowed.start(),
            allowed.end()
        ))
    })
}

/// Figures are told apart by the subject's name.
fn check_names(subjects: &[BenchSubject]) -> Result<(), Failure> {
    for (at, subject) in subjects.iter().enumerate() {
        let name = subject.name();
        if name == super::rounds::CEILING {
            return Err(Failure::wrong(format!(
                "subject file {}: `name: {name}` is what the report calls the controller-manager \
                 alone; choose another name",
                subject.file.file
            )));
        }
        if subjects[..at].iter().any(|other| other.name() == name) {
            return Err(Failure::wrong(format!(
                "`--subject`: two subjects are called `{name}`; give each file a `name` of its own"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers() -> OptionLayers {
        OptionLayers::new([], None).unwrap()
    }

    fn order(flags: BenchFlags) -> Result<Order, (String, Option<String>)> {
        Order::of(&layers(), flags).map_err(|failure| (failure.error.to_string(), failure.hint))
    }

    #[test]
    fn numbers_that_are_none_are_refused_with_what_is_allowed() {
        for (claims, rounds, text) in [
            (
                Some("0"),
                None,
                "`--claims`: `0` is no number of claims; allowed is 1 to 50000",
            ),
            (
                Some("1e3"),
                None,
                "`--claims`: `1e3` is no number of claims; allowed is 1 to 50000",
            ),
            (
                None,
                Some("100"),
                "`--rounds`: `100` is no number of rounds; allowed is 1 to 99",
            ),
        ] {
            let flags = BenchFlags {
                claims: claims.map(str::to_owned),
                rounds: rounds.map(str::to_owned),
                ..BenchFlags::default()
            };
            assert_eq!(order(flags).unwrap_err().0, text);
        }
    }

    #[test]
    fn only_local_clusters_will_do() {
        let flags = BenchFlags {
            cluster: Some("kind".to_owned()),
            ..BenchFlags::default()
        };
        let (error, hint) = order(flags).unwrap_err();
        assert_eq!(
            error,
            "`--cluster`: `bench` does not run on `kind`; allowed is local"
        );
        assert!(hint.is_some());
    }

    #[test]
    fn a_subject_twice_and_one_that_runs_in_pods_are_refused() {
        let twice = BenchFlags {
            subject: vec!["reference,reference".to_owned()],
            ..BenchFlags::default()
        };
        assert_eq!(
            order(twice).unwrap_err().0,
            "`--subject`: two subjects are called `reference`; give each file a `name` of its own"
        );
        let in_pods = BenchFlags {
            subject: vec!["local-path".to_owned()],
            ..BenchFlags::default()
        };
        let (error, hint) = order(in_pods).unwrap_err();
        assert!(error.contains("local-path"), "{error}");
        assert!(hint.unwrap().contains("start.process"));
    }

    #[test]
    fn a_subject_is_known_to_the_api_server_by_its_account() {
        let subject = BenchSubject::of("reference").unwrap();
        assert_eq!(
            subject.user,
            "system:serviceaccount:default:nfs-client-provisioner"
        );
        let lease = subject.lease.unwrap();
        assert_eq!(lease, ("default".to_owned(), "westos.org-nfs".to_owned()));
        assert_eq!(subject.stall, STALL);
    }
}
