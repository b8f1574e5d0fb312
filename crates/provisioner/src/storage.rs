//! The backend with a limit on each call, a fence before each change and a measure of each: a
//! process that was stopped and resumed after losing its lease changes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::backend::{Attributes, Backend, Cause, Entry, Identity, Space, Stat, StorageResult};
use crate::clock::Fence;
use crate::error::StepError;
use crate::metrics::Metrics;
use crate::path::RelativePath;

/// For how long a confirmation of the export's identity counts where nothing is destroyed.
const RECENT: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Clone)]
pub struct Storage {
    backend: Arc<dyn Backend>,
    fence: Fence,
    limit: Duration,
    stall: Duration,
    metrics: Option<Arc<Metrics>>,
    confirmed: Arc<Confirmed>,
}

/// When the export was last seen to be the right one.
struct Confirmed {
    start: Instant,
    /// Milliseconds after `start`, plus one; 0: not since something went wrong.
    at: AtomicU64,
}

impl Confirmed {
    fn elapsed(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }
}

impl Storage {
    /// `limit` bounds one call, `stall` the removal of a tree without progress.
    pub fn new(backend: Arc<dyn Backend>, fence: Fence, limit: Duration, stall: Duration) -> Self {
        backend.fenced_by(&fence);
        Self {
            backend,
            fence,
            limit,
            stall,
            metrics: None,
            confirmed: Arc::new(Confirmed {
                start: Instant::now(),
                at: AtomicU64::new(0),
            }),
        }
    }

    /// The same, with each call measured.
    #[must_use]
    pub fn measured(mut self, metrics: Arc<Metrics>) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// The same with a shorter limit on each call.
    pub(crate) fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = self.limit.min(limit);
        self
    }

    /// The backend's name.
    pub fn name(&self) -> &'static str {
        self.backend.name()
    }

    /// Whether the export was seen to be the right one a moment ago, and no call since then made
    /// that doubtful.
    pub(crate) fn is_confirmed(&self) -> bool {
        let at = self.confirmed.at.load(Ordering::Acquire);
        let recent = u64::try_from(RECENT.as_millis()).unwrap_or(u64::MAX);
        at > 0 && self.confirmed.elapsed().saturating_sub(at - 1) < recent
    }

    /// Notes whether the export is the right one.
    pub(crate) fn set_confirmed(&self, confirmed: bool) {
        let at = if confirmed {
            self.confirmed.elapsed() + 1
        } else {
            0
        };
        self.confirmed.at.store(at, Ordering::Release);
    }

    async fn measure<T>(
        &self,
        call: &'static str,
        future: impl Future<Output = StorageResult<T>>,
    ) -> StorageResult<T> {
        let started = Instant::now();
        let result = future.await;
        let cause = result.as_ref().err().map(|error| error.cause);
        if matches!(
            cause,
            Some(Cause::TimedOut | Cause::Unreachable | Cause::Stale)
        ) {
            self.set_confirmed(false);
        }
        if let Some(metrics) = &self.metrics {
            metrics.storage_call(call, started.elapsed(), cause);
        }
        result
    }

    /// A call that changes something: only while the process may act, at each of its steps.
    async fn change<T>(
        &self,
        call: &'static str,
        future: impl Future<Output = StorageResult<T>>,
    ) -> Result<T, StepError> {
        Ok(self.fence.guard(self.measure(call, future)).await??)
    }

    pub(crate) async fn stat(&self, path: &RelativePath) -> StorageResult<Option<Stat>> {
        self.measure("stat", self.backend.stat(path, self.limit))
            .await
    }

    pub(crate) async fn list(&self, path: &RelativePath) -> StorageResult<Vec<Entry>> {
        self.measure("list", self.backend.list(path, self.limit))
            .await
    }

    pub(crate) async fn read_file(&self, path: &RelativePath) -> StorageResult<Option<Vec<u8>>> {
        self.measure("read-file", self.backend.read_file(path, self.limit))
            .await
    }

    pub(crate) async fn space(&self) -> StorageResult<Space> {
        self.measure("space", self.backend.space(self.limit)).await
    }

    pub(crate) async fn make_directory(
        &self,
        path: &RelativePath,
        mode: u32,
    ) -> Result<Identity, StepError> {
        let call = self.backend.make_directory(path, mode, self.limit);
        self.change("make-directory", call).await
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
        let call = self.backend.set_attributes(path, attributes, self.limit);
        self.change("set-attributes", call).await
    }

    pub(crate) async fn rename_directory(
        &self,
        from: &RelativePath,
        to: &RelativePath,
    ) -> Result<(), StepError> {
        let call = self.backend.rename_directory(from, to, self.limit);
        self.change("rename-directory", call).await
    }

    pub(crate) async fn remove_directory(&self, path: &RelativePath) -> Result<(), StepError> {
        let call = self.backend.remove_directory(path, self.limit);
        self.change("remove-directory", call).await
    }

    pub(crate) async fn remove_tree(&self, path: &RelativePath) -> Result<(), StepError> {
        let call = self.backend.remove_tree(path, self.stall);
        self.change("remove-tree", call).await
    }

    pub(crate) async fn write_file(
        &self,
        path: &RelativePath,
        content: &[u8],
    ) -> Result<(), StepError> {
        let call = self.backend.write_file(path, content, self.limit);
        self.change("write-file", call).await
    }

    pub(crate) async fn remove_file(&self, path: &RelativePath) -> Result<(), StepError> {
        let call = self.backend.remove_file(path, self.limit);
        self.change("remove-file", call).await
    }
}

/// The cause of a storage error, if it is one.
pub(crate) fn cause(error: &StepError) -> Option<Cause> {
    match error {
        StepError::Storage(error) => Some(error.cause),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::mount::{MountBackend, MountOptions};
    use crate::clock::BootClock;

    const LIMIT: Duration = Duration::from_secs(30);

    fn path(text: &str) -> RelativePath {
        RelativePath::parse(text).unwrap()
    }

    /// What the threads of calls do once the lease is over: the caller is gone by then.
    #[tokio::test]
    async fn a_mounted_export_is_not_changed_by_calls_without_the_lease() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("tree/below")).unwrap();
        std::fs::write(directory.path().join("tree/below/file"), "bytes").unwrap();
        let backend = Arc::new(MountBackend::new(MountOptions {
            path: directory.path().to_str().unwrap().into(),
            allow_any_filesystem: true,
        }));
        let fence = Fence::closed(Arc::new(BootClock));
        let storage = Storage::new(backend.clone(), fence.clone(), LIMIT, LIMIT);
        let refused = [
            backend
                .make_directory(&path("new"), 0o755, LIMIT)
                .await
                .map(drop),
            backend.write_file(&path("new"), b"x", LIMIT).await,
            backend
                .rename_directory(&path("tree"), &path("new"), LIMIT)
                .await,
            backend.remove_tree(&path("tree"), LIMIT).await,
            backend.remove_directory(&path("tree/below"), LIMIT).await,
            backend.remove_file(&path("tree/below/file"), LIMIT).await,
        ];
        for result in refused {
            let error = result.unwrap_err();
            assert!(error.detail.contains("without the lease"), "{error}");
        }
        let file = path("tree/below/file");
        let error = storage.remove_file(&file).await.unwrap_err();
        assert!(matches!(error, StepError::Fenced(_)), "{error}");
        let names: Vec<_> = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["tree"]);
        assert!(storage.read_file(&file).await.unwrap().is_some());

        fence.extend(Duration::MAX);
        storage.remove_tree(&path("tree")).await.unwrap();
        assert!(storage.stat(&path("tree")).await.unwrap().is_none());
    }
}
