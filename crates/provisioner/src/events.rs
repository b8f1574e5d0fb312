//! Events on claims, volumes and the lock: core/v1, because the role of nfs-subdir has no other.
//!
//! One event per object and cause: the same again raises its count, at most every five minutes; a
//! new cause is a new event. kube's own recorder does neither (its key omits the message) and
//! writes another API group. Writing goes through a bounded queue, never delays what is told, and
//! keeps out of the way of a burst ([`pace`]).

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Event, EventSource, ObjectReference, PersistentVolume, PersistentVolumeClaim,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::Fence;
use crate::cluster::{ApiCause, ClusterApi};
use crate::config::Target;
use crate::metrics::Metrics;

mod memory;
mod pace;

use memory::{Key, Memory, Told};

pub(crate) use pace::Pace;

/// How often the count of one event is written at most.
pub const COUNT_INTERVAL: Duration = Duration::from_mins(5);
/// Events waiting to be written; more are dropped with a warning.
const QUEUE: usize = 4096;
/// The longest message the API takes, in bytes (`ValidateEvent`).
const MESSAGE_MAX: usize = 1024;

/// What is worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Work on a claim begins.
    Provisioning {
        /// `namespace/name`.
        claim: String,
    },
    /// Its volume is stored.
    ProvisioningSucceeded {
        /// The volume.
        volume: String,
    },
    /// It failed or cannot be served.
    ProvisioningFailed {
        /// The class.
        class: String,
        /// Why.
        cause: String,
    },
    /// A raw device was asked for.
    BlockUnsupported,
    /// A populator supplies the volume.
    LeftToPopulator {
        /// The kind of the data source.
        kind: String,
    },
    /// More was asked of a bound volume.
    ResizeFailed,
    /// A volume could not be reclaimed.
    DeleteFailed {
        /// Why.
        cause: String,
    },
    /// A volume's directory stays although its policy is Delete.
    DirectoryKept {
        /// The directory on the server.
        path: String,
        /// Why.
        cause: String,
    },
    /// This process holds the lock.
    BecameLeader {
        /// Who.
        identity: String,
    },
}

/// The words of one event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Words {
    /// `Normal` or `Warning`.
    pub type_: &'static str,
    /// The reason, in the library's spelling.
    pub reason: &'static str,
    /// The message.
    pub message: String,
}

/// The words for a notice: those of the external-provisioner library where it has the event.
pub fn words(notice: &Notice, target: &Target) -> Words {
    let (type_, reason, message) = match notice {
        Notice::Provisioning { claim } => (
            "Normal",
            "Provisioning",
            format!("External provisioner is provisioning volume for claim \"{claim}\""),
        ),
        Notice::ProvisioningSucceeded { volume } => {
            ("Normal", "ProvisioningSucceeded", format!("Successfully provisioned volume {volume}"))
        }
        Notice::ProvisioningFailed { class, cause } => (
            "Warning",
            "ProvisioningFailed",
            format!("failed to provision volume with StorageClass \"{class}\": {cause}"),
        ),
        Notice::BlockUnsupported => (
            "Warning",
            "ProvisioningFailed",
            format!("{} does not support block volume provisioning", target.provisioner),
        ),
        Notice::LeftToPopulator { kind } => {
            ("Normal", "Provisioning", format!("left to the populator of data source kind {kind}"))
        }
        Notice::ResizeFailed => (
            "Warning",
            "VolumeResizeFailed",
            "sizes are not enforced here: the volume is not resized and its capacity stays unchanged".to_owned(),
        ),
        Notice::DeleteFailed { cause } => ("Warning", "VolumeFailedDelete", cause.clone()),
        Notice::DirectoryKept { path, cause } => ("Normal", "DirectoryKept", format!("{path} is kept: {cause}")),
        Notice::BecameLeader { identity } => ("Normal", "LeaderElection", format!("{identity} became leader")),
    };
    Words {
        type_,
        reason,
        message,
    }
}

/// The reference of a claim for its events.
pub fn claim_reference(claim: &PersistentVolumeClaim) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("PersistentVolumeClaim".to_owned()),
        namespace: claim.namespace(),
        name: claim.metadata.name.clone(),
        uid: claim.metadata.uid.clone(),
        resource_version: claim.metadata.resource_version.clone(),
        ..ObjectReference::default()
    }
}

/// The reference of a volume for its events.
pub fn volume_reference(volume: &PersistentVolume) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("PersistentVolume".to_owned()),
        name: volume.metadata.name.clone(),
        uid: volume.metadata.uid.clone(),
        resource_version: volume.metadata.resource_version.clone(),
        ..ObjectReference::default()
    }
}

/// The end through which events are told; cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<(ObjectReference, Words)>,
    pace: Arc<Pace>,
    metrics: Arc<Metrics>,
}

impl Recorder {
    /// What is to be told of changes that the watches show.
    pub(crate) fn pace(&self) -> Arc<Pace> {
        self.pace.clone()
    }

    /// Tells an event. Never waits; drops it with a warning when too many are waiting.
    pub fn tell(&self, object: ObjectReference, words: Words) {
        if words.type_ == "Warning" {
            tracing::warn!(
                object = object.name,
                reason = words.reason,
                "{}",
                words.message
            );
        } else {
            tracing::debug!(
                object = object.name,
                reason = words.reason,
                "{}",
                words.message
            );
        }
        if let Err(error) = self.queue.try_send((object, words)) {
            let dropped = self.metrics.event_dropped();
            // A burst that fills the queue drops thousands: a dozen lines say so.
            if dropped.is_power_of_two() {
                tracing::warn!(dropped, "dropped an event: {error}");
            }
        }
    }
}

