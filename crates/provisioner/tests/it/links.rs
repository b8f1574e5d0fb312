//! Symbolic links planted at every level of what the provisioner touches, with both backends: none
//! is followed, and nothing outside the export changes. On the real clock: the backends have
//! threads and sockets of their own.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use provisioner::backend::Backend;
use provisioner::backend::direct::{DirectBackend, DirectOptions};
use provisioner::backend::mount::{MountBackend, MountOptions};
use provisioner::clock::{BootClock, Fence};
use provisioner::export;
use provisioner::rules::SoundRules;
use provisioner::storage::Storage;
use rstest::rstest;
use serde_json::json;
use tempfile::TempDir;
use testbed::nfs::{EmbeddedExport, ExportOptions};

use crate::memory::Steps;
use crate::world::{Running, World, claim, class, events_with};

#[derive(Clone, Copy, Debug)]
enum Kind {
    Mount,
    Direct,
}

/// An export served from a directory, beside one that nothing may touch.
struct Place {
    kind: Kind,
    directory: TempDir,
    outside: TempDir,
    served: Option<EmbeddedExport>,
}

impl Place {
    async fn new(kind: Kind) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        // Everything a followed link could hit has the names that are looked for.
        for below in [
            "team/data",
            "data",
            "id",
            "records",
            "trash",
            "owner/records",
        ] {
            std::fs::create_dir_all(outside.path().join(below)).unwrap();
            std::fs::write(outside.path().join(below).join("file"), "precious").unwrap();
        }
        let served = match kind {
            Kind::Mount => None,
            Kind::Direct => Some(
                EmbeddedExport::start(ExportOptions {
                    directory: utf8(directory.path()),
                    export_path: "/export".to_owned(),
                    bind: ([127, 0, 0, 1], 0).into(),
                    root_squash: false,
                })
                .await
                .unwrap(),
            ),
        };
        Self {
            kind,
            directory,
            outside,
            served,
        }
    }

    fn backend(&self) -> Arc<dyn Backend> {
        match (&self.kind, &self.served) {
            (Kind::Direct, Some(served)) => Arc::new(
                DirectBackend::connect(DirectOptions {
                    nfs_port: Some(served.port()),
                    mount_port: Some(served.port()),
                    noresvport: true,
                    ..DirectOptions::new("127.0.0.1", "/export")
                })
                .unwrap(),
            ),
            _ => Arc::new(
                MountBackend::open(MountOptions {
                    path: utf8(self.directory.path()),
                    allow_any_filesystem: true,
                })
                .unwrap(),
            ),
        }
    }

    fn storage(&self) -> Storage {
        let limit = Duration::from_secs(20);
        Storage::new(
            self.backend(),
            Fence::open(Arc::new(BootClock)),
            limit,
            limit,
        )
    }

    fn start(&self, world: &World) -> Running {
        world.start_on(self.backend(), Steps::unlimited(), Arc::new(SoundRules))
    }

    fn at(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    /// Puts a link to `target` outside in the place of whatever is at `path`; moved away, it is
    /// still there as `moved`.
    fn plant(&self, target: &str, path: &str) {
        let place = self.at(path);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        if place.symlink_metadata().is_ok() {
            std::fs::rename(&place, self.at("moved")).unwrap();
        }
        symlink(self.outside.path().join(target), place).unwrap();
    }

    /// Everything outside, with owners, modes, times of change and content.
    fn outside_now(&self) -> BTreeMap<PathBuf, (u32, u32, i64, i64, Option<String>)> {
        let mut found = BTreeMap::new();
        let mut open = vec![self.outside.path().to_owned()];
        while let Some(path) = open.pop() {
            let metadata = path.symlink_metadata().unwrap();
            let content = metadata
                .is_file()
                .then(|| std::fs::read_to_string(&path).unwrap());
            if metadata.is_dir() {
                open.extend(
                    std::fs::read_dir(&path)
                        .unwrap()
                        .map(|entry| entry.unwrap().path()),
                );
            }
            let changed = (metadata.ctime(), metadata.ctime_nsec());
            found.insert(
                path,
                (
                    metadata.mode(),
                    metadata.uid(),
                    changed.0,
                    changed.1,
                    content,
                ),
            );
        }
        found
    }
}

