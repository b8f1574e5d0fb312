//! The backend with a limit on each call and a fence before each change: a process that was
//! stopped and resumed after losing its lease changes nothing.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::{Attributes, Backend, Cause, Entry, Identity, Stat, StorageResult};
use crate::clock::Fence;
use crate::error::StepError;
use crate::path::RelativePath;

/// See the module.
#[derive(Clone)]
pub struct Storage {
    backend: Arc<dyn Backend>,
    fence: Fence,
    limit: Duration,
    stall: Duration,
}

impl Storage {
    /// `limit` bounds one call, `stall` the removal of a tree without progress.
    pub fn new(backend: Arc<dyn Backend>, fence: Fence, limit: Duration, stall: Duration) -> Self {
        Self {
            backend,
            fence,
            limit,
            stall,
        }
    }

    /// The backend's name.
    pub fn name(&self) -> &'static str {
        self.backend.name()
    }

    pub(crate) async fn stat(&self, path: &RelativePath) -> StorageResult<Option<Stat>> {
        self.backend.stat(path, self.limit).await
    }

    pub(crate) async fn list(&self, path: &RelativePath) -> StorageResult<Vec<Entry>> {
        self.backend.list(path, self.limit).await
    }

    pub(crate) async fn read_file(&self, path: &RelativePath) -> StorageResult<Option<Vec<u8>>> {
        self.backend.read_file(path, self.limit).await
    }

    pub(crate) async fn make_directory(
        &self,
        path: &RelativePath,
        mode: u32,
    ) -> Result<Identity, StepError> {
        self.fence.check()?;
        Ok(self.backend.make_directory(path, mode, self.limit).await?)
    }

    /// Makes a directory unless something has the name already.
    pub(crate) async fn ensure_directory(
        &self,
        path: &RelativePath,
        mode: u32,
    ) -> Result<(), StepError> {
        match self.make_directory(path, mode).await {
            Err(StepError::Storage(error)) if error.cause == Cause::AlreadyExists => Ok(()),
            other => other.map(drop),
        }
    }

    pub(crate) async fn set_attributes(
        &self,
        path: &RelativePath,
        attributes: Attributes,
    ) -> Result<(), StepError> {
        self.fence.check()?;
        Ok(self
            .backend
            .set_attributes(path, attributes, self.limit)
            .await?)
    }

    pub(crate) async fn rename_directory(
        &self,
        from: &RelativePath,
        to: &RelativePath,
    ) -> Result<(), StepError> {
        self.fence.check()?;
        Ok(self.backend.rename_directory(from, to, self.limit).await?)
    }

    pub(crate) async fn remove_directory(&self, path: &RelativePath) -> Result<(), StepError> {
        self.fence.check()?;
        Ok(self.backend.remove_directory(path, self.limit).await?)
    }

    pub(crate) async fn remove_tree(&self, path: &RelativePath) -> Result<(), StepError> {
        self.fence.check()?;
        Ok(self.backend.remove_tree(path, self.stall).await?)
    }

    pub(crate) async fn write_file(
        &self,
        path: &RelativePath,
        content: &[u8],
    ) -> Result<(), StepError> {
        self.fence.check()?;
        Ok(self.backend.write_file(path, content, self.limit).await?)
    }

    pub(crate) async fn remove_file(&self, path: &RelativePath) -> Result<(), StepError> {
        self.fence.check()?;
        Ok(self.backend.remove_file(path, self.limit).await?)
    }
}

/// The cause of a storage error, if it is one.
pub(crate) fn cause(error: &StepError) -> Option<Cause> {
    match error {
        StepError::Storage(error) => Some(error.cause),
        _ => None,
    }
}
