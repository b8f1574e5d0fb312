//! The clean-up against an API server of a few lines and a real export.

use std::sync::Arc;

use camino::Utf8Path;
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;
use testbed::nfs::{EmbeddedExport, ExportOptions, ExportTarget, ExportView};

use super::*;
use crate::limits::Limits;
use crate::mock::{Answer, Asked, Server};
use crate::subject::{ClassTemplate, Subject};
use crate::world::Ground;

/// An export over a temporary directory.
struct Export {
    directory: tempfile::TempDir,
    server: EmbeddedExport,
}

impl Export {
    async fn start(entries: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for entry in entries {
            fs_err::create_dir_all(directory.path().join(entry)).unwrap();
        }
        let options = ExportOptions {
            directory: Utf8Path::from_path(directory.path()).unwrap().to_owned(),
            export_path: "/export".to_owned(),
            bind: ([127, 0, 0, 1], 0).into(),
            root_squash: false,
        };
        let server = EmbeddedExport::start(options).await.unwrap();
        Self { directory, server }
    }

    fn entries(&self) -> Vec<String> {
        let found = fs_err::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<String> = found
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// A world of case B01 whose waits are short; `namespace` is somebody else's where it is given.
fn world(server: &Server, export: &Export, namespace: Option<&str>) -> World {
    let second = Duration::from_secs(1);
    let limits = ["control-plane", "volume-reclaimed"].map(|name| (name.to_owned(), second));
    let subject = Subject {
        name: "probe".to_owned(),
        version: None,
        provisioner: "example.org/probe".to_owned(),
        profiles: Vec::new(),
        features: Vec::new(),
        class: ClassTemplate::default(),
        home: None,
        layout: testbed::subject::Layout::Nfs,
        limits: Limits::with(limits).unwrap(),
    };
    let target = ExportTarget {
        host: "127.0.0.1".to_owned(),
        port: export.server.port(),
        mount_port: export.server.port(),
        path: "/export".to_owned(),
        directory: None,
    };
    let ground = Ground {
        client: server.client(),
        subject: Arc::new(subject),
        export: ExportView::new(target),
        state: Arc::new(serde_json::from_value(state()).unwrap()),
    };
    World::new(ground, "B01", namespace)
}

/// The state of a testbed that nobody runs: the clean-up asks nothing of it.
fn state() -> Value {
    json!({
        "name": "none", "directory": "", "logs": "", "caseLock": "",
        "owner": {"pid": 0, "startTime": 0},
        "cluster": {
            "kind": "local", "kubernetes": "v1.36.3", "modes": [], "kubeconfig": "", "dns": null,
            "zone": "cluster.local",
        },
        "export": {
            "server": "127.0.0.1", "path": "/export", "port": 0, "mountPort": 0, "directory": "",
        },
        "subject": {
            "file": "", "sha256": "", "name": "probe", "version": null,
            "provisioner": "example.org/probe", "pid": null,
        },
        "children": [],
        "timings": {"toolsMs": 0, "bootMs": 0, "deployMs": 0},
    })
}

/// The empty list, or watch, of whatever is asked for.
fn nothing(asked: &Asked) -> Answer {
    if asked.is_watch() {
        return Answer::watch(&[]);
    }
    list_of(asked, &[])
}

fn list_of(asked: &Asked, items: &[Value]) -> Answer {
    let kind = match asked.path.rsplit('/').next().unwrap() {
        "persistentvolumes" => "PersistentVolume",
        "persistentvolumeclaims" => "PersistentVolumeClaim",
        "pods" => "Pod",
        "services" => "Service",
        "statefulsets" => "StatefulSet",
        "storageclasses" => "StorageClass",
        "events" => "Event",
        other => panic!("nobody lists {other}"),
    };
    Answer::list(kind, items)
}

fn volume(name: &str, namespace: &str, claim: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {"claimRef": {"namespace": namespace, "name": claim, "uid": "1"}},
    })
}

fn patience() -> Patience {
    Patience::new(CancellationToken::new())
}

