//! Pure decisions about claims, classes and paths: what is seen goes in, what to do comes out.
//! Nothing here reads, writes or waits. Decisions about volumes to be reclaimed are in
//! [`reclaim`], the volume object is built in [`volume`].

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;

use crate::class::{self, ClassParameters, ParameterError};
use crate::config::{Target, UnknownParameters};
use crate::constants::{
    BLOCK, SELECTED_NODE, STORAGE_CLASS_BETA, STORAGE_PROVISIONER, STORAGE_PROVISIONER_BETA,
    WAIT_FOR_FIRST_CONSUMER,
};
use crate::path::RelativePath;
use crate::path::naming::{self, PathError};
use crate::path::pattern::Values;

pub mod ahead;
pub mod attributes;
mod place;
pub mod reclaim;
pub mod volume;

pub use place::{Neighbour, Placement, Relation, existing_directory, placement};

/// What is to be done about a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimDecision {
    /// It is not for us, or needs nothing. Only another object can change that.
    Ignore(&'static str),
    /// It is ours, but something has to happen first, which a watch will show.
    Wait(&'static str),
    /// A populator for this kind of data source supplies the volume.
    Populator(String),
    /// It cannot be served as it is.
    Refuse(Refusal),
    /// It wants a volume now.
    Provision,
}

/// Why a claim cannot be served: one sentence for its event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `volumeMode: Block`. The event's text is the library's, not this one.
    #[error("block volumes are not supported")]
    Block,
    /// `spec.selector`: a new volume has no labels to match (volume-provisioning proposal, step 4).
    #[error(
        "spec.selector is not supported: a volume made for the claim has no labels to select by"
    )]
    Selector,
    /// A claim or snapshot to copy.
    #[error(
        "the data source {kind} {name} is not supported: volumes of this provisioner start empty"
    )]
    DataSource {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// `spec.volumeAttributesClassName`.
    #[error(
        "spec.volumeAttributesClassName {0:?} is not supported: volumes of this provisioner have no attributes to set"
    )]
    VolumeAttributesClass(String),
    /// The class has a parameter nobody can honour.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// The path the class's pattern gives cannot hold a volume.
    #[error("the pattern {pattern:?} of the class cannot be used for this claim: {error}")]
    Path {
        /// The pattern.
        pattern: String,
        /// The rule it breaks.
        error: PathError,
    },
    /// The directory is, holds or lies in that of another volume.
    #[error("the directory {directory} {relation} {other}, which belongs to volume {volume}")]
    Overlap {
        /// The directory the claim would get.
        directory: RelativePath,
        /// In words: `is`, `lies in`, `lies around`.
        relation: &'static str,
        /// The other directory.
        other: RelativePath,
        /// Whose it is.
        volume: String,
    },
    /// Other volumes have the directory, and not all consent to sharing it with the claim.
    #[error(
        "the directory {directory} belongs to volume {volume}: sharedDirectory is {own} for this claim and {other} for \
         that volume; both have to be cluster, or the namespace the same and none forbid"
    )]
    Sharing {
        /// The directory.
        directory: RelativePath,
        /// Whose it is.
        volume: String,
        /// What the claim's class says.
        own: &'static str,
        /// What the class of the volume said.
        other: &'static str,
    },
    /// The claim asks for a mode or owner that means nothing.
    #[error("the annotation `{key}` has the value {value:?}; allowed are {allowed}")]
    Annotation {
        /// The annotation.
        key: &'static str,
        /// Its value.
        value: String,
        /// What may stand there.
        allowed: &'static str,
    },
    /// More is asked for than is free on the export. How much that is stays out of the text: each
    /// change would be another event.
    #[error("{requested} is more than is free on the export, and checkFreeSpace is true")]
    NoSpace {
        /// What the claim requests, as it spells it.
        requested: String,
    },
    /// Something is there that must not be used.
    #[error("the path {directory} is taken: {cause}")]
    Existing {
        /// The path.
        directory: RelativePath,
        /// What is there.
        cause: String,
    },
    /// A volume object of the name this claim's volume would have exists and is not this claim's.
    #[error("a volume named {volume} exists and is not this claim's; it is left alone")]
    VolumeTaken {
        /// Its name.
        volume: String,
    },
    /// Another deployment on the same export has a record for the claim.
    #[error(
        "another deployment ({owner}) on this export has a record for the claim; it is left alone"
    )]
    OtherOwner {
        /// The other deployment's id.
        owner: String,
    },
}

impl Refusal {
    /// Whether only an edit of the claim or its class can help, so that looking again every five
    /// minutes is enough; else another volume's end may help, and the usual back-off applies.
    pub const fn is_lasting(&self) -> bool {
        match self {
            Self::Block
            | Self::Selector
            | Self::DataSource { .. }
            | Self::VolumeAttributesClass(_)
            | Self::Parameter(_)
            | Self::Annotation { .. }
            | Self::Path { .. } => true,
            Self::Overlap { .. }
            | Self::Sharing { .. }
            | Self::NoSpace { .. }
            | Self::Existing { .. }
            | Self::VolumeTaken { .. }
            | Self::OtherOwner { .. } => false,
        }
    }
}

/// The class a claim asks for: the beta annotation wins over the field. `None` and the empty name
/// mean that nothing is to be provisioned.
pub fn class_name(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim
        .annotations()
        .get(STORAGE_CLASS_BETA)
        .map(String::as_str)
        .or_else(|| claim.spec.as_ref()?.storage_class_name.as_deref())
        .filter(|name| !name.is_empty())
}

