//! Making the directory of a claim.

use crate::backend::{Attributes, Cause, Kind, Stat};
use crate::class::{ClassParameters, OnDelete};
use crate::decide::{Placement, Refusal};
use crate::error::StepError;
use crate::export;
use crate::index::Index;
use crate::path::RelativePath;
use crate::records::{ClaimId, DirectoryIdentity, FORMAT, Origin, Record, State};
use crate::storage::cause;

use super::Share;

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
}

/// A directory that is recorded and may be made.
pub struct Planned {
    record: Record,
    going_on: bool,
}

/// What stands at a path before anything is made there.
struct Survey {
    absent_parents: Vec<RelativePath>,
    leaf: Option<Stat>,
    /// A parent is there, and no directory of ours below it says whose it is.
    strange: bool,
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

impl Share {
    /// Decides where the directory of a claim goes and records it before anything is made, or finds
    /// what was begun earlier. [`Share::make`] follows.
    ///
    /// # Errors
    /// [`StepError::Refused`] when the directory may not be had; else what failed.
    pub async fn plan(&self, request: MakeRequest<'_>) -> Result<Planned, StepError> {
        Ok(match self.index.record(request.volume) {
            None => Planned {
                record: self.decide(request).await?,
                going_on: false,
            },
            Some(record) => Planned {
                record,
                going_on: true,
            },
        })
    }

    /// Makes what was planned, or goes on with it; the record is `ready` (or `saved`) afterwards.
    ///
    /// # Errors
    /// [`StepError`]; planning and making again goes on from the record.
    pub async fn make(&self, planned: Planned) -> Result<Record, StepError> {
        if planned.going_on {
            self.go_on(planned.record).await
        } else {
            self.carry_out(planned.record, false).await
        }
    }

