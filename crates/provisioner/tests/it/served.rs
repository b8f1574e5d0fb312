//! The whole provisioner on real files: mounted, or through an NFSv3 server. On the real clock:
//! sockets and threads know no other.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use camino::Utf8PathBuf;
use provisioner::backend::Backend;
use provisioner::backend::direct::{DirectBackend, DirectOptions};
use provisioner::backend::mount::{MountBackend, MountOptions};
use provisioner::config::ExportPath;
use provisioner::path::RelativePath;
use provisioner::rules::SoundRules;
use rstest::rstest;
use serde_json::json;
use tempfile::TempDir;
use testbed::faults::nfs::{NfsCall, NfsProxy, Refusal, Status};
use testbed::faults::{Fault, When};
use testbed::nfs::{EmbeddedExport, ExportOptions};

use crate::memory::Steps;
use crate::world::{Running, World, claim, class, events_with};

/// Many times what a busy machine needs.
const LIMIT: Duration = Duration::from_secs(30);

async fn until(what: &str, condition: impl Fn() -> bool) {
    let reached = tokio::time::timeout(LIMIT, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(reached.await.is_ok(), "never came true: {what}");
}

/// A directory that an NFS server and a proxy before it serve.
struct Served {
    directory: TempDir,
    proxy: NfsProxy,
    _export: EmbeddedExport,
    exported: String,
}

impl Served {
    async fn new(exported: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let exported = ExportPath::new(exported).unwrap().to_string();
        let options = ExportOptions {
            directory: Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap(),
            export_path: exported.clone(),
            bind: ([127, 0, 0, 1], 0).into(),
            root_squash: false,
        };
        let export = EmbeddedExport::start(options).await.unwrap();
        let server = ([127, 0, 0, 1], export.port()).into();
        Self {
            directory,
            proxy: NfsProxy::start(server).await.unwrap(),
            _export: export,
            exported,
        }
    }

    fn direct(&self) -> DirectBackend {
        DirectBackend::connect(DirectOptions {
            nfs_port: Some(self.proxy.port()),
            mount_port: Some(self.proxy.port()),
            noresvport: true,
            ..DirectOptions::new("127.0.0.1", self.exported.as_str())
        })
        .unwrap()
    }

    fn mounted(&self) -> MountBackend {
        let path = Utf8PathBuf::from_path_buf(self.directory.path().to_owned()).unwrap();
        MountBackend::open(MountOptions {
            path,
            allow_any_filesystem: true,
        })
        .unwrap()
    }

    fn backend(&self, direct: bool) -> Arc<dyn Backend> {
        if direct {
            Arc::new(self.direct())
        } else {
            Arc::new(self.mounted())
        }
    }

    /// A path of the served directory.
    fn at(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }
}

fn start(world: &World, backend: Arc<dyn Backend>) -> Running {
    world.start_on(backend, Steps::unlimited(), Arc::new(SoundRules))
}

/// Waits until a claim is bound.
async fn bound(world: &World, claim: &str) {
    until("bound", || world.store.bound_to(claim).is_some()).await;
}

/// csi-driver-nfs #260: there a deletion mounted the export, and needed the options of a class that
/// was gone. No kernel takes these options, and no server has this version.
#[rstest]
#[tokio::test]
async fn a_deletion_needs_no_mount_options(
    #[values(false, true)] direct: bool,
    #[values("delete", "archive")] on_delete: &str,
) {
    let served = Served::new("/export").await;
    let backend = served.backend(direct);
    let world = World::new();
    let parameters = json!({ "onDelete": on_delete, "pathPattern": "team/${.PVC.name}" });
    let mut optioned = class("c", &parameters);
    let options = ["nfsvers=9", "no-such-option"].map(str::to_owned);
    optioned.mount_options = Some(options.to_vec());
    world.store.class(optioned);
    world.store.claim(claim("a", "1", "c"));
    let running = start(&world, backend.clone());
    bound(&world, "a").await;
    let volume = world.store.volumes().remove(0);
    assert_eq!(
        volume.spec.unwrap().mount_options,
        Some(options.to_vec()),
        "for the node, not for us"
    );
    std::fs::write(served.at("team/a/file"), "bytes").unwrap();
    running.stop().await.unwrap();
    world.store.delete_class("c");
    world.store.edit_volume("pvc-1", |volume| {
        volume.spec.as_mut().unwrap().mount_options = None;
    });
    let running = start(&world, backend);
    world.store.delete_claim("a");
    until("reclaimed", || world.store.volumes().is_empty()).await;
    running.stop().await.unwrap();
    assert!(!served.at("team/a").exists());
    assert_eq!(
        served.at("team/archived-a/file").exists(),
        on_delete == "archive"
    );
    assert!(events_with(&world, "VolumeFailedDelete").is_empty());
}

/// The crate that speaks NFSv3 cannot ask for the export `/`, so that one is mounted.
#[rstest]
#[case("/", false)]
#[case("/export/", false)]
#[case("/export/", true)]
#[tokio::test]
async fn nested_directories_on_such_exports_end_as_their_class_says(
    #[case] export: &str,
    #[case] direct: bool,
    #[values("delete", "archive")] on_delete: &str,
) {
    let served = Served::new(export).await;
    let mut world = World::new();
    world.config.target.export = ExportPath::new(export).unwrap();
    let parameters =
        json!({ "onDelete": on_delete, "pathPattern": "${.PVC.namespace}/${.PVC.name}" });
    world.store.class(class("c", &parameters));
    world.store.claim(claim("a", "1", "c"));
    let running = start(&world, served.backend(direct));
    bound(&world, "a").await;
    let nfs = world.store.volumes().remove(0).spec.unwrap().nfs.unwrap();
    let clean = format!("{}/ns/a", export.trim_end_matches('/'));
    assert_eq!(nfs.path, clean);
    std::fs::write(served.at("ns/a/file"), "bytes").unwrap();
    world.store.delete_claim("a");
    until("reclaimed", || world.store.volumes().is_empty()).await;
    running.stop().await.unwrap();
    assert!(!served.at("ns/a").exists());
    assert_eq!(
        served.at("ns/archived-a/file").exists(),
        on_delete == "archive"
    );
}

/// The server makes the directory and refuses to give it away.
#[tokio::test]
async fn a_server_that_refuses_the_owner_is_told_and_nothing_stays_until_it_grants_it() {
    let served = Served::new("/export").await;
    let world = World::new();
    let parameters = json!({ "directoryUid": "1000", "directoryGid": "2000" });
    world.store.class(class("c", &parameters));
    let rule = served.proxy.plan().set(
        When::every(|call: &NfsCall| call.procedure == "SETATTR" && call.path == "ns-a-pvc-1"),
        Fault::Answer(Refusal(Status::NFS3ERR_PERM)),
    );
    world.store.claim(claim("a", "1", "c"));
    let running = start(&world, Arc::new(served.direct()));
    until("told", || {
        !events_with(&world, "ProvisioningFailed").is_empty()
    })
    .await;
    let told = events_with(&world, "ProvisioningFailed")[0].0.clone();
    for words in ["ns-a-pvc-1", "the server denied permission"] {
        assert!(told.contains(words), "{told}");
    }
    // The next attempt makes and takes back another one.
    rule.hit(2).await;
    until("taken back", || !served.at("ns-a-pvc-1").exists()).await;
    assert!(world.store.volumes().is_empty());
    rule.lift();
    bound(&world, "a").await;
    running.stop().await.unwrap();
    let made = RelativePath::parse("ns-a-pvc-1").unwrap();
    let stat = served.direct().stat(&made, LIMIT).await.unwrap().unwrap();
    assert_eq!((stat.mode, stat.uid, stat.gid), (0o777, 1000, 2000));
    let told = events_with(&world, "ProvisioningFailed");
    assert_eq!(told.len(), 1, "{told:?}");
}
