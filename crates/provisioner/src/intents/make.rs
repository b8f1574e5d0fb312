//! Making the directory of a claim.

use crate::backend::{Attributes, Cause, Kind, Stat};
use crate::class::{ClassParameters, OnDelete, SharedDirectory};
use crate::config::DirectoryAttributes;
use crate::decide::{Placement, Refusal};
use crate::error::StepError;
use crate::export;
use crate::index::Index;
use crate::path::RelativePath;
use crate::quantity;
use crate::records::{ClaimId, DirectoryIdentity, FORMAT, Origin, Record, State, Terms};
use crate::storage::cause;

use super::{Share, Turn};

/// Permission bits of parents made on the way.
const PARENT_MODE: u32 = 0o755;

/// What a directory is made for.
#[derive(Clone, Copy)]
pub struct MakeRequest<'a> {
    /// The claim, as read just now.
    pub claim: &'a k8s_openapi::api::core::v1::PersistentVolumeClaim,
    /// Its volume's name.
    pub volume: &'a str,
    /// Its class's parameters.
    pub parameters: &'a ClassParameters,
    /// What happens to the directory in the end.
    pub on_delete: OnDelete,
    /// Mode and owner, should the directory have to be made.
    pub attributes: DirectoryAttributes,
}

/// A directory that is recorded and may be made.
pub struct Planned<'a> {
    record: Record,
    going_on: bool,
    attributes: DirectoryAttributes,
    /// Held where others may join, so that they find the directory made.
    _turn: Option<Turn<'a>>,
}

/// A reservation that goes unless a record takes its place.
struct Reserved<'a> {
    index: &'a Index,
    volume: &'a str,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if self.index.record(self.volume).is_none() {
            self.index.remove(self.volume);
        }
    }
}

/// What a directory that is there means for the volume that is to have it.
struct Taken {
    origin: Origin,
    identity: DirectoryIdentity,
}

impl Share {
    /// Decides where the directory of a claim goes and records it before anything is made, or finds
    /// what was begun earlier. [`Share::make`] follows.
    ///
    /// # Errors
    /// [`StepError::Refused`] when the directory may not be had; else what failed.
    pub async fn plan(&self, request: MakeRequest<'_>) -> Result<Planned<'_>, StepError> {
        export::confirm_recent(&self.storage, &self.scope.export_id).await?;
        let attributes = request.attributes;
        self.recall(request.volume).await?;
        if let Some(record) = self.index.record(request.volume) {
            let turn = self
                .turn_where_shared(record.terms.sharing, &record.directory)
                .await;
            return Ok(Planned {
                record,
                going_on: true,
                attributes,
                _turn: turn,
            });
        }
        let uid = request.claim.metadata.uid.as_deref().unwrap_or_default();
        if let Some(owner) = self.index.foreign_owner_of(uid) {
            return Err(Refusal::OtherOwner { owner }.into());
        }
        let directory = self.rules.directory(
            &self.scope.target,
            request.parameters,
            request.claim,
            request.volume,
        )?;
        if request.parameters.directories.check_free_space() {
            self.check_free_space(request).await?;
        }
        let shared = request.parameters.directories.shared();
        let turn = self.turn_where_shared(shared, &directory).await;
        let placement = self.place(request, &directory)?;
        let _reserved = Reserved {
            index: &self.index,
            volume: request.volume,
        };
        let record = self.decide_at(request, &directory, placement).await?;
        Ok(Planned {
            record,
            going_on: false,
            attributes,
            _turn: turn,
        })
    }

    /// Makes what was planned, or goes on with it; the record is `ready` (or `saved`) afterwards.
    ///
    /// # Errors
    /// [`StepError`]; planning and making again goes on from the record.
    pub async fn make(&self, planned: Planned<'_>) -> Result<Record, StepError> {
        let attributes = planned.attributes;
        if planned.going_on {
            self.go_on(planned.record, attributes).await
        } else {
            self.carry_out(planned.record, attributes, false).await
        }
    }

    async fn turn_where_shared(
        &self,
        sharing: SharedDirectory,
        directory: &RelativePath,
    ) -> Option<Turn<'_>> {
        match sharing {
            SharedDirectory::Forbid => None,
            SharedDirectory::Namespace | SharedDirectory::Cluster => {
                Some(self.directory_turn(directory).await)
            }
        }
    }

