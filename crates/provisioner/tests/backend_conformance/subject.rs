//! A backend, the directory behind it, and another directory nothing may touch.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use camino::Utf8PathBuf;
use provisioner::backend::direct::{DirectBackend, DirectOptions};
use provisioner::backend::mount::{MountBackend, MountOptions};
use provisioner::backend::{Backend, Cause, Certainty, StorageError};
use provisioner::path::RelativePath;
use tempfile::TempDir;
use testbed::nfs::embedded::{CallHook, KeptPort, Passthrough};
use testbed::nfs::{EmbeddedExport, ExportOptions};

/// Long enough for anything that works.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Which backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Mount,
    Direct,
}

pub(crate) struct Subject {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) export: Option<EmbeddedExport>,
    /// Where the export is, and the next one in its place.
    pub(crate) port: KeptPort,
    directory: TempDir,
    outside: TempDir,
}

impl Subject {
    pub(crate) async fn new(kind: Kind) -> Self {
        Self::with_hook(kind, Arc::new(Passthrough)).await
    }

    /// With a look at every NFS call before it is carried out; the mounted backend makes none.
    pub(crate) async fn with_hook(kind: Kind, hook: Arc<dyn CallHook>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(outside.path().join("below/deep")).unwrap();
        std::fs::write(outside.path().join("below/file"), "precious").unwrap();
        std::fs::write(outside.path().join("file"), "precious").unwrap();
        let port = KeptPort::any().unwrap();
        let (backend, export): (Arc<dyn Backend>, _) = match kind {
            Kind::Mount => (Arc::new(mount(directory.path())), None),
            Kind::Direct => {
                let export = serve(directory.path(), &port, hook).await;
                (Arc::new(direct(export.port())), Some(export))
            }
        };
        Self {
            backend,
            export,
            port,
            directory,
            outside,
        }
    }

    /// A path of the served directory.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn outside(&self) -> &Path {
        self.outside.path()
    }

    pub(crate) fn make(&self, path: &str) {
        std::fs::create_dir_all(self.at(path)).unwrap();
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        std::fs::write(self.at(path), content).unwrap();
    }

    pub(crate) fn link(&self, target: impl AsRef<Path>, path: &str) {
        std::os::unix::fs::symlink(target, self.at(path)).unwrap();
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        self.at(path).symlink_metadata().is_ok()
    }

    /// Everything outside, with content and modes, to be compared afterwards.
    pub(crate) fn outside_now(&self) -> BTreeMap<PathBuf, (u32, Option<String>)> {
        snapshot(self.outside.path())
    }

    /// Everything served.
    pub(crate) fn inside_now(&self) -> BTreeMap<PathBuf, (u32, Option<String>)> {
        snapshot(self.directory.path())
    }
}

pub(crate) fn path(text: &str) -> RelativePath {
    RelativePath::parse(text).unwrap()
}

pub(crate) fn mount(directory: &Path) -> MountBackend {
    let path = Utf8PathBuf::from_path_buf(directory.to_owned()).unwrap();
    MountBackend::open(MountOptions {
        path,
        allow_any_filesystem: true,
    })
    .unwrap()
}

/// Serves `directory` as `/export` on `port`.
pub(crate) async fn serve(
    directory: &Path,
    port: &KeptPort,
    hook: Arc<dyn CallHook>,
) -> EmbeddedExport {
    let options = ExportOptions {
        directory: Utf8PathBuf::from_path_buf(directory.to_owned()).unwrap(),
        export_path: "/export".to_owned(),
        bind: port.address(),
        root_squash: false,
    };
    EmbeddedExport::start_with_hook(options, hook)
        .await
        .unwrap()
}

pub(crate) fn options(port: u16) -> DirectOptions {
    DirectOptions {
        nfs_port: Some(port),
        mount_port: Some(port),
        noresvport: true,
        ..DirectOptions::new("127.0.0.1", "/export")
    }
}

pub(crate) fn direct(port: u16) -> DirectBackend {
    DirectBackend::connect(options(port)).unwrap()
}

/// The cause of a failure in which nothing was changed.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, StorageError>) -> Cause {
    let error = result.unwrap_err();
    assert_eq!(error.certainty, Certainty::Definite, "{error}");
    error.cause
}

fn snapshot(root: &Path) -> BTreeMap<PathBuf, (u32, Option<String>)> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let content = metadata
                .is_file()
                .then(|| std::fs::read_to_string(&path).unwrap());
            if metadata.is_dir() {
                open.push(path.clone());
            }
            found.insert(path, (metadata.mode(), content));
        }
    }
    found
}
