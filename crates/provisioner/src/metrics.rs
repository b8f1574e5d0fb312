//! What `/metrics` shows. The names, labels, types and buckets of the external-provisioner library
//! are kept, so that dashboards and alerts made for it go on working; ours begin with `claimcheck_`.
//! Every name is in the table of `docs/provisioner.md`; a test compares both.
//!
//! The text format 0.0.4 is served, as Go's client library does unless it is asked for another:
//! the spelling of bucket bounds (`le="10"`) is part of what rules and dashboards match on.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use prometheus::core::Collector;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::backend::{Cause, Space};
use crate::decide;
use crate::records::{Origin, State};

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Every metric of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    library: Library,
    storage_duration: HistogramVec,
    storage_failures: IntCounterVec,
    stuck: IntGauge,
    queue_depth: IntGaugeVec,
    retries: IntCounterVec,
    directories: IntGaugeVec,
    orphans: IntGaugeVec,
    foreign_volumes: IntGauge,
    export_ready: IntGauge,
    export_free_bytes: IntGauge,
    export_free_inodes: IntGauge,
    leader: IntGauge,
    lease_transitions: IntGauge,
    rules_missing: IntGaugeVec,
    events_dropped: IntCounter,
    sweeps: IntCounterVec,
    watch_interruptions: IntCounterVec,
}

/// The metrics of the external-provisioner library (its package `controller/metrics`, subsystem
/// `controller`).
#[derive(Debug)]
struct Library {
    provisioned: IntCounterVec,
    provision_failed: IntCounterVec,
    provision_duration: HistogramVec,
    deleted: IntCounterVec,
    delete_failed: IntCounterVec,
    delete_duration: HistogramVec,
}

/// What a sweep found that belongs to no volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orphans {
    /// Trees in the trash without a record.
    pub trash: usize,
    /// Files among the records that are no record of this program.
    pub unreadable_records: usize,
    /// Records without a file: somebody removed it.
    pub lost_records: usize,
}

/// What is counted when the metrics are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Claims waiting for a worker or a time.
    pub claims_queued: usize,
    /// Volumes waiting for a worker or a time.
    pub volumes_queued: usize,
    /// Recorded directories by origin and state.
    pub directories: BTreeMap<(&'static str, &'static str), usize>,
    /// Volumes that name this provisioner and have no record here.
    pub foreign_volumes: usize,
    /// Storage calls past their deadline that have not returned.
    pub stuck_calls: usize,
}

impl Census {
    /// Counts one directory.
    pub fn directory(&mut self, origin: Origin, state: State) {
        *self
            .directories
            .entry((origin.as_str(), state_word(state)))
            .or_default() += 1;
    }
}

/// The word for a state, as records spell it.
const fn state_word(state: State) -> &'static str {
    match state {
        State::Intent => "intent",
        State::Ready => "ready",
        State::Saved => "saved",
        State::Deleting => "deleting",
        State::Archiving => "archiving",
        State::Kept => "kept",
    }
}

/// Registers metrics; names are constants of this file, so neither step can fail but by a defect
/// that the first test shows.
struct Maker<'a>(&'a Registry);

const SOUND: &str = "metric names are valid, distinct constants";

impl Maker<'_> {
    fn add<C: Collector + Clone + 'static>(&self, metric: C) -> C {
        self.0.register(Box::new(metric.clone())).expect(SOUND);
        metric
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.add(IntCounter::new(name, help).expect(SOUND))
    }

    fn counters(&self, name: &str, labels: &[&str], help: &str) -> IntCounterVec {
        self.add(IntCounterVec::new(Opts::new(name, help), labels).expect(SOUND))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::new(name, help).expect(SOUND))
    }

    fn gauges(&self, name: &str, labels: &[&str], help: &str) -> IntGaugeVec {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels).expect(SOUND))
    }

    /// Seconds, in the usual buckets, which are Go's.
    fn seconds(&self, name: &str, labels: &[&str], help: &str) -> HistogramVec {
        self.add(HistogramVec::new(HistogramOpts::new(name, help), labels).expect(SOUND))
    }
}