    /// Sizes are not enforced, but a request that cannot be met even now need not be taken on.
    async fn check_free_space(&self, request: MakeRequest<'_>) -> Result<(), StepError> {
        let spec = request.claim.spec.as_ref();
        let requests = spec.and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
        let Some(requested) = requests.and_then(|requests| requests.get("storage")) else {
            return Ok(());
        };
        let free = self.storage.space().await?.bytes_free;
        if quantity::fits(&requested.0, free) {
            return Ok(());
        }
        tracing::info!(
            pv = request.volume,
            requested = requested.0,
            free,
            "more is requested than is free"
        );
        let requested = requested.0.clone();
        Err(Refusal::NoSpace { requested }.into())
    }

    async fn go_on(
        &self,
        mut record: Record,
        attributes: DirectoryAttributes,
    ) -> Result<Record, StepError> {
        match record.state {
            State::Intent if record.identity.is_none() => {
                self.carry_out(record, attributes, true).await
            }
            State::Intent | State::Ready | State::Saved => {
                let found = self.storage.stat(&record.directory).await?;
                let Some(found) = found else {
                    if let Some(sharer) = self.sharer(&record) {
                        return Err(gone(&record.directory, &sharer).into());
                    }
                    // Somebody removed it while no volume named it: make it again, there.
                    record.state = State::Intent;
                    record.identity = None;
                    self.write(&record).await?;
                    return self.carry_out(record, attributes, true).await;
                };
                if self
                    .rules
                    .is_same_directory(record.identity.as_ref(), &self.identity(&found))
                {
                    if record.state == State::Intent {
                        return self.carry_out(record, attributes, true).await;
                    }
                    self.forget_replaced(&record).await?;
                    return Ok(record);
                }
                Err(existing(
                    &record.directory,
                    "something else is there since the directory was made",
                )
                .into())
            }
            State::Deleting | State::Archiving | State::Kept => {
                Err(existing(&record.directory, "a volume of this name is on its way out").into())
            }
        }
    }

    async fn decide_at(
        &self,
        request: MakeRequest<'_>,
        directory: &RelativePath,
        placement: Placement,
    ) -> Result<Record, StepError> {
        let mut survey = self.survey(request.volume, directory).await?;
        if survey.strange {
            self.look_again(request, directory).await?;
            survey = self.survey(request.volume, directory).await?;
        }
        if let Some(leaf) = &survey.leaf {
            let found = self.identity(leaf);
            if let Some(theirs) = self.written_by_twin(request.volume, &found).await? {
                self.index.set(theirs.clone());
                return Ok(theirs);
            }
        }
        let (kept, taken) = match &placement {
            Placement::Free => (
                None,
                self.take(request, directory, survey.leaf.as_ref(), None)
                    .await?,
            ),
            Placement::Kept(record) => {
                let taken = self
                    .take(request, directory, survey.leaf.as_ref(), Some(record))
                    .await?;
                (Some(record.volume.clone()), taken)
            }
            Placement::Shared(others) => {
                let taken = self.join(directory, others, survey.leaf.as_ref())?;
                (None, Some(taken))
            }
        };
        let rules = &request.parameters.directories;
        let mut parents = survey.absent_parents;
        if rules.remove_empty_parents() {
            parents = self.with_parents_made_here(directory, parents);
        }
        let metadata = &request.claim.metadata;
        let record = Record {
            format: FORMAT,
            volume: request.volume.to_owned(),
            claim: ClaimId {
                namespace: metadata.namespace.clone().unwrap_or_default(),
                name: metadata.name.clone().unwrap_or_default(),
                uid: metadata.uid.clone().unwrap_or_default(),
            },
            directory: directory.clone(),
            parents,
            identity: taken.as_ref().map(|taken| taken.identity),
            origin: taken.map_or(Origin::Created, |taken| taken.origin),
            on_delete: request.on_delete,
            state: State::Intent,
            archive: None,
            reclaim_policy: None,
            replaces: kept,
            awaits_class: None,
            terms: Terms {
                sharing: rules.shared(),
                remove_parents: rules.remove_empty_parents(),
                ..Terms::default()
            },
            transitions: self.scope.transitions,
        };
        self.write(&record).await?;
        Ok(record)
    }