    async fn go_on(&self, mut record: Record) -> Result<Record, StepError> {
        match record.state {
            State::Intent if record.identity.is_none() => self.carry_out(record, true).await,
            State::Intent | State::Ready | State::Saved => {
                let found = self.storage.stat(&record.directory).await?;
                let Some(found) = found else {
                    // Somebody removed it while no volume named it: make it again, there.
                    record.state = State::Intent;
                    record.identity = None;
                    self.write(&record).await?;
                    return self.carry_out(record, true).await;
                };
                if self
                    .rules
                    .is_same_directory(record.identity.as_ref(), &self.identity(&found))
                {
                    if record.state == State::Intent {
                        return self.carry_out(record, true).await;
                    }
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

    async fn decide(&self, request: MakeRequest<'_>) -> Result<Record, StepError> {
        let claim = request.claim;
        let uid = claim.metadata.uid.as_deref().unwrap_or_default();
        if let Some(owner) = self.index.foreign_owner_of(uid) {
            return Err(Refusal::OtherOwner { owner }.into());
        }
        let directory = self.rules.directory(
            &self.scope.target,
            request.parameters,
            claim,
            request.volume,
        )?;
        let placement = self
            .index
            .reserve(request.volume, &directory, |neighbours| {
                self.rules.placement(&directory, claim, neighbours)
            })?;
        let _reserved = Reserved {
            index: &self.index,
            volume: request.volume,
        };
        self.decide_at(request, &directory, placement).await
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
        let kept = match placement {
            Placement::Free => None,
            Placement::Kept(record) => Some(record),
        };
        let mut origin = Origin::Created;
        let mut identity = None;
        if let Some(leaf) = &survey.leaf {
            let found = self.identity(leaf);
            let known = kept
                .as_deref()
                .filter(|kept| self.rules.is_same_directory(kept.identity.as_ref(), &found));
            origin = self
                .rules
                .existing_directory(directory, request.parameters, known)?;
            if known.is_none() {
                self.check_unrecorded(
                    request,
                    directory,
                    &found,
                    kept.as_deref().map(|kept| kept.volume.as_str()),
                )
                .await?;
            }
            identity = Some(found);
        }
        let claim = request.claim;
        let record = Record {
            format: FORMAT,
            volume: request.volume.to_owned(),
            claim: ClaimId {
                namespace: claim.metadata.namespace.clone().unwrap_or_default(),
                name: claim.metadata.name.clone().unwrap_or_default(),
                uid: claim.metadata.uid.clone().unwrap_or_default(),
            },
            directory: directory.clone(),
            parents: survey.absent_parents,
            identity,
            origin,
            on_delete: request.on_delete,
            state: State::Intent,
            archive: None,
            reclaim_policy: None,
            replaces: kept.map(|kept| kept.volume),
            transitions: self.scope.transitions,
        };
        self.write(&record).await?;
        Ok(record)
    }

    /// What stands on the way to a directory. Nothing is made inside the directory of another
    /// volume, by identity: links and folded case do not help.
    async fn survey(&self, volume: &str, directory: &RelativePath) -> Result<Survey, StepError> {
        let mut absent_parents = Vec::new();
        let mut strange = false;
        let mut path = RelativePath::root();
        for component in directory
            .components()
            .iter()
            .take(directory.components().len().saturating_sub(1))
        {
            path = path.join(component.clone());
            if !absent_parents.is_empty() {
                absent_parents.push(path.clone());
                continue;
            }
            match self.storage.stat(&path).await? {
                None => absent_parents.push(path.clone()),
                Some(stat) if stat.kind == Kind::Directory => {
                    if let Some((other, at)) = self.elsewhere(volume, &self.identity(&stat)).await?
                    {
                        return Err(overlap(directory, "lies in", at, other).into());
                    }
                    strange |= !self.index.is_known(volume, &path);
                }
                Some(_) => {
                    return Err(existing(directory, &format!("{path} is not a directory")).into());
                }
            }
        }
        let leaf = if absent_parents.is_empty() {
            self.storage.stat(directory).await?
        } else {
            None
        };
        if leaf.is_some_and(|leaf| leaf.kind != Kind::Directory) {
            return Err(existing(directory, "what is there is not a directory").into());
        }
        Ok(Survey {
            absent_parents,
            leaf,
            strange,
        })
    }

    /// A directory that no record of ours at this path describes: it must not be that of another
    /// volume under another name, nor hold one, nor be known to another deployment.
    async fn check_unrecorded(
        &self,
        request: MakeRequest<'_>,
        directory: &RelativePath,
        found: &DirectoryIdentity,
        replaced: Option<&str>,
    ) -> Result<(), StepError> {
        self.look_again(request, directory).await?;
        if let Some((other, at)) = self.elsewhere(request.volume, found).await?
            && Some(other.as_str()) != replaced
        {
            return Err(overlap(directory, "is", at, other).into());
        }
        for parent in self.index.parents() {
            let stat = self.storage.stat(&parent).await?;
            if stat.is_some_and(|stat| self.identity(&stat).matches(found)) && parent != *directory
            {
                return Err(
                    overlap(directory, "lies around", parent, "below it".to_owned()).into(),
                );
            }
        }
        Ok(())
    }

    /// Judges the place anew with what other deployments have recorded by now.
    async fn look_again(
        &self,
        request: MakeRequest<'_>,
        directory: &RelativePath,
    ) -> Result<(), StepError> {
        self.load_foreign().await?;
        let judge = |neighbours| self.rules.placement(directory, request.claim, neighbours);
        self.index.reserve(request.volume, directory, judge)?;
        Ok(())
    }

    async fn load_foreign(&self) -> Result<(), StepError> {
        let foreign = export::load_foreign(&self.storage, &self.scope.owner).await?;
        self.index.load_foreign(foreign);
        Ok(())
    }

    /// Another volume that has what stands at `path`, by name or by identity, as recorded by now.
    pub(super) async fn holder(
        &self,
        volume: &str,
        path: &RelativePath,
        found: &DirectoryIdentity,
    ) -> Result<Option<(String, RelativePath)>, StepError> {
        self.load_foreign().await?;
        Ok(self
            .elsewhere(volume, found)
            .await?
            .or_else(|| self.index.foreign_near(path)))
    }

    /// The other volume whose directory is the one found, under another name. A record whose
    /// directory was removed behind our back does not count: file systems use the numbers of what
    /// is gone again.
    async fn elsewhere(
        &self,
        volume: &str,
        found: &DirectoryIdentity,
    ) -> Result<Option<(String, RelativePath)>, StepError> {
        let Some((other, at)) = self.index.identified(volume, found) else {
            return Ok(None);
        };
        let there = self.storage.stat(&at).await?;
        Ok(there
            .is_some_and(|there| self.identity(&there).matches(found))
            .then_some((other, at)))
    }

    async fn carry_out(&self, mut record: Record, going_on: bool) -> Result<Record, StepError> {
        if record.identity.is_none() {
            let made = self.make_parents(&record.parents).await?;
            match self.make_leaf(&mut record, going_on).await {
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
        record.state = State::Ready;
        self.write(&record).await?;
        if let Some(kept) = record
            .replaces
            .as_ref()
            .filter(|kept| **kept != record.volume)
        {
            self.forget(kept).await?;
        }
        Ok(record)
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

    async fn make_leaf(&self, record: &mut Record, going_on: bool) -> Result<(), StepError> {
        let path = record.directory.clone();
        let mode = self.attributes.mode;
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
        if self.attributes.uid.is_some() || self.attributes.gid.is_some() {
            let attributes = Attributes {
                mode: Some(mode),
                uid: self.attributes.uid,
                gid: self.attributes.gid,
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

fn existing(directory: &RelativePath, cause: &str) -> Refusal {
    Refusal::Existing {
        directory: directory.clone(),
        cause: cause.to_owned(),
    }
}

fn overlap(
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
