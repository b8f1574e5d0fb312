//! The export as a directory mounted by somebody else: in a pod, by the kubelet.
//!
//! Nothing of the mount is held between calls, so it can be unmounted and mounted again. Every
//! call opens the root, checks that it still is the file system it was (or verifies the new one),
//! and works with file descriptors from there on.

mod calls;
mod errno;
mod filesystem;
mod operations;
mod removal;
mod resolve;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use camino::Utf8PathBuf;

use crate::backend::failure::Failure;
use crate::backend::{
    Attributes, Backend, Entry, Identity, Space, Stat, StorageError, StorageResult,
};
use crate::clock::Fence;
use crate::path::RelativePath;

use calls::Calls;
use filesystem::Export;
use operations::Root;

/// Where the export is mounted.
#[derive(Clone, Debug)]
pub struct MountOptions {
    /// The mount point, `/persistentvolumes` in the pod.
    pub path: Utf8PathBuf,
    /// Accepts any file system there, for tests. Otherwise it must be `nfs`, `nfs4` or
    /// `fuse.nfs`: a mount that is missing would make directories in the container.
    pub allow_any_filesystem: bool,
}

/// The backend over a mounted directory.
#[derive(Debug)]
pub struct MountBackend {
    export: Arc<Export>,
    calls: Calls,
}

/// How long the first look at the mount point may take.
const OPEN_LIMIT: Duration = Duration::from_secs(30);

/// Whether a call changes something, hence what running out of time means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It looks only.
    Reads,
    /// It may have been done when its answer is missing.
    Changes,
}

impl MountBackend {
    /// Looks at nothing yet: a mount point that is missing or wrong fails each call until it is
    /// mended.
    pub fn new(options: MountOptions) -> Self {
        Self {
            export: Arc::new(Export::new(options.path, options.allow_any_filesystem)),
            calls: Calls::default(),
        }
    }

    /// Looks at the mount point once to check it. It waits at most 30 s for that, blocking.
    ///
    /// # Errors
    /// [`Cause::Unreachable`](crate::backend::Cause::Unreachable) when the mount point is missing,
    /// is no directory, or is no NFS file system although it has to be;
    /// [`Cause::TimedOut`](crate::backend::Cause::TimedOut) when the file system does not answer.
    pub fn open(options: MountOptions) -> Result<Self, StorageError> {
        let backend = Self::new(options);
        let shared = Arc::clone(&backend.export);
        backend
            .calls
            .run_blocking(OPEN_LIMIT, move || shared.open().map(drop))
            .map_err(|failure| failure.into_error("open", &RelativePath::root()))?;
        Ok(backend)
    }

    /// Kernel calls that are past their deadline and have not returned: a hard mount whose server
    /// is gone. Beyond a cap of 16 every call fails at once.
    pub fn stuck_calls(&self) -> usize {
        self.calls.stuck()
    }

    /// Runs `work` on a thread of its own, once more when the root's handle turned out stale.
    async fn call<T: Send + 'static>(
        &self,
        operation: &'static str,
        path: &RelativePath,
        effect: Effect,
        limit: Duration,
        work: impl Fn(&Root) -> Result<T, Failure> + Send + 'static,
    ) -> StorageResult<T> {
        let export = Arc::clone(&self.export);
        self.calls
            .run(effect, limit, move || {
                if matches!(effect, Effect::Changes) {
                    export.may_change()?;
                }
                let first = export.open().and_then(|root| work(&root));
                match first {
                    Err(failure) if failure.repeat => export.open().and_then(|root| work(&root)),
                    other => other,
                }
            })
            .await
            .map_err(|failure| failure.into_error(operation, path))
    }
}

#[async_trait]
impl Backend for MountBackend {
    fn name(&self) -> &'static str {
        "mount"
    }

    fn fenced_by(&self, fence: &Fence) {
        self.export.set_fence(fence.clone());
    }

    fn stuck_calls(&self) -> usize {
        Self::stuck_calls(self)
    }

    async fn stat(&self, path: &RelativePath, limit: Duration) -> StorageResult<Option<Stat>> {
        let own = path.clone();
        self.call("stat", path, Effect::Reads, limit, move |root| {
            root.stat(&own)
        })
        .await
    }

    async fn list(&self, path: &RelativePath, limit: Duration) -> StorageResult<Vec<Entry>> {
        let own = path.clone();
        self.call("list", path, Effect::Reads, limit, move |root| {
            root.list(&own)
        })
        .await
    }

    async fn make_directory(
        &self,
        path: &RelativePath,
        mode: u32,
        limit: Duration,
    ) -> StorageResult<Identity> {
        let own = path.clone();
        self.call("mkdir", path, Effect::Changes, limit, move |root| {
            root.make_directory(&own, mode)
        })
        .await
    }

    async fn set_attributes(
        &self,
        path: &RelativePath,
        attributes: Attributes,
        limit: Duration,
    ) -> StorageResult<()> {
        let own = path.clone();
        self.call("setattr", path, Effect::Changes, limit, move |root| {
            root.set_attributes(&own, attributes)
        })
        .await
    }

    async fn rename_directory(
        &self,
        from: &RelativePath,
        to: &RelativePath,
        limit: Duration,
    ) -> StorageResult<()> {
        let (source, target) = (from.clone(), to.clone());
        self.call("rename", from, Effect::Changes, limit, move |root| {
            root.rename_directory(&source, &target)
        })
        .await
    }

    async fn remove_directory(&self, path: &RelativePath, limit: Duration) -> StorageResult<()> {
        let own = path.clone();
        self.call("rmdir", path, Effect::Changes, limit, move |root| {
            root.remove_directory(&own)
        })
        .await
    }

    async fn remove_tree(&self, path: &RelativePath, stall: Duration) -> StorageResult<()> {
        let export = Arc::clone(&self.export);
        let own = path.clone();
        self.calls
            .run_while_it_moves(stall, move |progress| removal::run(&export, &own, progress))
            .await
            .map_err(|failure| failure.into_error("remove", path))
    }

    async fn read_file(
        &self,
        path: &RelativePath,
        limit: Duration,
    ) -> StorageResult<Option<Vec<u8>>> {
        let own = path.clone();
        self.call("read", path, Effect::Reads, limit, move |root| {
            root.read_file(&own)
        })
        .await
    }

    async fn write_file(
        &self,
        path: &RelativePath,
        content: &[u8],
        limit: Duration,
    ) -> StorageResult<()> {
        let (own, content) = (path.clone(), content.to_vec());
        self.call("write", path, Effect::Changes, limit, move |root| {
            root.write_file(&own, &content)
        })
        .await
    }

    async fn remove_file(&self, path: &RelativePath, limit: Duration) -> StorageResult<()> {
        let own = path.clone();
        self.call("unlink", path, Effect::Changes, limit, move |root| {
            root.remove_file(&own)
        })
        .await
    }

    async fn space(&self, limit: Duration) -> StorageResult<Space> {
        let root = RelativePath::root();
        self.call("statfs", &root, Effect::Reads, limit, operations::space)
            .await
    }
}