    /// Takes a directory that nobody has over, if there is one and it may be used.
    async fn take(
        &self,
        request: MakeRequest<'_>,
        directory: &RelativePath,
        leaf: Option<&Stat>,
        kept: Option<&Record>,
    ) -> Result<Option<Taken>, StepError> {
        let Some(leaf) = leaf else {
            return Ok(None);
        };
        let identity = self.identity(leaf);
        let known = kept.filter(|kept| {
            self.rules
                .is_same_directory(kept.identity.as_ref(), &identity)
        });
        let origin = self
            .rules
            .existing_directory(directory, request.parameters, known)?;
        if known.is_none() {
            let replaced = kept.map(|kept| kept.volume.as_str());
            self.check_unrecorded(request, directory, &identity, replaced)
                .await?;
        }
        Ok(Some(Taken { origin, identity }))
    }

    /// Joins the volumes that have the directory already: nothing is made or set, and it counts as
    /// what it counts for them.
    fn join(
        &self,
        directory: &RelativePath,
        others: &[Record],
        leaf: Option<&Stat>,
    ) -> Result<Taken, Refusal> {
        let Some(first) = others.iter().find(|other| other.identity.is_some()) else {
            let volume = others.first().map_or("", |other| other.volume.as_str());
            let cause = format!("it is being made for volume {volume}");
            return Err(existing(directory, &cause));
        };
        let Some(leaf) = leaf else {
            return Err(gone(directory, &first.volume));
        };
        let identity = self.identity(leaf);
        let is_theirs = |other: &Record| {
            other.identity.is_none()
                || self
                    .rules
                    .is_same_directory(other.identity.as_ref(), &identity)
        };
        if let Some(other) = others.iter().find(|other| !is_theirs(other)) {
            let cause = format!(
                "another directory stands in the place of the one of volume {}",
                other.volume
            );
            return Err(existing(directory, &cause));
        }
        Ok(Taken {
            origin: first.origin,
            identity,
        })
    }

    async fn carry_out(
        &self,
        mut record: Record,
        attributes: DirectoryAttributes,
        going_on: bool,
    ) -> Result<Record, StepError> {
        if record.identity.is_none() {
            let made = self.make_parents(&record.parents).await?;
            match self.make_leaf(&mut record, attributes, going_on).await {
                Ok(()) => {}
                Err(error) => {
                    if !super::dispose::is_uncertain(&error) {
                        // Nothing half-made stays behind: these are empty and were made just now.
                        for parent in made.iter().rev() {
                            self.storage.remove_directory(parent).await.ok();
                        }
                    }
                    return Err(error);
                }
            }
        }
        if record.state == State::Intent {
            record.state = State::Ready;
            self.write(&record).await?;
        } else {
            // As written by another process, which may be further by now.
            self.index.set(record.clone());
        }
        self.forget_replaced(&record).await?;
        Ok(record)
    }

    /// The record that kept the directory until now says nothing any more that this one does not.
    async fn forget_replaced(&self, record: &Record) -> Result<(), StepError> {
        match &record.replaces {
            Some(kept) if *kept != record.volume && self.index.record(kept).is_some() => {
                self.forget(kept).await
            }
            _ => Ok(()),
        }
    }