#[tokio::test]
async fn every_thing_is_tried_though_each_before_it_was_refused() {
    let server = Server::start(|asked| match asked.method.as_str() {
        "DELETE" | "PATCH" => Answer::refusal(500, "not now"),
        _ => nothing(asked),
    });
    let export = Export::start(&["kept"]).await;
    let world = world(&server, &export, None);
    world.track_object(Kind::Claim, "first");
    world.track_object(Kind::Pod, "second");
    world.tracker.track(Tracked::Object {
        kind: Kind::Class,
        namespace: String::new(),
        name: "third".to_owned(),
    });
    world.expect_directory_left("kept");

    let settled = world.settle(&patience()).await;
    assert!(settled.leaks.is_empty());
    assert_eq!(settled.troubles.len(), 2, "{:?}", settled.troubles);
    assert!(
        settled.troubles[0].starts_with("Pod second: "),
        "{:?}",
        settled.troubles
    );
    assert!(
        settled.troubles[0].contains("not now"),
        "{:?}",
        settled.troubles
    );
    let troubles = world.remove(&settled).await;
    assert_eq!(troubles.len(), 4, "{troubles:?}");
    assert!(
        export.entries().is_empty(),
        "the directory was removed all the same"
    );
    let namespace = format!("DELETE /api/v1/namespaces/{}", world.namespace());
    assert_eq!(server.asked().last(), Some(&namespace));
}

#[tokio::test]
async fn what_bears_the_name_of_the_case_and_is_not_named_is_a_leak_and_is_removed() {
    let export = Export::start(&["others"]).await;
    let leaking = std::sync::Mutex::new(None);
    let leaking = Arc::new(leaking);
    let left = Arc::clone(&leaking);
    let server = Server::start(move |asked| {
        let left: Option<Value> = left.lock().unwrap().clone();
        match (asked.method.as_str(), &left) {
            ("GET", Some(left))
                if asked.path.ends_with("/persistentvolumes") && !asked.is_watch() =>
            {
                list_of(asked, &[left.clone(), volume("pvc-other", "shop", "data")])
            }
            ("GET", Some(left)) if asked.path.ends_with("/persistentvolumes/pvc-left") => {
                Answer::ok(left)
            }
            ("GET", _) => nothing(asked),
            ("DELETE", _) => Answer::deleted(),
            _ => Answer::ok(&volume("pvc-left", "x", "data")),
        }
    });
    let world = world(&server, &export, None);
    let namespace = world.namespace().to_owned();
    *leaking.lock().unwrap() = Some(volume("pvc-left", &namespace, "data"));
    for entry in ["red/archived", "red/stray", "red/deep/kept"] {
        fs_err::create_dir_all(export.directory.path().join(&namespace).join(entry)).unwrap();
    }
    world.expect_directory_left(&format!("{namespace}/red/archived"));
    world.expect_directory_left(&format!("{namespace}/red/deep/kept"));

    let settled = world.settle(&patience()).await;
    assert!(settled.troubles.is_empty(), "{:?}", settled.troubles);
    let stray = format!("{namespace}/red/stray");
    let leaks = [
        Leak::new("volume", "pvc-left", "B01"),
        Leak::new("directory", &stray, "B01"),
    ];
    assert_eq!(settled.leaks, leaks);
    assert!(settled.evidence[0].contains("pvc-left"));
    assert!(
        export.directory.path().join(&stray).is_dir(),
        "it can still be looked at"
    );

    assert_eq!(world.remove(&settled).await, Vec::<String>::new());
    assert_eq!(export.entries(), ["others"]);
    let asked = server.asked();
    assert!(asked.contains(&"DELETE /api/v1/persistentvolumes/pvc-left".to_owned()));
    assert!(
        !asked.iter().any(|asked| asked.contains("pvc-other")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn nothing_that_was_in_a_namespace_of_others_is_touched() {
    let theirs = json!({"metadata": {"name": "data", "namespace": "default"}});
    let server = Server::start(move |asked| {
        let plain = asked.method == "GET" && !asked.is_watch();
        match asked.path.rsplit('/').next().unwrap() {
            "persistentvolumeclaims" | "statefulsets" | "pods" | "storageclasses" if plain => {
                list_of(asked, std::slice::from_ref(&theirs))
            }
            "persistentvolumes" if plain => {
                list_of(asked, &[volume("pvc-theirs", "default", "data")])
            }
            _ => nothing(asked),
        }
    });
    let export = Export::start(&["default-data-pvc-theirs", "default-more-pvc-2"]).await;
    let world = world(&server, &export, Some("default"));
    world.prepare().await.unwrap();
    // As a case does before it finds out that the name is taken.
    for kind in [Kind::Claim, Kind::StatefulSet, Kind::Pod, Kind::Class] {
        world.track_object(kind, "data");
    }
    world.expect_directory_left("default-data-pvc-theirs");
    // Somebody else is at work too.
    fs_err::create_dir(export.directory.path().join("default-new-pvc-3")).unwrap();

    let settled = world.settle(&patience()).await;
    assert!(settled.leaks.is_empty(), "{settled:?}");
    assert!(settled.troubles.is_empty(), "{settled:?}");
    assert!(world.remove(&settled).await.is_empty());
    let changed: Vec<_> = server
        .asked()
        .into_iter()
        .filter(|asked| !asked.starts_with("GET"))
        .collect();
    assert!(changed.is_empty(), "{changed:?}");
    assert_eq!(export.entries().len(), 3);
}

#[tokio::test]
async fn without_a_look_at_what_was_there_nothing_in_a_namespace_of_others_is_touched() {
    let server = Server::start(nothing);
    let export = Export::start(&["default-data-pvc-1"]).await;
    let world = world(&server, &export, Some("default"));
    world.track_object(Kind::Claim, "data");
    let settled = world.settle(&patience()).await;
    world.remove(&settled).await;
    assert!(server.asked().iter().all(|asked| asked.starts_with("GET")));
    assert_eq!(export.entries(), ["default-data-pvc-1"]);
}

#[tokio::test]
async fn pods_of_a_set_of_the_case_are_its_own_in_a_namespace_of_others() {
    let server = Server::start(nothing);
    let export = Export::start(&[]).await;
    let world = world(&server, &export, Some("default"));
    world.prepare().await.unwrap();
    world.track_object(Kind::StatefulSet, "web");
    let pod = |set: &str| -> Pod {
        serde_json::from_value(json!({"metadata": {
            "name": format!("{set}-0"),
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": set, "uid": "1"},
            ],
        }}))
        .unwrap()
    };
    assert!(world.owns_pod(&pod("web")));
    assert!(!world.owns_pod(&pod("shop")));
}

#[tokio::test]
async fn a_pod_whose_end_is_held_is_let_go_and_another_is_only_deleted() {
    let server = Server::start(|asked| {
        let pod = |name: &str, finalizers: &[&str]| {
            let metadata = json!({"name": name, "finalizers": finalizers});
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata})
        };
        match asked.method.as_str() {
            "GET" if asked.path.ends_with("/pods") && !asked.is_watch() => {
                let held = pod("web-0", &[crate::world::holds::HELD_END]);
                list_of(asked, &[held, pod("web-1", &["example.org/other"])])
            }
            "GET" => nothing(asked),
            "PATCH" => Answer::ok(&pod("web-0", &[])),
            _ => Answer::deleted(),
        }
    });
    let export = Export::start(&[]).await;
    let world = world(&server, &export, None);
    let settled = world.settle(&patience()).await;
    assert!(settled.troubles.is_empty(), "{settled:?}");
    let changed: Vec<_> = server
        .asked()
        .into_iter()
        .filter(|asked| !asked.starts_with("GET"))
        .collect();
    let pods = format!("/api/v1/namespaces/{}/pods", world.namespace());
    let due = [
        format!("PATCH {pods}/web-0"),
        format!("DELETE {pods}/web-0"),
        format!("DELETE {pods}/web-1"),
    ];
    assert_eq!(changed, due);
}

