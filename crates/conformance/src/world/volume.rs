//! The volume of a bound claim: the object, and the directory behind it.

use std::time::Instant;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};

use super::World;
use super::layout::{directory_of, is_root};
use crate::expect;
use crate::limits::Limit;
use crate::tracker::{Kind, Tracked};
use crate::trouble::{CaseResult, Trouble};

/// A volume and the claim it is bound to.
pub struct Volume<'w> {
    world: &'w World,
    /// The volume, read when its claim was seen Bound.
    pub object: PersistentVolume,
    /// The claim, as it was then.
    pub claim: PersistentVolumeClaim,
}

impl<'w> Volume<'w> {
    pub(crate) fn new(
        world: &'w World,
        object: PersistentVolume,
        claim: PersistentVolumeClaim,
    ) -> Self {
        Self {
            world,
            object,
            claim,
        }
    }

    /// The volume's name.
    pub fn name(&self) -> String {
        self.object.name_any()
    }

    /// The volume's specification.
    pub fn spec(&self) -> PersistentVolumeSpec {
        self.object.spec.clone().unwrap_or_default()
    }

    /// The directory that the volume's source names, relative to the export's root. It may be the
    /// root itself (empty, or the directory of a node) and need not exist.
    ///
    /// # Errors
    /// Failed when the source is not where the subject's layout says.
    pub fn directory(&self) -> CaseResult<String> {
        let layout = &self.world.subject().layout;
        directory_of(&self.object, layout, self.world.testbed())
    }

    /// The directory, which is there on both sides and is not the export's root.
    ///
    /// # Errors
    /// Failed when it is not.
    pub async fn existing_directory(&self) -> CaseResult<String> {
        let directory = self.directory()?;
        if is_root(&self.world.subject().layout, &directory) {
            return Err(Trouble::failed(
                format!("volume {} has a directory of its own", self.name()),
                "its source is the root, which holds the directories of all volumes",
            ));
        }
        self.world.directory_exists(&directory).await?;
        Ok(directory)
    }

    /// Waits until the volume object is gone.
    ///
    /// # Errors
    /// Failed when it is not, within limit `volume-reclaimed`.
    pub async fn gone(&self) -> CaseResult {
        let started = Instant::now();
        let name = self.name();
        let wait = self
            .world
            .wait(format!("volume {name} is gone"), Limit::VolumeReclaimed);
        let api = self.world.cluster_api::<PersistentVolume>();
        let gone = expect::eventually(&wait, api, &name, |volume| volume.is_none().then_some(()));
        if let Err(trouble) = gone.await {
            let uid = self.object.uid().unwrap_or_default();
            return Err(self.world.with_events(trouble, &uid).await);
        }
        self.world.sample("volume-reclaimed", started.elapsed());
        self.world.mark("volume", "seen gone");
        Ok(())
    }

    /// Waits until the volume is in `phase`: `Released`, `Available`, ...
    ///
    /// # Errors
    /// Failed when it is not, within limit `control-plane`.
    pub async fn in_phase(&self, phase: &str) -> CaseResult<PersistentVolume> {
        let name = self.name();
        let wait = self
            .world
            .wait(format!("volume {name} is {phase}"), Limit::ControlPlane);
        let api = self.world.cluster_api::<PersistentVolume>();
        expect::eventually(&wait, api, &name, |volume| {
            volume
                .filter(|volume| {
                    let status = volume.status.as_ref();
                    status.and_then(|status| status.phase.as_deref()) == Some(phase)
                })
                .cloned()
        })
        .await
    }

    /// Waits until the volume is Released and is to stay so: it fails at once when the volume is
    /// gone or being deleted.
    ///
    /// # Errors
    /// Failed then, or when it is not Released within limit `control-plane`.
    pub async fn stays_released(&self) -> CaseResult<PersistentVolume> {
        let name = self.name();
        let wait = self
            .world
            .wait(format!("volume {name} is Released"), Limit::ControlPlane);
        let api = self.world.cluster_api::<PersistentVolume>();
        let expected = format!("volume {name} is Released and stays");
        let gone = || Err(Trouble::failed(expected.clone(), "the volume is gone"));
        expect::eventually(&wait, api, &name, |volume| {
            let Some(volume) = volume else {
                return Some(gone());
            };
            if volume.metadata.deletion_timestamp.is_some() {
                let deleted = Trouble::failed(expected.clone(), "the volume is being deleted");
                return Some(Err(deleted.with_evidence(expect::text(volume))));
            }
            let phase = volume
                .status
                .as_ref()
                .and_then(|status| status.phase.as_deref());
            (phase == Some("Released")).then(|| Ok(volume.clone()))
        })
        .await?
    }

    /// The volume as it is now; `None` when it is gone.
    ///
    /// # Errors
    /// Inconclusive when it cannot be read.
    pub async fn now(&self) -> CaseResult<Option<PersistentVolume>> {
        Ok(self
            .world
            .cluster_api::<PersistentVolume>()
            .get_opt(&self.name())
            .await?)
    }

    /// Applies a JSON merge patch (RFC 7386) to the volume.
    ///
    /// # Errors
    /// Failed when the volume is gone; inconclusive when the API refuses.
    pub async fn patch(&self, patch: serde_json::Value) -> CaseResult<PersistentVolume> {
        let name = self.name();
        let api = self.world.cluster_api::<PersistentVolume>();
        match api
            .patch(&name, &PatchParams::default(), &Patch::Merge(patch))
            .await
        {
            Err(kube::Error::Api(status)) if status.code == 404 => Err(Trouble::failed(
                format!("volume {name} is there"),
                "it is gone",
            )),
            answer => Ok(answer?),
        }
    }

    /// The case expects the volume and its directory to be left: the tracker removes both.
    ///
    /// # Errors
    /// Failed when the source is not on the export.
    pub fn expect_left(&self) -> CaseResult {
        self.world
            .tracker
            .track(Tracked::Directory(self.directory()?));
        self.world.tracker.track(Tracked::Object {
            kind: Kind::Volume,
            namespace: String::new(),
            name: self.name(),
        });
        Ok(())
    }
}