/// What may be done with events (1.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRights {
    /// Events may be stored.
    pub create: bool,
    /// Counts may be raised; without it a new event is stored instead.
    pub patch: bool,
}

/// The other end: writes events.
pub struct Writer {
    queue: mpsc::Receiver<(ObjectReference, Words)>,
    pace: Arc<Pace>,
    cluster: Arc<dyn ClusterApi>,
    component: String,
    fence: Fence,
    told: Memory,
}

/// A recorder and its writer. `component` is `<provisioner>_<identity>`; nothing is written while
/// the fence is closed.
pub fn channel(
    cluster: Arc<dyn ClusterApi>,
    component: String,
    fence: Fence,
    metrics: Arc<Metrics>,
) -> (Recorder, Writer) {
    let (sender, queue) = mpsc::channel(QUEUE);
    let pace = Arc::new(Pace::default());
    (
        Recorder {
            queue: sender,
            pace: pace.clone(),
            metrics,
        },
        Writer {
            queue,
            pace,
            cluster,
            component,
            fence,
            told: Memory::default(),
        },
    )
}

impl Writer {
    /// Writes until every recorder is gone, or `stop` is called and the queue is empty.
    pub async fn run(mut self, rights: EventRights, stop: CancellationToken) {
        loop {
            let next = tokio::select! {
                biased;
                next = self.queue.recv() => next,
                () = stop.cancelled() => return,
            };
            let Some((object, words)) = next else { return };
            if rights.create {
                let fence = self.fence.clone();
                // Whoever holds the lease now tells what happens.
                fence.guard(self.write(object, words, rights)).await.ok();
                tokio::select! {
                    () = self.pace.rest(self.queue.len(), QUEUE) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
    }

    async fn write(&mut self, object: ObjectReference, words: Words, rights: EventRights) {
        let key = Key::of(&object, &words);
        let now = Instant::now();
        if let Some(known) = self.told.get_mut(&key) {
            known.count = known.count.saturating_add(1);
            if now.duration_since(known.written) < COUNT_INTERVAL {
                return;
            }
            known.written = now;
            if rights.patch {
                match self.cluster.raise_event(&known.raised()).await {
                    Ok(()) => return,
                    // Events expire after an hour by default: then it is told anew below.
                    Err(error) if error.cause == ApiCause::NotFound => {}
                    Err(error) => {
                        tracing::warn!(cause = error.cause.category(), "failed to {error}");
                        return;
                    }
                }
            }
        }
        let event = self.event(object, words);
        match self.cluster.create_event(&event).await {
            Ok(()) => {
                self.told.insert(
                    key,
                    Told {
                        namespace: event.metadata.namespace,
                        name: event.metadata.name,
                        warning: event.type_.as_deref() == Some("Warning"),
                        count: 1,
                        written: now,
                    },
                );
            }
            Err(error) => tracing::warn!(cause = error.cause.category(), "failed to {error}"),
        }
    }

    fn event(&self, object: ObjectReference, words: Words) -> Event {
        // Events about objects without a namespace live in `default`.
        let namespace = object
            .namespace
            .clone()
            .unwrap_or_else(|| "default".to_owned());
        let mut name = object.name.clone().unwrap_or_default();
        let random = uuid::Uuid::new_v4().simple().to_string();
        // 253 bytes for the whole name.
        name.truncate(253 - 17);
        let time = Some(Time(Timestamp::now()));
        let mut message = words.message;
        message.truncate(message.floor_char_boundary(MESSAGE_MAX));
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{name}.{}", &random[..16])),
                namespace: Some(namespace),
                ..ObjectMeta::default()
            },
            involved_object: object,
            reason: Some(words.reason.to_owned()),
            message: Some(message),
            type_: Some(words.type_.to_owned()),
            source: Some(EventSource {
                component: Some(self.component.clone()),
                host: None,
            }),
            reporting_component: Some(self.component.clone()),
            first_timestamp: time.clone(),
            last_timestamp: time,
            count: Some(1),
            ..Event::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::config::{ExportPath, ProvisionerName};

    #[rstest]
    #[case(Notice::Provisioning { claim: "ns/c".into() }, "Normal", "Provisioning", "External provisioner is provisioning volume for claim \"ns/c\"")]
    #[case(Notice::ProvisioningSucceeded { volume: "pvc-1".into() }, "Normal", "ProvisioningSucceeded", "Successfully provisioned volume pvc-1")]
    #[case(Notice::ProvisioningFailed { class: "c".into(), cause: "why".into() }, "Warning", "ProvisioningFailed", "failed to provision volume with StorageClass \"c\": why")]
    #[case(
        Notice::BlockUnsupported,
        "Warning",
        "ProvisioningFailed",
        "a.b/nfs does not support block volume provisioning"
    )]
    #[case(Notice::DeleteFailed { cause: "why".into() }, "Warning", "VolumeFailedDelete", "why")]
    #[case(Notice::BecameLeader { identity: "me".into() }, "Normal", "LeaderElection", "me became leader")]
    fn the_words_are_those_of_the_library(
        #[case] notice: Notice,
        #[case] type_: &str,
        #[case] reason: &str,
        #[case] message: &str,
    ) {
        let target = Target {
            provisioner: ProvisionerName::new("a.b/nfs").unwrap(),
            server: "s".to_owned(),
            aliases: Vec::new(),
            export: ExportPath::new("/").unwrap(),
        };
        let words = words(&notice, &target);
        assert_eq!(
            (words.type_, words.reason, words.message.as_str()),
            (type_, reason, message)
        );
    }
}
