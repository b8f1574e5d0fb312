//! `bench.json` (schema `claimcheck/bench/v1`, `docs/bench.md`).

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::figures::{Figures, LimitedBy, Ratios, Run, limited_by, medians, ratios};
use super::order::Order;
use super::rounds::CEILING;
use crate::bed::millis;

/// Name and version of the schema.
pub(crate) const SCHEMA: &str = "claimcheck/bench/v1";

/// A bench, as its file tells it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    schema: &'static str,
    suite: Suite,
    machine: Machine,
    /// Version of the control plane.
    pub(crate) kubernetes: String,
    /// Claims of each burst.
    pub(crate) claims: usize,
    /// Rounds that were asked for.
    pub(crate) rounds: usize,
    /// Whether all of them were done.
    pub(crate) complete: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    started: Timestamp,
    duration_ms: u64,
    /// The controller-manager alone, where it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ceiling: Option<Figures>,
    /// Every subject that finished a round, in the order of the call.
    pub(crate) subjects: Vec<SubjectFigures>,
    /// By the subject's name.
    pub(crate) ratios: BTreeMap<String, Ratios>,
    /// Every burst, in order.
    runs: Vec<Run>,
}

#[derive(Clone, Debug, Serialize)]
struct Suite {
    version: &'static str,
    build: &'static str,
}

/// What it ran on.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// Processors that this process may use.
    pub(crate) cpus: usize,
    /// Memory, in MiB; none where `/proc/meminfo` does not tell.
    pub(crate) memory_mib: Option<u64>,
    /// The kernel's release.
    pub(crate) kernel: String,
}

/// One subject: medians over its rounds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SubjectFigures {
    /// Its name.
    pub(crate) name: String,
    /// Its version, where the subject file gives one.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    provisioner: String,
    /// SHA-256 of the subject file.
    digest: String,
    /// Claims of each burst.
    claims: usize,
    /// Rounds that it finished.
    rounds: usize,
    /// Medians.
    #[serde(flatten)]
    pub(crate) figures: Figures,
    /// Who kept its claims from being Bound faster.
    pub(crate) limited: LimitedBy,
}

/// What a report needs beside the figures.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// When it began.
    pub(crate) started: Timestamp,
    /// How long it took, boot and all.
    pub(crate) duration: Duration,
    /// Version of the control plane.
    pub(crate) kubernetes: String,
    /// Why it is not complete.
    pub(crate) failure: Option<String>,
}

impl Report {
    /// The report of these bursts.
    pub(crate) fn of(order: &Order, runs: Vec<Run>, facts: Facts) -> Self {
        let Facts {
            started,
            duration,
            kubernetes,
            failure,
        } = facts;
        let ceiling = of(&runs, CEILING);
        let mut all_ratios = BTreeMap::new();
        let mut subjects = Vec::new();
        for subject in &order.subjects {
            let own = of(&runs, subject.name());
            let (Some(figures), Some(ratios)) = (medians(&figures(&own)), ratios(&own, &ceiling))
            else {
                continue;
            };
            subjects.push(SubjectFigures {
                name: subject.name().to_owned(),
                version: subject.file.version.clone(),
                provisioner: subject.file.provisioner.clone(),
                digest: subject.file.sha256(),
                claims: order.claims,
                rounds: own.len(),
                limited: limited_by(&figures, &ratios, order.claims),
                figures,
            });
            all_ratios.insert(subject.name().to_owned(), ratios);
        }
        Self {
            schema: SCHEMA,
            suite: Suite {
                version: env!("CARGO_PKG_VERSION"),
                build: if unoptimised() { "debug" } else { "release" },
            },
            machine: Machine::this(),
            kubernetes,
            claims: order.claims,
            rounds: order.rounds,
            complete: failure.is_none(),
            failure,
            started,
            duration_ms: millis(duration),
            ceiling: medians(&figures(&ceiling)),
            subjects,
            ratios: all_ratios,
            runs,
        }
    }

    /// What it ran on.
    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }
}

/// Whether this program, and with it the reference, was built without optimization: its figures say
/// nothing then.
pub(crate) fn unoptimised() -> bool {
    cfg!(debug_assertions)
}