/// Whether a claim asks for this provisioner: the controller manager's annotation names it (stable
/// key first, then beta) and so does the class, as far as it is known.
pub fn is_our_claim(
    target: &Target,
    claim: &PersistentVolumeClaim,
    class: Option<&StorageClass>,
) -> bool {
    let annotations = claim.annotations();
    let asked = annotations
        .get(STORAGE_PROVISIONER)
        .or_else(|| annotations.get(STORAGE_PROVISIONER_BETA));
    asked.is_some_and(|name| name == target.provisioner.as_str())
        && class.is_none_or(|class| class.provisioner == target.provisioner.as_str())
}

/// What is to be done about a claim that [`is_our_claim`].
///
/// Source: volume-provisioning proposal, steps 1 to 4; `PersistentVolumeClaimSpec` API doc.
pub fn claim_decision(
    claim: &PersistentVolumeClaim,
    class: Option<&StorageClass>,
) -> ClaimDecision {
    let Some(spec) = &claim.spec else {
        return ClaimDecision::Ignore("it has no spec");
    };
    if claim.metadata.deletion_timestamp.is_some() {
        return ClaimDecision::Ignore("it is being deleted");
    }
    if spec
        .volume_name
        .as_ref()
        .is_some_and(|name| !name.is_empty())
    {
        return ClaimDecision::Ignore("it names a volume already");
    }
    if class_name(claim).is_none() {
        return ClaimDecision::Ignore("it asks for no class");
    }
    let Some(class) = class else {
        return ClaimDecision::Wait("its class does not exist");
    };
    let waits = class.volume_binding_mode.as_deref() == Some(WAIT_FOR_FIRST_CONSUMER);
    let node = claim.annotations().get(SELECTED_NODE);
    if waits && node.is_none_or(String::is_empty) {
        return ClaimDecision::Wait("no node is selected yet");
    }
    if spec.volume_mode.as_deref() == Some(BLOCK) {
        return ClaimDecision::Refuse(Refusal::Block);
    }
    if spec.selector.is_some() {
        return ClaimDecision::Refuse(Refusal::Selector);
    }
    if let Some(decision) = data_source(claim) {
        return decision;
    }
    if let Some(name) = spec
        .volume_attributes_class_name
        .as_ref()
        .filter(|name| !name.is_empty())
    {
        return ClaimDecision::Refuse(Refusal::VolumeAttributesClass(name.clone()));
    }
    ClaimDecision::Provision
}

/// Claims and snapshots would have to be copied, which is refused; other kinds belong to a
/// populator (KEP-1495), which makes a claim of its own and needs us to keep away from this one.
fn data_source(claim: &PersistentVolumeClaim) -> Option<ClaimDecision> {
    let spec = claim.spec.as_ref()?;
    let (group, kind, name) = match (&spec.data_source_ref, &spec.data_source) {
        (Some(source), _) => (source.api_group.as_deref(), &source.kind, &source.name),
        (None, Some(source)) => (source.api_group.as_deref(), &source.kind, &source.name),
        (None, None) => return None,
    };
    let copied = matches!(
        (group.unwrap_or_default(), kind.as_str()),
        ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot")
    );
    if copied || spec.data_source_ref.is_none() {
        return Some(ClaimDecision::Refuse(Refusal::DataSource {
            kind: kind.clone(),
            name: name.clone(),
        }));
    }
    Some(ClaimDecision::Populator(kind.clone()))
}

/// Whether the claim read just now is the one that was seen in the watch (external-provisioner
/// #1469: a cached claim was provisioned again after its end).
pub fn is_same_claim(seen_uid: &str, live: Option<&PersistentVolumeClaim>) -> bool {
    live.is_some_and(|live| live.metadata.uid.as_deref() == Some(seen_uid))
}

/// The name of the volume for a claim: `pvc-<UID>`.
pub fn volume_name(claim: &PersistentVolumeClaim) -> String {
    format!("pvc-{}", claim.metadata.uid.as_deref().unwrap_or_default())
}

/// The parameters of a class.
///
/// # Errors
/// See [`class::parameters`].
pub fn class_parameters(
    class: &StorageClass,
    unknown: UnknownParameters,
) -> Result<ClassParameters, Refusal> {
    Ok(class::parameters(class.parameters.as_ref(), unknown)?)
}

/// The directory a claim gets below the export's root.
///
/// # Errors
/// [`Refusal::Path`] when the class's pattern gives a path that breaks a rule for this claim.
pub fn directory(
    target: &Target,
    parameters: &ClassParameters,
    claim: &PersistentVolumeClaim,
    volume: &str,
) -> Result<RelativePath, Refusal> {
    let namespace = claim.namespace().unwrap_or_default();
    let name = claim.name_any();
    let refuse = |pattern: &str, error| Refusal::Path {
        pattern: pattern.to_owned(),
        error,
    };
    let usual = || {
        naming::default_directory(&namespace, &name, volume, &target.export)
            .map_err(|error| refuse("", error))
    };
    let Some(pattern) = &parameters.path_pattern else {
        return usual();
    };
    let rendered = pattern.render(Values {
        namespace: &namespace,
        name: &name,
        labels: claim.metadata.labels.as_ref(),
        annotations: claim.metadata.annotations.as_ref(),
        volume,
    });
    match naming::checked(&rendered, &target.export) {
        Ok(Some(path)) => Ok(path),
        Ok(None) => usual(),
        Err(error) => Err(refuse(pattern.as_str(), error)),
    }
}

#[cfg(test)]
mod tests;