    /// Makes what is missing of the parents; those made.
    async fn make_parents(&self, parents: &[RelativePath]) -> Result<Vec<RelativePath>, StepError> {
        let mut made = Vec::new();
        for parent in parents {
            match self.storage.make_directory(parent, PARENT_MODE).await {
                Ok(_) => made.push(parent.clone()),
                Err(error) if cause(&error) == Some(Cause::AlreadyExists) => {}
                Err(error) => {
                    for parent in made.iter().rev() {
                        self.storage.remove_directory(parent).await.ok();
                    }
                    return Err(error);
                }
            }
        }
        Ok(made)
    }

    async fn make_leaf(
        &self,
        record: &mut Record,
        wanted: DirectoryAttributes,
        going_on: bool,
    ) -> Result<(), StepError> {
        let path = record.directory.clone();
        let mode = wanted.mode;
        let identity = match self.storage.make_directory(&path, mode).await {
            Ok(identity) => DirectoryIdentity::new(identity, self.scope.root),
            Err(error) if cause(&error) == Some(Cause::NotFound) => {
                // A parent that was there when the record was written is gone: make them all.
                let mut parents = Vec::new();
                let mut parent = path.parent();
                while let Some(at) = parent.filter(|at| !at.is_root()) {
                    parent = at.parent();
                    parents.insert(0, at);
                }
                record.parents = self.make_parents(&parents).await?;
                DirectoryIdentity::new(
                    self.storage.make_directory(&path, mode).await?,
                    self.scope.root,
                )
            }
            Err(error) if cause(&error) == Some(Cause::AlreadyExists) => {
                // By an earlier attempt, by this very request sent twice, or by somebody else.
                let stat = self.storage.stat(&path).await?;
                let Some(stat) = stat.filter(|stat| stat.kind == Kind::Directory) else {
                    return Err(existing(&path, "what is there is not a directory").into());
                };
                let identity = self.identity(&stat);
                if let Some(theirs) = self.made_by_twin(&record.volume, &identity).await? {
                    *record = theirs;
                    return Ok(());
                }
                if let Some((other, at)) = self.holder(&record.volume, &path, &identity).await? {
                    if !going_on {
                        self.forget(&record.volume).await?;
                    }
                    return Err(overlap(&path, "is", at, other).into());
                }
                if !self.storage.list(&path).await?.is_empty() {
                    if !going_on {
                        // Not there a moment ago: judge everything again before taking it.
                        self.forget(&record.volume).await?;
                        let cause = "it appeared while the claim was being served";
                        return Err(existing(&path, cause).into());
                    }
                    record.origin = Origin::Reused;
                    record.identity = Some(identity);
                    return Ok(());
                }
                let attributes = Attributes {
                    mode: Some(mode),
                    uid: None,
                    gid: None,
                };
                self.storage.set_attributes(&path, attributes).await?;
                identity
            }
            Err(error) => return Err(error),
        };
        if wanted.uid.is_some() || wanted.gid.is_some() {
            let attributes = Attributes {
                mode: Some(mode),
                uid: wanted.uid,
                gid: wanted.gid,
            };
            if let Err(error) = self.storage.set_attributes(&path, attributes).await {
                if !super::dispose::is_uncertain(&error) {
                    self.storage.remove_directory(&path).await.ok();
                }
                return Err(error);
            }
        }
        record.identity = Some(identity);
        Ok(())
    }

    pub(super) fn identity(&self, stat: &Stat) -> DirectoryIdentity {
        DirectoryIdentity::new(stat.identity, self.scope.root)
    }
}

pub(super) fn existing(directory: &RelativePath, cause: &str) -> Refusal {
    Refusal::Existing {
        directory: directory.clone(),
        cause: cause.to_owned(),
    }
}

fn gone(directory: &RelativePath, sharer: &str) -> Refusal {
    existing(
        directory,
        &format!("volume {sharer} shares it, but it is gone"),
    )
}

pub(super) fn overlap(
    directory: &RelativePath,
    relation: &'static str,
    other: RelativePath,
    volume: String,
) -> Refusal {
    Refusal::Overlap {
        directory: directory.clone(),
        relation,
        other,
        volume,
    }
}