fn of<'a>(runs: &'a [Run], contender: &str) -> Vec<&'a Run> {
    let own = |run: &&Run| run.contender == contender;
    runs.iter().filter(own).collect()
}

fn figures<'a>(runs: &[&'a Run]) -> Vec<&'a Figures> {
    runs.iter().map(|run| &run.figures).collect()
}

impl Machine {
    fn this() -> Self {
        let read = |path: &str| fs_err::read_to_string(path).unwrap_or_default();
        Self {
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: memory(&read("/proc/meminfo")),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

/// `MemTotal` of `/proc/meminfo` (proc(5)), in MiB.
fn memory(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::super::figures::tests::run;
    use super::super::order::BenchFlags;
    use super::*;
    use crate::options::OptionLayers;

    /// Two rounds of the ceiling and one subject, the last of which is missing where `complete` is
    /// false.
    pub(in crate::bench) fn report(complete: bool) -> Report {
        let layers = OptionLayers::new(
            [("CLAIMCHECK_CACHE".to_owned(), "/nowhere".to_owned())],
            None,
        )
        .unwrap();
        let flags = BenchFlags {
            ceiling: true,
            claims: Some("10".to_owned()),
            rounds: Some("2".to_owned()),
            ..BenchFlags::default()
        };
        let order = Order::of(&layers, flags).unwrap();
        let mut runs = vec![
            run("ceiling", 1, 50.0, 60.0),
            run("reference", 1, 46.0, 40.0),
            run("ceiling", 2, 52.0, 62.0),
        ];
        if complete {
            runs.push(run("reference", 2, 48.0, 42.0));
        }
        let facts = Facts {
            started: Timestamp::UNIX_EPOCH,
            duration: Duration::from_secs(90),
            kubernetes: "v1.36.3".to_owned(),
            failure: (!complete).then(|| "interrupted".to_owned()),
        };
        Report::of(&order, runs, facts)
    }

    fn as_json(complete: bool) -> Value {
        serde_json::to_value(report(complete)).unwrap()
    }

    #[test]
    fn the_file_has_the_documented_keys() {
        let value = as_json(true);
        assert_eq!(value["schema"], SCHEMA);
        assert_eq!(value["complete"], true);
        assert_eq!(value["claims"], 10);
        assert_eq!(value["duration_ms"], 90_000);
        assert_eq!(value["ceiling"]["bound_per_s"], json!(51.0));
        assert!(value["ceiling"].get("peak_rss_mib").is_none());
        let subject = &value["subjects"][0];
        assert_eq!(subject["name"], "reference");
        assert_eq!(subject["provisioner"], "westos.org/nfs");
        assert_eq!(subject["rounds"], 2);
        assert_eq!(subject["bound_per_s"], json!(47.0));
        assert_eq!(subject["write_calls_per_claim"]["provision"], json!(3.0));
        assert_eq!(
            subject["calls_per_claim"]["provision"]["create events"],
            json!(2.0)
        );
        assert_eq!(subject["latency"]["claim_to_bound"]["count"], 10);
        assert_eq!(subject["limited"]["by"], "controller-manager");
        let ratios = &value["ratios"]["reference"];
        assert!(ratios["bound_of_ceiling"].as_f64().unwrap() > 0.9);
        assert_eq!(value["runs"].as_array().unwrap().len(), 4);
        assert_eq!(value["runs"][1]["contender"], "reference");
        assert_eq!(value["runs"][1]["round"], 1);
    }

    #[test]
    fn what_was_cut_short_says_so_and_keeps_what_was_done() {
        let value = as_json(false);
        assert_eq!(value["complete"], false);
        assert_eq!(value["failure"], "interrupted");
        assert_eq!(value["subjects"][0]["rounds"], 1);
        assert_eq!(value["subjects"][0]["bound_per_s"], json!(46.0));
    }

    #[test]
    fn memory_is_read_in_mebibytes() {
        assert_eq!(memory("MemTotal:       2097152 kB\n"), Some(2048));
        assert_eq!(memory(""), None);
    }
}
