use std::collections::BTreeSet;

use serde_json::json;

use super::*;

const DOCUMENTATION: &str = include_str!("../../../../docs/provisioner.md");

fn claim() -> PersistentVolumeClaim {
    serde_json::from_value(json!({
        "metadata": { "name": "a" },
        "spec": { "storageClassName": "fast" },
    }))
    .unwrap()
}

fn volume() -> PersistentVolume {
    serde_json::from_value(json!({ "spec": { "storageClassName": "fast" } })).unwrap()
}

/// Metrics that have each been set once, so that every family is shown.
fn touched() -> String {
    let metrics = Metrics::new("direct");
    metrics.provisioned(&claim(), Duration::from_millis(20));
    metrics.provision_failed(&claim());
    metrics.deleted(&volume(), Duration::from_secs(3));
    metrics.delete_failed(&volume());
    metrics.storage_call("mkdir", Duration::from_millis(1), Some(Cause::NoSpace));
    metrics.retried("claims", "no-space");
    metrics.swept(Some(Orphans {
        trash: 2,
        ..Orphans::default()
    }));
    metrics.swept(None);
    metrics.export_ready(true);
    metrics.space(Space {
        bytes_free: u64::MAX,
        inodes_free: 7,
    });
    metrics.acting(true, 4);
    metrics.rule_missing("patch persistentvolumes");
    assert_eq!(metrics.event_dropped(), 1);
    metrics.watch_interrupted("persistentvolumes");
    let mut census = Census {
        claims_queued: 3,
        ..Census::default()
    };
    census.directory(Origin::Created, State::Saved);
    census.directory(Origin::Created, State::Saved);
    metrics.render(&census)
}

/// Name, type and labels of every family shown.
fn shown(text: &str) -> BTreeSet<(String, String, String)> {
    let mut families = BTreeSet::new();
    for line in text.lines() {
        let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|rest| rest.split_once(' '))
        else {
            continue;
        };
        let sample = text
            .lines()
            .find(|line| !line.starts_with('#') && line.starts_with(name))
            .unwrap();
        let labels = sample
            .split_once('{')
            .and_then(|(_, rest)| rest.split_once('}'))
            .map_or("", |(labels, _)| labels);
        let names: BTreeSet<&str> = labels
            .split("\",")
            .filter_map(|label| label.split_once('='))
            .map(|(name, _)| name)
            .filter(|name| *name != "le")
            .collect();
        let names: Vec<&str> = names.into_iter().collect();
        families.insert((name.to_owned(), kind.to_owned(), names.join(", ")));
    }
    families
}

/// Name, type and labels of every row of the documentation's table.
fn documented() -> BTreeSet<(String, String, String)> {
    DOCUMENTATION
        .lines()
        .filter(|line| line.starts_with("| `controller_") || line.starts_with("| `claimcheck_"))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let mut labels: Vec<&str> = cells[3]
                .split(',')
                .map(|label| label.trim().trim_matches('`'))
                .filter(|label| !label.is_empty())
                .collect();
            labels.sort_unstable();
            (
                cells[1].trim_matches('`').to_owned(),
                cells[2].to_owned(),
                labels.join(", "),
            )
        })
        .collect()
}

#[test]
fn every_metric_is_documented_and_every_documented_one_is_there() {
    let documented = documented();
    assert!(documented.len() > 20, "{documented:#?}");
    assert_eq!(shown(&touched()), documented);
}

#[test]
fn the_librarys_names_labels_types_and_buckets_are_kept() {
    let text = touched();
    for line in [
        "# TYPE controller_persistentvolumeclaim_provision_total counter",
        "controller_persistentvolumeclaim_provision_total{class=\"fast\",source=\"\"} 1",
        "# TYPE controller_persistentvolumeclaim_provision_failed_total counter",
        "controller_persistentvolumeclaim_provision_failed_total{class=\"fast\",source=\"\"} 1",
        "# TYPE controller_persistentvolumeclaim_provision_duration_seconds histogram",
        "controller_persistentvolumeclaim_provision_duration_seconds_count{class=\"fast\",source=\"\"} 1",
        "# TYPE controller_persistentvolume_delete_total counter",
        "controller_persistentvolume_delete_total{class=\"fast\"} 1",
        "# TYPE controller_persistentvolume_delete_failed_total counter",
        "controller_persistentvolume_delete_failed_total{class=\"fast\"} 1",
        "# TYPE controller_persistentvolume_delete_duration_seconds histogram",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let bounds: Vec<String> = text
        .lines()
        .filter_map(|line| {
            line.strip_prefix(
                "controller_persistentvolume_delete_duration_seconds_bucket{class=\"fast\",le=\"",
            )?
            .split_once('"')
            .map(|(bound, _)| bound.to_owned())
        })
        .collect();
    // client_golang's DefBuckets, as it spells them.
    assert_eq!(
        bounds,
        [
            "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"
        ]
    );
}

#[test]
fn a_census_replaces_the_one_before() {
    let metrics = Metrics::new("mount");
    let mut census = Census::default();
    census.directory(Origin::Adopted, State::Deleting);
    let text = metrics.render(&census);
    let line = "claimcheck_directories{origin=\"adopted\",state=\"deleting\"} 1";
    assert!(text.contains(line), "{text}");
    let text = metrics.render(&Census::default());
    assert!(!text.contains("claimcheck_directories{"), "{text}");
}

#[test]
fn room_beyond_the_numbers_of_a_gauge_is_the_largest() {
    let text = touched();
    // Values are shown as the 64-bit floating point numbers that Prometheus keeps.
    let line = "\nclaimcheck_export_free_bytes 922337203685477";
    assert!(text.contains(line), "{text}");
}