impl Library {
    fn new(make: &Maker<'_>) -> Self {
        let claim = ["class", "source"];
        let volume = ["class"];
        Self {
            provisioned: make.counters(
                "controller_persistentvolumeclaim_provision_total",
                &claim,
                "Volumes provisioned, by class and kind of data source",
            ),
            provision_failed: make.counters(
                "controller_persistentvolumeclaim_provision_failed_total",
                &claim,
                "Attempts to provision that failed, by class and kind of data source",
            ),
            provision_duration: make.seconds(
                "controller_persistentvolumeclaim_provision_duration_seconds",
                &claim,
                "Seconds an attempt to provision took that succeeded",
            ),
            deleted: make.counters(
                "controller_persistentvolume_delete_total",
                &volume,
                "Volumes deleted, by class",
            ),
            delete_failed: make.counters(
                "controller_persistentvolume_delete_failed_total",
                &volume,
                "Attempts to delete a volume that failed, by class",
            ),
            delete_duration: make.seconds(
                "controller_persistentvolume_delete_duration_seconds",
                &volume,
                "Seconds an attempt to delete took that succeeded",
            ),
        }
    }
}

impl Metrics {
    /// All at zero. `backend` is the name of the storage backend.
    pub fn new(backend: &str) -> Self {
        let registry = Registry::new();
        let make = Maker(&registry);
        let library = Library::new(&make);
        let build = make.gauges(
            "claimcheck_build_info",
            &["version", "backend"],
            "1, with the version of the program and the storage backend it uses",
        );
        build
            .with_label_values(&[env!("CARGO_PKG_VERSION"), backend])
            .set(1);
        Self {
            library,
            storage_duration: make.seconds(
                "claimcheck_storage_call_duration_seconds",
                &["call"],
                "Seconds a call of the storage backend took, however it ended",
            ),
            storage_failures: make.counters(
                "claimcheck_storage_call_failures_total",
                &["call", "cause"],
                "Calls of the storage backend that failed",
            ),
            stuck: make.gauge(
                "claimcheck_storage_stuck_calls",
                "Calls past their deadline that the kernel has not ended",
            ),
            queue_depth: make.gauges(
                "claimcheck_queue_depth",
                &["queue"],
                "Claims and volumes waiting for a worker or for their next attempt",
            ),
            retries: make.counters(
                "claimcheck_retries_total",
                &["queue", "cause"],
                "Attempts that failed and are made again",
            ),
            directories: make.gauges(
                "claimcheck_directories",
                &["origin", "state"],
                "Recorded directories of this deployment",
            ),
            orphans: make.gauges(
                "claimcheck_orphans",
                &["kind"],
                "What the last sweep found that belongs to no volume",
            ),
            foreign_volumes: make.gauge(
                "claimcheck_foreign_volumes",
                "Volumes that name this provisioner and have no record here; they are left alone",
            ),
            export_ready: make.gauge(
                "claimcheck_export_ready",
                "1 while the export answers and is the one the volumes lie on",
            ),
            export_free_bytes: make.gauge(
                "claimcheck_export_free_bytes",
                "Bytes available on the export",
            ),
            export_free_inodes: make.gauge(
                "claimcheck_export_free_inodes",
                "Inodes available on the export",
            ),
            leader: make.gauge("claimcheck_leader", "1 while this process acts"),
            lease_transitions: make.gauge(
                "claimcheck_lease_transitions",
                "How often the lock had changed hands when this process took it",
            ),
            rules_missing: make.gauges(
                "claimcheck_rbac_missing",
                &["rule"],
                "1 for each right that is wanted and not granted",
            ),
            events_dropped: make.counter(
                "claimcheck_events_dropped_total",
                "Events not written because too many were waiting",
            ),
            sweeps: make.counters(
                "claimcheck_sweeps_total",
                &["outcome"],
                "Sweeps of the records and the trash",
            ),
            watch_interruptions: make.counters(
                "claimcheck_watch_interruptions_total",
                &["resource"],
                "Watches that were interrupted and started again",
            ),
            registry,
        }
    }

    /// A claim was served in this time.
    pub fn provisioned(&self, claim: &PersistentVolumeClaim, took: Duration) {
        let labels = [class_of(claim), source_of(claim)];
        self.library.provisioned.with_label_values(&labels).inc();
        self.library
            .provision_duration
            .with_label_values(&labels)
            .observe(took.as_secs_f64());
    }

