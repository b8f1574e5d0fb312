//! Every decision as a method of its own, so that a faulty variant overrides exactly one.
//!
//! The sound decisions are the free functions in [`crate::decide`], [`crate::events`],
//! [`crate::path::naming`] and [`crate::backoff`]; the methods here call them and nothing else.
//! They are pure: no reading, no writing, no waiting.

use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;

use crate::backoff;
use crate::class::{ClassParameters, OnDelete, SharedDirectory};
use crate::config::{DirectoryAttributes, Target, UnknownParameters};
use crate::decide::reclaim::{self, Disposal, REMOVAL_ORDER, RemovalStep};
use crate::decide::volume::{self, Scope, VolumeRequest};
use crate::decide::{self, ClaimDecision, Neighbour, Placement, Refusal};
use crate::events::{self, Notice, Words};
use crate::path::{RelativePath, naming};
use crate::records::{DirectoryIdentity, Origin, Record};

/// The decisions of the provisioner. See the module.
pub trait Rules: Send + Sync + 'static {
    /// Whether a claim asks for this provisioner, as far as its class is known.
    fn is_our_claim(
        &self,
        target: &Target,
        claim: &PersistentVolumeClaim,
        class: Option<&StorageClass>,
    ) -> bool {
        decide::is_our_claim(target, claim, class)
    }

    /// What a claim that nobody has asked for yet will look like when this provisioner is asked, if
    /// that is certain.
    fn expected(
        &self,
        target: &Target,
        claim: &PersistentVolumeClaim,
        class: &StorageClass,
    ) -> Option<PersistentVolumeClaim> {
        decide::ahead::expected(target, claim, class)
    }

    /// What is to be done about such a claim.
    fn claim_decision(
        &self,
        claim: &PersistentVolumeClaim,
        class: Option<&StorageClass>,
    ) -> ClaimDecision {
        decide::claim_decision(claim, class)
    }

    /// Whether the claim read just now is the one the watch showed.
    fn is_same_claim(&self, seen_uid: &str, live: Option<&PersistentVolumeClaim>) -> bool {
        decide::is_same_claim(seen_uid, live)
    }

    /// The name of a claim's volume.
    fn volume_name(&self, claim: &PersistentVolumeClaim) -> String {
        decide::volume_name(claim)
    }

    /// The parameters of a class.
    ///
    /// # Errors
    /// The parameter that cannot be honoured.
    fn class_parameters(
        &self,
        class: &StorageClass,
        unknown: UnknownParameters,
    ) -> Result<ClassParameters, Refusal> {
        decide::class_parameters(class, unknown)
    }

    /// The directory of a claim.
    ///
    /// # Errors
    /// The rule its path breaks.
    fn directory(
        &self,
        target: &Target,
        parameters: &ClassParameters,
        claim: &PersistentVolumeClaim,
        volume: &str,
    ) -> Result<RelativePath, Refusal> {
        decide::directory(target, parameters, claim, volume)
    }

    /// Whether a claim may have a directory next to those of other volumes.
    ///
    /// # Errors
    /// The volume in the way.
    fn placement(
        &self,
        directory: &RelativePath,
        claim: &PersistentVolumeClaim,
        shared: SharedDirectory,
        neighbours: Vec<Neighbour>,
    ) -> Result<Placement, Refusal> {
        decide::placement(directory, claim, shared, neighbours)
    }

    /// Whether a directory that exists already may be used, and what it counts as.
    ///
    /// # Errors
    /// Why not.
    fn existing_directory(
        &self,
        directory: &RelativePath,
        parameters: &ClassParameters,
        kept: Option<&Record>,
    ) -> Result<Origin, Refusal> {
        decide::existing_directory(directory, parameters, kept)
    }

    /// Mode and owner of a new directory.
    ///
    /// # Errors
    /// The annotation of the claim that means nothing.
    fn attributes(
        &self,
        configured: DirectoryAttributes,
        parameters: &ClassParameters,
        claim: &PersistentVolumeClaim,
    ) -> Result<DirectoryAttributes, Refusal> {
        decide::attributes::attributes(configured, &parameters.directories, claim)
    }

    /// What happens to the directory in the end, as recorded with the volume.
    fn on_delete(&self, parameters: &ClassParameters) -> OnDelete {
        parameters.on_delete
    }

    /// The volume object of a claim.
    fn volume_object(&self, request: &VolumeRequest<'_>) -> PersistentVolume {
        volume::volume_object(request)
    }

    /// Whether a volume found under the wanted name is the wanted one.
    fn is_same_volume(&self, wanted: &PersistentVolume, found: &PersistentVolume) -> bool {
        volume::is_same_volume(wanted, found)
    }

    /// Whether a volume says it is ours.
    fn is_our_volume(&self, target: &Target, volume: &PersistentVolume) -> bool {
        reclaim::is_our_volume(target, volume)
    }

    /// Whether a volume is to go.
    fn is_reclaimable(&self, volume: &PersistentVolume) -> bool {
        reclaim::is_reclaimable(volume)
    }

    /// Whether its claim has let go of it.
    fn is_claim_gone(
        &self,
        volume: &PersistentVolume,
        live: Option<&PersistentVolumeClaim>,
    ) -> bool {
        reclaim::is_claim_gone(volume, live)
    }

    /// What happens to its directory.
    fn disposal(
        &self,
        scope: &Scope,
        volume: &PersistentVolume,
        record: Option<&Record>,
    ) -> Disposal {
        reclaim::disposal(scope, volume, record)
    }

    /// What happens to the directory of a volume whose object is gone.
    fn disposal_without_volume(&self, record: &Record) -> Disposal {
        reclaim::disposal_without_volume(record)
    }

    /// Whether a directory found is the recorded one.
    fn is_same_directory(
        &self,
        recorded: Option<&DirectoryIdentity>,
        found: &DirectoryIdentity,
    ) -> bool {
        reclaim::is_same_directory(recorded, found)
    }

    /// The order of the two halves of a deletion.
    fn removal_order(&self) -> [RemovalStep; 2] {
        REMOVAL_ORDER
    }

    /// The name of an archive at an attempt, counted from 0.
    fn archive_name(
        &self,
        directory: &RelativePath,
        volume: &str,
        attempt: u32,
    ) -> Option<RelativePath> {
        naming::archive_name(directory, volume, attempt)
    }

    /// The words of an event; `None` tells nothing.
    fn words(&self, notice: &Notice, target: &Target) -> Option<Words> {
        Some(events::words(notice, target))
    }

    /// How long to wait after so many failures in a row; `None` gives up.
    fn retry(&self, failures: u32) -> Option<Duration> {
        Some(backoff::delay(failures, backoff::jitter()))
    }
}

/// The decisions as they should be.
#[derive(Clone, Copy, Debug, Default)]
pub struct SoundRules;

impl Rules for SoundRules {}
