//! What stands on the export where a directory is to be, and whose it is.

use crate::backend::{Kind, Stat};
use crate::decide::{Placement, Refusal};
use crate::error::StepError;
use crate::export;
use crate::path::RelativePath;
use crate::records::{DirectoryIdentity, Record};

use super::Share;
use super::make::{MakeRequest, existing, overlap};

/// What stands at a path before anything is made there.
pub(super) struct Survey {
    pub(super) absent_parents: Vec<RelativePath>,
    pub(super) leaf: Option<Stat>,
    /// A parent is there, and no directory of ours below it says whose it is.
    pub(super) strange: bool,
}

impl Share {
    /// What stands on the way to a directory. Nothing is made inside the directory of another
    /// volume, by identity: links and folded case do not help.
    pub(super) async fn survey(
        &self,
        volume: &str,
        directory: &RelativePath,
    ) -> Result<Survey, StepError> {
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
    pub(super) async fn check_unrecorded(
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
    pub(super) async fn look_again(
        &self,
        request: MakeRequest<'_>,
        directory: &RelativePath,
    ) -> Result<(), StepError> {
        if let Some((owner, _)) = self.load_foreign(request.volume).await? {
            return Err(Refusal::OtherOwner { owner }.into());
        }
        self.place(request, directory)?;
        Ok(())
    }

    /// Reserves the directory if it may be had next to those of other volumes.
    pub(super) fn place(
        &self,
        request: MakeRequest<'_>,
        directory: &RelativePath,
    ) -> Result<Placement, StepError> {
        let shared = request.parameters.directories.shared();
        let judge = |neighbours| {
            self.rules
                .placement(directory, request.claim, shared, neighbours)
        };
        Ok(self.index.reserve(request.volume, directory, judge)?)
    }

    /// Reads what other deployments have recorded by now; the record that one of them has for a
    /// volume of this name, which means that it serves the same claim.
    async fn load_foreign(&self, volume: &str) -> Result<Option<(String, Record)>, StepError> {
        let (storage, owner) = (&self.storage, &self.scope.owner);
        let mut foreign = export::load_foreign(storage, owner).await?;
        let same = export::foreign_record(storage, owner, volume).await?;
        foreign.extend(same.clone());
        self.index.load_foreign(foreign);
        Ok(same)
    }

    /// Another volume that has what stands at `path`, by name or by identity, as recorded by now.
    pub(super) async fn holder(
        &self,
        volume: &str,
        path: &RelativePath,
        found: &DirectoryIdentity,
    ) -> Result<Option<(String, RelativePath)>, StepError> {
        if let Some((_, record)) = self.load_foreign(volume).await? {
            return Ok(Some((record.volume, record.directory)));
        }
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
}