    /// An attempt to serve a claim failed.
    pub fn provision_failed(&self, claim: &PersistentVolumeClaim) {
        self.library
            .provision_failed
            .with_label_values(&[class_of(claim), source_of(claim)])
            .inc();
    }

    /// A volume was deleted in this time.
    pub fn deleted(&self, volume: &PersistentVolume, took: Duration) {
        let labels = [class_of_volume(volume)];
        self.library.deleted.with_label_values(&labels).inc();
        self.library
            .delete_duration
            .with_label_values(&labels)
            .observe(took.as_secs_f64());
    }

    /// An attempt to delete a volume failed.
    pub fn delete_failed(&self, volume: &PersistentVolume) {
        self.library
            .delete_failed
            .with_label_values(&[class_of_volume(volume)])
            .inc();
    }

    /// A storage call ended.
    pub fn storage_call(&self, call: &str, took: Duration, failed: Option<Cause>) {
        self.storage_duration
            .with_label_values(&[call])
            .observe(took.as_secs_f64());
        if let Some(cause) = failed {
            self.storage_failures
                .with_label_values(&[call, cause.category()])
                .inc();
        }
    }

    /// An attempt failed and is made again. `queue` is `claims` or `volumes`.
    pub fn retried(&self, queue: &str, cause: &str) {
        self.retries.with_label_values(&[queue, cause]).inc();
    }

    /// What a sweep found; `None` when it could not be made.
    pub fn swept(&self, found: Option<Orphans>) {
        let outcome = if found.is_some() { "done" } else { "failed" };
        self.sweeps.with_label_values(&[outcome]).inc();
        let Some(found) = found else { return };
        for (kind, count) in [
            ("trash", found.trash),
            ("unreadable-record", found.unreadable_records),
            ("lost-record", found.lost_records),
        ] {
            self.orphans.with_label_values(&[kind]).set(number(count));
        }
    }

    /// Whether the export answers and is the right one.
    pub fn export_ready(&self, ready: bool) {
        self.export_ready.set(i64::from(ready));
    }

    /// Room on the export.
    pub fn space(&self, space: Space) {
        self.export_free_bytes.set(number(space.bytes_free));
        self.export_free_inodes.set(number(space.inodes_free));
    }

    /// Whether this process acts, and how often the lock had changed hands when it began to.
    pub fn acting(&self, acting: bool, transitions: i32) {
        self.leader.set(i64::from(acting));
        if acting {
            self.lease_transitions.set(i64::from(transitions));
        }
    }

    /// A right that is wanted is not granted.
    pub fn rule_missing(&self, rule: &str) {
        self.rules_missing.with_label_values(&[rule]).set(1);
    }

    /// An event was dropped; how many were so far.
    pub fn event_dropped(&self) -> u64 {
        self.events_dropped.inc();
        self.events_dropped.get()
    }

    /// A watch was interrupted.
    pub fn watch_interrupted(&self, resource: &str) {
        self.watch_interruptions
            .with_label_values(&[resource])
            .inc();
    }

    /// Everything in the text format, with `census` as it stands now.
    pub fn render(&self, census: &Census) -> String {
        self.queue_depth
            .with_label_values(&["claims"])
            .set(number(census.claims_queued));
        self.queue_depth
            .with_label_values(&["volumes"])
            .set(number(census.volumes_queued));
        self.directories.reset();
        for ((origin, state), count) in &census.directories {
            self.directories
                .with_label_values(&[*origin, *state])
                .set(number(*count));
        }
        self.foreign_volumes.set(number(census.foreign_volumes));
        self.stuck.set(number(census.stuck_calls));
        // Families that were registered, of types the encoder knows: it cannot fail.
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_default()
    }
}

fn number(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

fn class_of(claim: &PersistentVolumeClaim) -> &str {
    decide::class_name(claim).unwrap_or_default()
}

/// The kind of the data source, as the library has it.
fn source_of(claim: &PersistentVolumeClaim) -> &str {
    claim
        .spec
        .as_ref()
        .and_then(|spec| spec.data_source.as_ref())
        .map_or("", |source| source.kind.as_str())
}

fn class_of_volume(volume: &PersistentVolume) -> &str {
    volume
        .spec
        .as_ref()
        .and_then(|spec| spec.storage_class_name.as_deref())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
