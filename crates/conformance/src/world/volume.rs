//! The volume of a bound claim: the object, and the directory behind it.

use std::time::Instant;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};

use super::World;
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
    /// root itself (empty) and need not exist.
    ///
    /// # Errors
    /// Failed when the source is not on the export.
    pub fn directory(&self) -> CaseResult<String> {
        directory_of(&self.object, &self.world.testbed().export.path)
    }

    /// The directory, which is there on both sides and is not the export's root.
    ///
    /// # Errors
    /// Failed when it is not.
    pub async fn existing_directory(&self) -> CaseResult<String> {
        let directory = self.directory()?;
        if directory.is_empty() {
            return Err(Trouble::failed(
                format!(
                    "volume {} has a directory below the export's root",
                    self.name()
                ),
                "its source is the root of the export",
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

/// The path below the export that a volume's source names.
///
/// # Errors
/// Failed when the source is of another kind or outside of the export.
pub fn directory_of(volume: &PersistentVolume, export: &str) -> CaseResult<String> {
    let name = volume.name_any();
    let expected = format!("the source of volume {name} is an nfs path on the export {export}");
    let Some(nfs) = volume.spec.as_ref().and_then(|spec| spec.nfs.as_ref()) else {
        return Err(
            Trouble::failed(expected, "it has no nfs source").with_evidence(expect::text(volume))
        );
    };
    let root = export.trim_end_matches('/');
    match nfs.path.strip_prefix(root) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            Ok(rest.trim_matches('/').to_owned())
        }
        _ => Err(Trouble::failed(
            expected,
            format!("its path is {:?}", nfs.path),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(path: &str) -> PersistentVolume {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "pvc-1"},
            "spec": {"nfs": {"server": "127.0.0.1", "path": path}},
        }))
        .unwrap()
    }

    #[test]
    fn a_source_below_the_export_gives_its_relative_directory() {
        assert_eq!(
            directory_of(&volume("/export/a/b"), "/export").unwrap(),
            "a/b"
        );
        assert_eq!(directory_of(&volume("/export"), "/export").unwrap(), "");
    }

    #[test]
    fn a_source_beside_the_export_is_a_failure() {
        assert!(directory_of(&volume("/exports/a"), "/export").is_err());
        assert!(directory_of(&PersistentVolume::default(), "/export").is_err());
    }
}
