//! Whether a claim may have its directory: next to those of other volumes, together with them, and
//! where something is there already.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use super::Refusal;
use crate::class::{ClassParameters, ExistingDirectory, SharedDirectory};
use crate::constants::ARCHIVED_PREFIX;
use crate::path::RelativePath;
use crate::path::pattern::Pattern;
use crate::records::{Origin, Record, State};

/// How another volume's directory lies to the one a claim would get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Both are the same.
    Same,
    /// The claim's would lie in the other.
    Inside,
    /// The other lies in the claim's.
    Around,
}

impl Relation {
    const fn words(self) -> &'static str {
        match self {
            Self::Same => "is",
            Self::Inside => "lies in",
            Self::Around => "lies around",
        }
    }
}

/// A directory that some volume has already, as near as the same or a containing or contained one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// How it lies.
    pub relation: Relation,
    /// The volume.
    pub volume: String,
    /// Its directory.
    pub directory: RelativePath,
    /// Its record, if it is one of ours.
    pub record: Option<Record>,
}

/// How a claim may use its directory as far as other volumes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// No other volume is near.
    Free,
    /// This record kept it for the same namespace and name earlier, or lets it be shared.
    Kept(Box<Record>),
    /// These volumes have it and let it be shared; at least one.
    Shared(Vec<Record>),
}

/// Whether a claim may have `directory`: nothing inside or around the directory of another volume,
/// and the same one only where a deleted volume of the same namespace and name left it, or all that
/// have it consent to sharing, and the claim's own class (`shared`) too.
///
/// Source: nfs-subdir #5 #169 #222; `JuiceFS` #540 #873.
///
/// # Errors
/// [`Refusal::Overlap`] and [`Refusal::Sharing`] with the first volume in the way.
pub fn placement(
    directory: &RelativePath,
    claim: &PersistentVolumeClaim,
    shared: SharedDirectory,
    neighbours: Vec<Neighbour>,
) -> Result<Placement, Refusal> {
    let mut kept = None;
    let mut sharers = Vec::new();
    for neighbour in neighbours {
        let Neighbour {
            relation,
            volume,
            directory: other,
            record,
        } = neighbour;
        let overlap = Refusal::Overlap {
            directory: directory.clone(),
            relation: relation.words(),
            other,
            volume,
        };
        let Some(record) = record.filter(|_| relation == Relation::Same) else {
            return Err(overlap);
        };
        if record.terms.left {
            // It has let go of the directory already.
            continue;
        }
        let same_namespace =
            Some(record.claim.namespace.as_str()) == claim.metadata.namespace.as_deref();
        let same_name = Some(record.claim.name.as_str()) == claim.metadata.name.as_deref();
        let may_share = shared.allows(record.terms.sharing, same_namespace);
        match record.state {
            State::Kept if may_share || (same_namespace && same_name) => {
                kept = Some(Box::new(record));
            }
            State::Intent | State::Ready | State::Saved if may_share => sharers.push(record),
            State::Intent | State::Ready | State::Saved | State::Kept
                if shared != SharedDirectory::Forbid =>
            {
                return Err(Refusal::Sharing {
                    directory: directory.clone(),
                    volume: record.volume,
                    own: shared.as_str(),
                    other: record.terms.sharing.as_str(),
                });
            }
            _ => return Err(overlap),
        }
    }
    if !sharers.is_empty() {
        return Ok(Placement::Shared(sharers));
    }
    Ok(kept.map_or(Placement::Free, Placement::Kept))
}

/// The origin of a volume whose directory exists before it is made: what a kept record describes,
/// or an unrecorded directory, under the policy `own` only one that the claim's author could not
/// have chosen. An archive is never used again.
///
/// # Errors
/// [`Refusal::Existing`].
pub fn existing_directory(
    directory: &RelativePath,
    parameters: &ClassParameters,
    kept: Option<&Record>,
) -> Result<Origin, Refusal> {
    let taken = |cause: &str| Refusal::Existing {
        directory: directory.clone(),
        cause: cause.to_owned(),
    };
    let policy = parameters.directories.existing();
    if policy == ExistingDirectory::Refuse {
        return Err(taken(
            "the directory exists, and existingDirectory is refuse",
        ));
    }
    if let Some(record) = kept {
        return Ok(record.origin);
    }
    // What lies in an archive belongs to it, whatever the server makes of capitals.
    if directory.components().iter().any(|component| {
        component
            .as_str()
            .get(..ARCHIVED_PREFIX.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(ARCHIVED_PREFIX))
    }) {
        return Err(taken("an archived directory is never used again"));
    }
    let steered = parameters
        .path_pattern
        .as_ref()
        .is_some_and(Pattern::is_steered_by_claim_metadata);
    if policy == ExistingDirectory::Own && steered {
        return Err(taken(
            "the directory exists and was not made here; a pattern with labels or annotations of the claim may not \
             take it over unless existingDirectory is reuse",
        ));
    }
    Ok(Origin::Reused)
}
