//! What `doctor` says of machines that are described here, and that it says something of this one.

use claimcheck::Paint;
use claimcheck::cli::doctor::render;
use insta::assert_snapshot;
use serde_json::Value;
use testbed::doctor::{
    Access, Daemon, DaemonFailure, Disk, Docker, Facts, Inotify, NeededImage, Reach, ToolCount,
    judge,
};
use testbed::kind::ClusterKind;

use crate::support::Place;

const GIB: u64 = 1 << 30;

/// A server without registry and kernel NFS, with a capability short, where everything was built.
fn sandbox() -> Facts {
    let all = |all| ToolCount { present: all, all };
    Facts {
        root: true,
        apt: true,
        memory: Some(20 * GIB),
        cache: Disk {
            path: "/data/.cache/claimcheck".into(),
            free: Some(44 * GIB),
        },
        ports: Ok(()),
        local_tools: all(6),
        kind_tools: all(1),
        node_tools: all(12),
        go: Some("go1.26.0".to_owned()),
        debootstrap: true,
        fuse: Access::Usable,
        kernel_nfs: false,
        inotify: Inotify {
            instances: Some(128),
            watches: Some(192_536),
        },
        docker: Docker {
            client: Some("28.2.2".to_owned()),
            host: Some("unix:///var/run/docker.sock".to_owned()),
            host_is_given: false,
            daemon: Ok(Daemon {
                version: "20.10.24".to_owned(),
                api: "1.41".to_owned(),
                storage: "overlay2".to_owned(),
                cgroup: "1".to_owned(),
                rootless: false,
                runtime: "claimcheck-runc".to_owned(),
                root: Disk {
                    path: "/var/lib/docker".into(),
                    free: Some(44 * GIB),
                },
                missing_capabilities: vec!["CAP_SYS_RESOURCE".to_owned()],
            }),
            images: NeededImage::ALL.to_vec(),
        },
        online: Some(Reach {
            downloads: false,
            images: false,
        }),
    }
}

/// A laptop on which nothing was ever started, and whose user is not in Docker's group.
fn laptop() -> Facts {
    let none = |all| ToolCount { present: 0, all };
    Facts {
        root: false,
        memory: Some(6 * GIB),
        cache: Disk {
            path: "/home/me/.cache/claimcheck".into(),
            free: Some(3 * GIB),
        },
        local_tools: none(6),
        kind_tools: none(1),
        node_tools: none(12),
        go: None,
        debootstrap: false,
        fuse: Access::Usable,
        kernel_nfs: true,
        docker: Docker {
            daemon: Err(DaemonFailure::Refused),
            images: Vec::new(),
            ..sandbox().docker
        },
        online: Some(Reach {
            downloads: true,
            images: true,
        }),
        ..sandbox()
    }
}

#[test]
fn a_sandbox_runs_everything_with_warnings() {
    assert_snapshot!(render(&judge(&sandbox()), Paint::PLAIN));
}

#[test]
fn a_laptop_is_told_what_to_do_first() {
    assert_snapshot!(render(&judge(&laptop()), Paint::PLAIN));
}

#[test]
fn only_what_the_asked_for_cluster_needs_is_told() {
    let diagnosis = judge(&laptop()).about(ClusterKind::Local);
    assert_snapshot!(render(&diagnosis, Paint::PLAIN));
}

#[test]
fn the_form_for_programs_has_the_same() {
    let value = serde_json::to_value(judge(&laptop()).about(ClusterKind::Local)).unwrap();
    assert_snapshot!(serde_json::to_string_pretty(&value).unwrap());
}

#[test]
fn help_lists_the_flags() {
    assert_snapshot!(Place::new().call("doctor --help").shown());
}

#[test]
fn an_unknown_kind_of_cluster_is_refused() {
    let call = Place::new().call("doctor --cluster kid");
    assert_eq!(call.code(), 2, "{}", call.shown());
    assert!(
        call.stderr().contains("`local`, `kind`"),
        "{}",
        call.shown()
    );
}

/// Nothing is known of the machine that runs this, so only what must agree is compared.
#[test]
fn this_machine_is_looked_at_and_nothing_is_changed() {
    let place = Place::new();
    for (arguments, way) in [
        ("doctor --json", "local"),
        ("doctor --json --cluster local", "local"),
    ] {
        let call = place.call(arguments);
        let said: Value = serde_json::from_str(&call.stdout()).unwrap();
        let state = said["ways"]
            .as_array()
            .unwrap()
            .iter()
            .find(|state| state["way"] == way)
            .unwrap();
        let runs = state["runs"] == true;
        assert_eq!(call.code(), if runs { 0 } else { 105 }, "{}", call.shown());
    }
    let call = place.call("doctor --json --cluster kind");
    let said: Value = serde_json::from_str(&call.stdout()).unwrap();
    let runs =
        said["ways"].as_array().unwrap().iter().any(|state| {
            state["runs"] == true && state["way"].as_str().unwrap().starts_with("kind")
        });
    assert_eq!(call.code(), if runs { 0 } else { 105 }, "{}", call.shown());
    assert!(place.nothing_was_started());
}

#[test]
fn a_machine_without_docker_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    // A PATH with nothing on it.
    let path = directory.path().to_str().unwrap().to_owned();
    let call = Place::new().call_with("doctor --json --cluster kind", &[("PATH", &path)]);
    assert_eq!(call.code(), 105, "{}", call.shown());
    let said: Value = serde_json::from_str(&call.stdout()).unwrap();
    let client = said["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["id"] == "docker-client")
        .unwrap();
    assert_eq!(client["verdict"], "missing");
}