#[tokio::test]
async fn an_interrupted_clean_up_does_not_wait_for_long_and_removes_what_it_can() {
    let theirs = json!({"metadata": {"name": "data"}});
    let server = Server::start(move |asked| {
        let claims = asked.path.ends_with("/persistentvolumeclaims");
        match asked.method.as_str() {
            "GET" if claims && !asked.is_watch() => list_of(asked, std::slice::from_ref(&theirs)),
            "GET" => nothing(asked),
            _ => Answer::deleted(),
        }
    });
    let export = Export::start(&[]).await;
    let mut world = world(&server, &export, None);
    // The claim never goes; no limit but the interruption ends the wait.
    let long = [("control-plane".to_owned(), Duration::from_hours(1))];
    Arc::get_mut(&mut world.ground.subject).unwrap().limits = Limits::with(long).unwrap();
    fs_err::create_dir(
        export
            .directory
            .path()
            .join(format!("{}-data", world.namespace())),
    )
    .unwrap();
    let interrupted = CancellationToken::new();
    interrupted.cancel();
    let grace = Duration::from_millis(200);
    let patience = Patience {
        grace,
        ..Patience::new(interrupted)
    };

    let settled = world.settle(&patience).await;
    assert!(settled.leaks.is_empty());
    assert_eq!(settled.troubles, ["interrupted"]);
    assert!(world.remove(&settled).await.is_empty());
    assert!(export.entries().is_empty());
}