fn utf8(path: &Path) -> camino::Utf8PathBuf {
    camino::Utf8PathBuf::from_path_buf(path.to_owned()).unwrap()
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let reached = tokio::time::timeout(Duration::from_mins(1), async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(reached.await.is_ok(), "never came true: {what}");
}

fn state(place: &Place, world: &World, volume: &str) -> Option<String> {
    let owner = world.config.owner.clone().unwrap();
    let path = place.at(&format!(".claimcheck/{owner}/records/{volume}"));
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    Some(record["state"].as_str()?.to_owned())
}

fn world() -> World {
    let mut world = World::new();
    world.config.owner = Some("owner".to_owned());
    "127.0.0.1".clone_into(&mut world.config.target.server);
    world
}

#[rstest]
#[case("team", "team")]
#[case("team", "")]
#[case("team/a", "data")]
#[case("team/a/data", "data")]
#[tokio::test]
async fn nothing_is_made_through_a_link(
    #[case] at: &str,
    #[case] target: &str,
    #[values(Kind::Mount, Kind::Direct)] kind: Kind,
) {
    let place = Place::new(kind).await;
    let world = world();
    // Reuse and sharing too: a link is no directory that could be used again.
    world.store.class(class(
        "c",
        &json!({
            "pathPattern": "team/${.PVC.name}/data", "existingDirectory": "reuse", "sharedDirectory": "cluster",
            "directoryMode": "0700", "onDelete": "delete", "removeEmptyParents": "true",
        }),
    ));
    place.plant(target, at);
    let before = place.outside_now();
    world.store.claim(claim("a", "1", "c"));
    let running = place.start(&world);
    until("refused", || {
        !events_with(&world, "ProvisioningFailed").is_empty()
    })
    .await;
    world.store.delete_claim("a");
    // With the link gone the next one is served, so whatever was under way has ended.
    std::fs::remove_file(place.at(at)).unwrap();
    world.store.claim(claim("a", "2", "c"));
    until("bound", || world.store.bound_to("a").is_some()).await;
    running.stop().await.unwrap();
    assert_eq!(place.outside_now(), before);
    assert!(place.at("team/a/data").is_dir());
}

/// Swapped in while the volume is in use, by whoever can write to the export.
#[rstest]
#[case("delete")]
#[case("archive")]
#[tokio::test]
async fn nothing_is_removed_or_archived_through_a_link(
    #[case] on_delete: &str,
    #[values("team", "team/a", "team/a/data")] at: &str,
    #[values(Kind::Mount, Kind::Direct)] kind: Kind,
) {
    let place = Place::new(kind).await;
    let world = world();
    world.store.class(class(
        "c",
        &json!({ "pathPattern": "team/${.PVC.name}/data", "onDelete": on_delete, "removeEmptyParents": "true" }),
    ));
    world.store.claim(claim("a", "1", "c"));
    let running = place.start(&world);
    until("saved", || {
        state(&place, &world, "pvc-1").as_deref() == Some("saved")
    })
    .await;
    std::fs::write(place.at("team/a/data/mine"), "bytes").unwrap();
    std::fs::create_dir_all(place.outside.path().join("a/data")).unwrap();
    std::fs::write(place.outside.path().join("a/data/file"), "precious").unwrap();
    let target = match at {
        "team" => "",
        "team/a" => "a",
        _ => "data",
    };
    place.plant(target, at);
    let before = place.outside_now();
    world.store.delete_claim("a");
    until("told", || {
        !events_with(&world, "VolumeFailedDelete").is_empty()
            || !events_with(&world, "DirectoryKept").is_empty()
    })
    .await;
    running.stop().await.unwrap();
    assert_eq!(place.outside_now(), before);
    let moved = match at {
        "team" => "moved/a/data/mine",
        "team/a" => "moved/data/mine",
        _ => "moved/mine",
    };
    assert_eq!(std::fs::read_to_string(place.at(moved)).unwrap(), "bytes");
    assert!(
        place.at(at).is_symlink(),
        "the link itself is not ours either"
    );
}

/// Links in a volume go with it; what they lead to stays.
#[rstest]
#[tokio::test]
async fn links_in_a_volume_are_removed_and_not_followed(
    #[values(Kind::Mount, Kind::Direct)] kind: Kind,
) {
    let place = Place::new(kind).await;
    let world = world();
    world
        .store
        .class(class("c", &json!({ "onDelete": "delete" })));
    world.store.claim(claim("a", "1", "c"));
    let running = place.start(&world);
    until("saved", || {
        state(&place, &world, "pvc-1").as_deref() == Some("saved")
    })
    .await;
    let volume = place.at("ns-a-pvc-1");
    std::fs::create_dir(volume.join("deep")).unwrap();
    for (link, target) in [
        ("link", place.outside.path().to_owned()),
        ("deep/link", place.outside.path().join("data/file")),
        ("deep/up", PathBuf::from("../../..")),
        ("dangling", PathBuf::from("/no/such/place")),
    ] {
        symlink(target, volume.join(link)).unwrap();
    }
    let before = place.outside_now();
    world.store.delete_claim("a");
    until("volume gone", || world.store.volumes().is_empty()).await;
    until("record gone", || state(&place, &world, "pvc-1").is_none()).await;
    running.stop().await.unwrap();
    assert_eq!(place.outside_now(), before);
    assert!(!volume.exists());
}

/// The names an archive would get are links already.
#[rstest]
#[tokio::test]
async fn an_archive_does_not_go_through_a_link_in_its_place(
    #[values(Kind::Mount, Kind::Direct)] kind: Kind,
) {
    let place = Place::new(kind).await;
    let world = world();
    world
        .store
        .class(class("c", &json!({ "pathPattern": "x" })));
    world.store.claim(claim("a", "1", "c"));
    let running = place.start(&world);
    until("saved", || {
        state(&place, &world, "pvc-1").as_deref() == Some("saved")
    })
    .await;
    std::fs::write(place.at("x/mine"), "bytes").unwrap();
    place.plant("data", "archived-x");
    let before = place.outside_now();
    world.store.delete_claim("a");
    until("volume gone", || world.store.volumes().is_empty()).await;
    running.stop().await.unwrap();
    assert_eq!(place.outside_now(), before);
    assert!(place.at("archived-x").is_symlink());
    assert_eq!(
        std::fs::read_to_string(place.at("archived-x-pvc-1/mine")).unwrap(),
        "bytes"
    );
}

/// Our own state directory, at every level, before anything of ours is there.
#[rstest]
#[case(".claimcheck", "")]
#[case(".claimcheck", "no-such-place")]
#[case(".claimcheck/export-id", "id")]
#[case(".claimcheck/export-id/id", "data/file")]
#[case(".claimcheck/owner", "owner")]
#[case(".claimcheck/owner/records", "records")]
#[tokio::test]
async fn an_export_whose_state_directory_is_a_link_is_not_made_ready(
    #[case] at: &str,
    #[case] target: &str,
    #[values(Kind::Mount, Kind::Direct)] kind: Kind,
) {
    let place = Place::new(kind).await;
    if at.starts_with(".claimcheck/owner") {
        // Sound so far.
        export::prepare(&place.storage(), "another", None)
            .await
            .unwrap();
    }
    place.plant(target, at);
    let before = place.outside_now();
    let storage = place.storage();
    let prepared = export::prepare(&storage, "owner", None).await;
    let loaded = export::load(&storage, "owner").await;
    assert!(
        prepared.is_err() || loaded.is_err(),
        "{prepared:?} {loaded:?}"
    );
    assert_eq!(place.outside_now(), before);
    // The control: without the link it is.
    std::fs::remove_file(place.at(at)).unwrap();
    export::prepare(&storage, "owner", None).await.unwrap();
    export::load(&storage, "owner").await.unwrap();
}

/// A record's own name, planted while nothing of ours runs: it is read as no record and written
/// without going through it.
#[rstest]
#[tokio::test]
async fn a_record_that_is_a_link_is_neither_read_nor_written_through(
    #[values(Kind::Mount, Kind::Direct)] kind: Kind,
) {
    let place = Place::new(kind).await;
    let world = world();
    world.store.class(class("c", &json!({})));
    world.store.claim(claim("control", "0", "c"));
    let running = place.start(&world);
    until("saved", || {
        state(&place, &world, "pvc-0").as_deref() == Some("saved")
    })
    .await;
    running.stop().await.unwrap();
    place.plant("data/file", ".claimcheck/owner/records/pvc-1");
    let before = place.outside_now();
    world.store.claim(claim("a", "1", "c"));
    let running = place.start(&world);
    until("bound", || world.store.bound_to("a").is_some()).await;
    running.stop().await.unwrap();
    assert_eq!(place.outside_now(), before);
    assert_eq!(world.store.volumes()[1].name_any(), "pvc-1");
}

/// The trash, as a whole and the one name in it: the volume waits, nothing is lost, and it goes on
/// by itself once that is mended.
#[rstest]
#[case(".claimcheck/owner/trash")]
#[case(".claimcheck/owner/trash/pvc-1")]
#[tokio::test]
async fn nothing_is_moved_into_a_trash_that_is_a_link(
    #[case] at: &str,
    #[values(Kind::Mount, Kind::Direct)] kind: Kind,
) {
    let place = Place::new(kind).await;
    let world = world();
    world
        .store
        .class(class("c", &json!({ "onDelete": "delete" })));
    world.store.claim(claim("a", "1", "c"));
    let running = place.start(&world);
    until("saved", || {
        state(&place, &world, "pvc-1").as_deref() == Some("saved")
    })
    .await;
    std::fs::write(place.at("ns-a-pvc-1/mine"), "bytes").unwrap();
    place.plant("trash", at);
    let before = place.outside_now();
    world.store.delete_claim("a");
    until("told", || {
        !events_with(&world, "VolumeFailedDelete").is_empty()
    })
    .await;
    assert_eq!(place.outside_now(), before);
    assert_eq!(
        std::fs::read_to_string(place.at("ns-a-pvc-1/mine")).unwrap(),
        "bytes"
    );
    std::fs::remove_file(place.at(at)).unwrap();
    if place.at("moved").exists() {
        std::fs::rename(place.at("moved"), place.at(at)).unwrap();
    }
    until("volume gone", || world.store.volumes().is_empty()).await;
    running.stop().await.unwrap();
    assert_eq!(place.outside_now(), before);
    assert!(!place.at("ns-a-pvc-1").exists());
}
