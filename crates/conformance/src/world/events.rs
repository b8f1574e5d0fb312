//! Events about the objects of a case, matched by type, reason and object: texts differ.

use k8s_openapi::api::core::v1::Event;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use kube::runtime::watcher;

use super::World;
use crate::expect;
use crate::limits::Limit;
use crate::trouble::{CaseResult, Trouble};

impl World {
    /// Waits for an event of `kind` (`Normal`, `Warning`) and `reason` about the object with `uid`.
    ///
    /// # Errors
    /// Failed when there is none within limit `event`.
    pub async fn event(&self, uid: &str, kind: &str, reason: &str) -> CaseResult<Event> {
        self.event_that(uid, kind, reason, |_| true).await
    }

    /// As [`World::event`], for an event that also meets `condition`.
    ///
    /// # Errors
    /// As [`World::event`].
    pub async fn event_that(
        &self,
        uid: &str,
        kind: &str,
        reason: &str,
        condition: impl Fn(&Event) -> bool,
    ) -> CaseResult<Event> {
        let wait = self.wait(format!("a {kind} event {reason} is written"), Limit::Event);
        // Events about cluster-scoped objects are in namespace `default`.
        let api: Api<Event> = Api::all(self.client());
        let config = watcher::Config::default().fields(&format!("involvedObject.uid={uid}"));
        expect::eventually_among(&wait, api, config, |events| {
            events
                .values()
                .find(|event| {
                    event.type_.as_deref() == Some(kind)
                        && event.reason.as_deref() == Some(reason)
                        && condition(event)
                })
                .cloned()
        })
        .await
    }

    /// The events about the object with `uid`, so far, the oldest first.
    ///
    /// # Errors
    /// Inconclusive when they cannot be listed.
    pub async fn events_of(&self, uid: &str) -> CaseResult<Vec<Event>> {
        let api: Api<Event> = Api::all(self.client());
        let mut events = api
            .list(&ListParams::default().fields(&format!("involvedObject.uid={uid}")))
            .await?
            .items;
        events.sort_by_key(ResourceExt::creation_timestamp);
        Ok(events)
    }

    /// The events about the object with `uid` that the subject wrote: their component is not one of
    /// the control plane's.
    ///
    /// # Errors
    /// As [`World::events_of`].
    pub async fn subject_events_of(&self, uid: &str) -> CaseResult<Vec<Event>> {
        let events = self.events_of(uid).await?;
        Ok(events
            .into_iter()
            .filter(|event| !of_control_plane(event))
            .collect())
    }

    /// Waits until the subject refuses the claim with `uid` by a Warning event `ProvisioningFailed`
    /// of its own, whose message holds `cause` in any letter case; every message holds `""`.
    ///
    /// # Errors
    /// As [`World::event`], with the claim's events.
    pub async fn refused(&self, uid: &str, cause: &str) -> CaseResult<Event> {
        let cause = cause.to_lowercase();
        let names_cause = |event: &Event| {
            let message = event.message.as_deref().unwrap_or_default().to_lowercase();
            !of_control_plane(event) && message.contains(&cause)
        };
        let refusal = self
            .event_that(uid, "Warning", "ProvisioningFailed", names_cause)
            .await;
        match refusal {
            Ok(event) => Ok(event),
            Err(trouble) => Err(self.with_events(trouble, uid).await),
        }
    }

    /// Adds the first Warning that was written in the case's namespace to a failure, unless its
    /// evidence holds that already: it is the first thing known to have gone another way.
    pub(crate) async fn with_first_warning(&self, trouble: Trouble) -> Trouble {
        let Trouble::Failed(finding) = &trouble else {
            return trouble;
        };
        let Ok(events) = self.api::<Event>().list(&ListParams::default()).await else {
            return trouble;
        };
        let warning =
            |event: &&Event| event.type_.as_deref() == Some("Warning") && self.is_new_event(event);
        let first = events
            .iter()
            .filter(warning)
            .min_by_key(|event| event.creation_timestamp());
        let Some(first) = first else { return trouble };
        let line = in_one_line(first);
        if finding.evidence.iter().any(|piece| piece.contains(&line)) {
            return trouble;
        }
        let object = &first.involved_object;
        let kind = object.kind.as_deref().unwrap_or("object").to_lowercase();
        let name = object.name.as_deref().unwrap_or_default();
        trouble.with_evidence(format!("first warning, about {kind} {name}: {line}"))
    }

    /// Adds the events about the object with `uid` to a failure.
    pub(crate) async fn with_events(&self, trouble: Trouble, uid: &str) -> Trouble {
        match self.events_of(uid).await {
            Ok(events) => events.iter().fold(trouble, |trouble, event| {
                trouble.with_evidence(format!("event: {}", in_one_line(event)))
            }),
            Err(_) => trouble,
        }
    }
}

/// Components of the control plane that write events on claims, volumes and pods.
const CONTROL_PLANE: &[&str] = &[
    "persistentvolume-controller",
    "default-scheduler",
    "volume_expand",
    "statefulset-controller",
    "ephemeral_volume",
    "attachdetach-controller",
    "kubelet",
];

fn of_control_plane(event: &Event) -> bool {
    let source = event
        .source
        .as_ref()
        .and_then(|source| source.component.as_deref());
    [source, event.reporting_component.as_deref()]
        .into_iter()
        .flatten()
        .any(|component| CONTROL_PLANE.contains(&component))
}

/// An event as a person reads it.
pub fn in_one_line(event: &Event) -> String {
    format!(
        "{} {}: {}",
        event.type_.as_deref().unwrap_or("-"),
        event.reason.as_deref().unwrap_or("-"),
        event.message.as_deref().unwrap_or("-")
    )
}
