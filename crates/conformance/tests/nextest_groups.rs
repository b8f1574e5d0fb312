//! Cases that take turns do so under nextest too: each is matched by an override of the profile
//! `conformance` in `.config/nextest.toml`.
//!
//! The filters there are kept simple enough to be evaluated here: `test(/regex/)`, joined by `|`.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something unexpected happens"
)]

use conformance::case::Serial;
use conformance::cases;
use regex::Regex;
use toml::Value;

/// One override that gives a test group.
struct Grouping {
    patterns: Vec<Regex>,
    group: String,
}

fn config() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.config/nextest.toml");
    toml::from_str(&fs_err::read_to_string(path).unwrap()).unwrap()
}

fn patterns(filter: &str) -> Vec<Regex> {
    let term = |term: &str| {
        let pattern = term
            .trim()
            .strip_prefix("test(/")
            .and_then(|rest| rest.strip_suffix("/)"));
        let pattern =
            pattern.unwrap_or_else(|| panic!("{term:?} is not of the form test(/regex/)"));
        Regex::new(pattern).unwrap()
    };
    filter.split('|').map(term).collect()
}

fn groupings(config: &Value) -> Vec<Grouping> {
    let overrides = config["profile"]["conformance"]["overrides"]
        .as_array()
        .unwrap();
    let grouped = overrides.iter().filter_map(|rule| {
        let group = rule.get("test-group")?.as_str().unwrap().to_owned();
        Some(Grouping {
            patterns: patterns(rule["filter"].as_str().unwrap()),
            group,
        })
    });
    grouped.collect()
}

/// The group that nextest puts a trial in: the first override that matches decides.
fn group_of<'g>(groupings: &'g [Grouping], trial: &str) -> Option<&'g str> {
    let matches =
        |grouping: &&Grouping| grouping.patterns.iter().any(|regex| regex.is_match(trial));
    groupings
        .iter()
        .find(matches)
        .map(|grouping| grouping.group.as_str())
}

#[test]
fn every_case_that_takes_turns_is_in_its_group_and_no_other_case_is_in_any() {
    let groupings = groupings(&config());
    for case in cases::all() {
        // As the nextest entry names its trials.
        let trial = format!("{}_{}", case.id, case.row().name.replace('-', "_"));
        let expected = match case.serial {
            Serial::No => None,
            Serial::Group(name) => Some(name),
            Serial::Exclusive => Some("global"),
        };
        assert_eq!(group_of(&groupings, &trial), expected, "{trial}");
    }
}

#[test]
fn members_of_a_group_run_one_at_a_time() {
    let config = config();
    for Grouping { group, .. } in groupings(&config) {
        let threads = config["test-groups"][&group]["max-threads"].as_integer();
        assert_eq!(threads, Some(1), "{group}");
    }
}
