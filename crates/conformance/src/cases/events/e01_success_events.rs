//! Source: the volume controller (`ExternalProvisioning`) and sig-storage-lib-external-provisioner
//! (`Provisioning`, `ProvisioningSucceeded`).

use crate::case::Case;
use crate::trouble::{CaseResult, ensure, ensure_eq};
use crate::world::World;
use crate::world::events::in_one_line;

/// A claim that is served SHOULD show the events of its way: handed over, begun, done.
pub(crate) const CASE: Case = Case::new("E01", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").create().await?;
    let claim = world.claim("data").class(&class).create().await?;
    claim.bound().await?.existing_directory().await?;

    for reason in [
        "ExternalProvisioning",
        "Provisioning",
        "ProvisioningSucceeded",
    ] {
        let event = world.event(&claim.uid(), "Normal", reason).await?;
        let regarded = event.involved_object;
        ensure_eq(
            &format!("the object that event {reason} is about"),
            &(
                regarded.kind.as_deref(),
                regarded.namespace.as_deref(),
                regarded.name,
            ),
            &(
                Some("PersistentVolumeClaim"),
                Some(world.namespace()),
                Some(claim.name()),
            ),
        )?;
    }
    let subjects = world.subject_events_of(&claim.uid()).await?;
    for reason in ["Provisioning", "ProvisioningSucceeded"] {
        let by_subject = subjects
            .iter()
            .any(|event| event.reason.as_deref() == Some(reason));
        ensure(
            by_subject,
            format!("event {reason} is the subject's"),
            || {
                let listed: Vec<String> = subjects.iter().map(in_one_line).collect();
                format!("the subject's events are [{}]", listed.join(", "))
            },
        )?;
    }
    Ok(())
}
