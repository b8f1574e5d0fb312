//! Machines as people have them, and what they can run.

use rstest::rstest;

use super::*;
use crate::doctor::facts::{Daemon, DaemonFailure, Docker, Inotify, Reach};
use crate::kind::ClusterKind;

/// A well-kept machine: everything at hand.
fn good() -> Facts {
    let all = |all| ToolCount { present: all, all };
    Facts {
        root: true,
        apt: true,
        memory: Some(16 * GIB),
        cache: Disk {
            path: "/home/me/.cache/claimcheck".into(),
            free: Some(50 * GIB),
        },
        ports: Ok(()),
        local_tools: all(6),
        kind_tools: all(1),
        node_tools: all(12),
        go: Some("go1.26.0".to_owned()),
        debootstrap: true,
        fuse: Access::Usable,
        kernel_nfs: true,
        inotify: Inotify {
            instances: Some(8192),
            watches: Some(524_288),
        },
        docker: Docker {
            client: Some("28.2.2".to_owned()),
            host: Some("unix:///var/run/docker.sock".to_owned()),
            host_is_given: false,
            daemon: Ok(Daemon {
                version: "28.2.2".to_owned(),
                api: "1.50".to_owned(),
                storage: "overlay2".to_owned(),
                cgroup: "2".to_owned(),
                rootless: false,
                runtime: "runc".to_owned(),
                root: Disk {
                    path: "/var/lib/docker".into(),
                    free: Some(50 * GIB),
                },
                missing_capabilities: Vec::new(),
            }),
            images: NeededImage::ALL.to_vec(),
        },
        online: None,
    }
}

fn with_daemon(change: impl Fn(&mut Daemon)) -> Facts {
    let mut facts = good();
    if let Ok(daemon) = &mut facts.docker.daemon {
        change(daemon);
    }
    facts
}

fn without_daemon(failure: DaemonFailure) -> Facts {
    let mut facts = good();
    facts.docker.daemon = Err(failure);
    facts.docker.images.clear();
    facts
}

fn with(change: impl Fn(&mut Facts)) -> Facts {
    let mut facts = good();
    change(&mut facts);
    facts
}

/// The checks that are not ok: `id verdict`.
fn complaints(facts: &Facts) -> Vec<String> {
    judge(facts)
        .checks
        .iter()
        .filter(|check| check.verdict != Verdict::Ok)
        .map(|check| format!("{} {}", check.id, check.verdict.name()))
        .collect()
}

fn mend(facts: &Facts, id: &str) -> String {
    let diagnosis = judge(facts);
    let check = diagnosis.checks.into_iter().find(|check| check.id == id);
    check.expect(id).mend.expect("a remedy")
}

/// What runs, of all ways: `local kind kind-built user-space-mounts`.
fn runs(facts: &Facts) -> [bool; 4] {
    let ways = judge(facts).ways;
    Way::ALL.map(|way| ways.iter().any(|state| state.way == way && state.runs))
}

#[test]
fn a_well_kept_machine_has_no_complaint() {
    assert_eq!(complaints(&good()), [""; 0]);
    assert_eq!(runs(&good()), [true; 4]);
}

#[test]
fn ids_are_unique_and_every_complaint_that_blocks_has_a_remedy() {
    let worst = with(|facts| {
        facts.root = false;
        facts.memory = Some(0);
        facts.cache.free = Some(0);
        facts.local_tools.present = 0;
        facts.kind_tools.present = 0;
        facts.node_tools.present = 0;
        facts.go = None;
        facts.debootstrap = false;
        facts.fuse = Access::Absent;
        facts.kernel_nfs = false;
        facts.docker.host = Some("tcp://10.0.0.1:2376".to_owned());
        facts.docker.images.clear();
        facts.ports = Err("cannot assign the address".to_owned());
        facts.online = Some(Reach {
            downloads: false,
            images: false,
        });
    });
    for facts in [good(), worst] {
        let diagnosis = judge(&facts);
        let mut ids: Vec<_> = diagnosis.checks.iter().map(|check| check.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), diagnosis.checks.len());
        for check in &diagnosis.checks {
            assert!(!check.ways.is_empty(), "{} is for nothing", check.id);
            if check.verdict == Verdict::Missing {
                assert!(check.mend.is_some(), "{}", check.id);
            }
        }
    }
}

#[rstest]
#[case::no_docker(
    with(|facts| { facts.docker.client = None; facts.docker.daemon = Err(DaemonFailure::NotAsked); }),
    &["docker-client missing", "docker-daemon missing"],
    "docker-daemon", "./scripts/setup-docker"
)]
#[case::a_daemon_that_is_down(
    without_daemon(DaemonFailure::Silent("Cannot connect".to_owned())),
    &["docker-daemon missing"],
    "docker-daemon", "./scripts/setup-docker"
)]
#[case::not_in_the_group(
    without_daemon(DaemonFailure::Refused),
    &["docker-daemon missing"],
    "docker-daemon", "sudo usermod --append --groups docker \"$USER\", then log in anew"
)]
#[case::too_old(
    with_daemon(|daemon| daemon.api = "1.39".to_owned()),
    &["docker-daemon missing"],
    "docker-daemon", "upgrade Docker: https://docs.docker.com/engine/install/"
)]
#[case::rootless(
    with_daemon(|daemon| daemon.rootless = true),
    &["docker-root missing"],
    "docker-root", "docker context use default, with a daemon that runs as root"
)]
#[case::a_capability_short(
    with_daemon(|daemon| daemon.missing_capabilities = vec!["CAP_SYS_RESOURCE".to_owned()]),
    &["docker-capabilities missing"],
    "docker-capabilities", "./scripts/setup-docker"
)]
#[case::another_socket_by_context(
    with(|facts| facts.docker.host = Some("unix:///home/me/.docker/desktop/docker.sock".to_owned())),
    &["docker-address missing"],
    "docker-address", "export DOCKER_HOST=unix:///home/me/.docker/desktop/docker.sock"
)]
#[case::another_machine(
    with(|facts| { facts.docker.host = Some("ssh://host".to_owned()); facts.docker.host_is_given = true; }),
    &["docker-address missing"],
    "docker-address", "unset DOCKER_HOST, or docker context use default"
)]
fn what_docker_lacks_keeps_kind_from_running_and_nothing_else(
    #[case] facts: Facts,
    #[case] missing: &[&str],
    #[case] id: &str,
    #[case] remedy: &str,
) {
    let found: Vec<String> = complaints(&facts)
        .into_iter()
        .filter(|complaint| complaint.ends_with(" missing"))
        .collect();
    assert_eq!(found, missing);
    assert_eq!(runs(&facts), [true, false, false, true]);
    let diagnosis = judge(&facts);
    assert!(!diagnosis.runs(ClusterKind::Kind));
    assert!(diagnosis.runs(ClusterKind::Local));
    assert_eq!(mend(&facts, id), remedy);
}

#[rstest]
#[case::the_wrapper_of_setup_docker(with_daemon(|daemon| {
    daemon.missing_capabilities = vec!["CAP_SYS_RESOURCE".to_owned()];
    daemon.runtime = "claimcheck-runc".to_owned();
}), &[])]
#[case::a_given_socket(with(|facts| {
    facts.docker.host = Some("unix:///elsewhere.sock".to_owned());
    facts.docker.host_is_given = true;
}), &[])]
#[case::old_control_groups(with_daemon(|daemon| daemon.cgroup = "1".to_owned()), &["cgroups warning"])]
#[case::a_slow_storage_driver(with_daemon(|daemon| daemon.storage = "vfs".to_owned()), &["docker-storage warning"])]
#[case::few_inotify_instances(with(|facts| facts.inotify.instances = Some(128)), &["inotify-instances warning"])]
#[case::unknown_inotify_watches(with(|facts| facts.inotify.watches = None), &["inotify-watches warning"])]
#[case::no_nfs_in_the_kernel(with(|facts| facts.kernel_nfs = false), &["nfs-client warning"])]
#[case::memory_that_will_be_short(with(|facts| facts.memory = Some(3 * GIB)), &["memory-kind warning"])]
#[case::space_that_will_be_short(with_daemon(|daemon| daemon.root.free = Some(3 * GIB)), &["docker-space warning"])]
#[case::no_go_and_nothing_to_build(with(|facts| facts.go = None), &[])]
#[case::images_of_which_nobody_knows(with(|facts| facts.docker.images.clear()), &["images-pulled warning"])]
fn what_may_do_does_not_keep_anything_from_running(
    #[case] facts: Facts,
    #[case] expected: &[&str],
) {
    assert_eq!(complaints(&facts), expected);
    assert_eq!(runs(&facts), [true; 4]);
}

#[rstest]
#[case::no_space(with(|facts| facts.cache.free = Some(0)), [false, false, false, true])]
#[case::no_memory(with(|facts| facts.memory = Some(GIB / 4)), [false, false, false, true])]
#[case::memory_for_local_only(with(|facts| facts.memory = Some(GIB)), [true, false, false, true])]
#[case::no_space_in_docker(with_daemon(|daemon| daemon.root.free = Some(GIB)), [true, false, false, true])]
#[case::no_debootstrap(with(|facts| facts.debootstrap = false), [true, true, false, true])]
#[case::no_ports(with(|facts| facts.ports = Err("cannot assign the address".to_owned())), [false, false, false, true])]
#[case::offline_with_an_outdated_node_image(
    with(|facts| {
        facts.docker.images.retain(|image| *image != NeededImage::Node);
        facts.online = Some(Reach { downloads: false, images: false });
    }),
    [true, false, true, true]
)]
#[case::not_root(with(|facts| facts.root = false), [true, true, false, true])]
#[case::no_fuse(with(|facts| facts.fuse = Access::Absent), [true, true, true, false])]
#[case::fuse_closed(
    with(|facts| facts.fuse = Access::Refused("permission denied".to_owned())),
    [true, true, true, false]
)]
#[case::fuse_closed_to_this_user_and_open_to_nodes(
    with(|facts| {
        facts.root = false;
        facts.kernel_nfs = false;
        facts.fuse = Access::Refused("permission denied".to_owned());
    }),
    [true, true, false, true]
)]
#[case::no_mounts_at_all(
    with(|facts| { facts.kernel_nfs = false; facts.fuse = Access::Absent; }),
    [true, false, false, false]
)]
#[case::offline_without_images(
    with(|facts| {
        facts.docker.images.clear();
        facts.online = Some(Reach { downloads: false, images: false });
    }),
    [true, false, true, true]
)]
#[case::offline_without_tools_and_go(
    with(|facts| {
        facts.go = None;
        facts.local_tools.present = 0;
        facts.kind_tools.present = 0;
        facts.node_tools.present = 0;
        facts.online = Some(Reach { downloads: false, images: false });
    }),
    [false, false, false, true]
)]
#[case::online_without_anything(
    with(|facts| {
        facts.go = None;
        facts.local_tools.present = 0;
        facts.kind_tools.present = 0;
        facts.node_tools.present = 0;
        facts.docker.images.clear();
        facts.root = false;
        facts.debootstrap = false;
        facts.online = Some(Reach { downloads: true, images: true });
    }),
    [true, true, false, true]
)]
fn each_way_depends_on_what_it_needs(#[case] facts: Facts, #[case] expected: [bool; 4]) {
    assert_eq!(runs(&facts), expected);
}

#[rstest]
#[case(true, true, "apt-get install debootstrap")]
#[case(false, true, "sudo apt-get install debootstrap")]
#[case(false, false, "install debootstrap with this system's package manager")]
fn remedies_fit_the_user_and_the_system(
    #[case] root: bool,
    #[case] apt: bool,
    #[case] expected: &str,
) {
    let facts = with(|facts| {
        facts.root = root;
        facts.apt = apt;
        facts.debootstrap = false;
    });
    assert_eq!(mend(&facts, "debootstrap"), expected);
}

#[test]
fn a_diagnosis_about_one_cluster_leaves_out_the_other() {
    let local = judge(&good()).about(ClusterKind::Local);
    let ids: Vec<_> = local.checks.iter().map(|check| check.id).collect();
    assert_eq!(
        ids,
        ["tools-local", "go", "memory-local", "cache-space", "ports"]
    );
    assert_eq!(local.ways.len(), 1);
    let kind = judge(&good()).about(ClusterKind::Kind);
    assert!(kind.checks.iter().all(|check| check.id != "memory-local"));
    assert_eq!(kind.ways.len(), 3);
}

#[rstest]
#[case(&NeededImage::ALL, "4 of 4 at hand")]
#[case(&NeededImage::ALL[..3], "3 of 4 at hand, not nginx image")]
#[case(&[NeededImage::NfsServer, NeededImage::Busybox], "2 of 4 at hand, not node image, nginx image")]
#[case(&[], "0 of 4 at hand")]
fn images_that_are_missing_are_named_unless_all_are(
    #[case] present: &[NeededImage],
    #[case] expected: &str,
) {
    let facts = with(|facts| facts.docker.images = present.to_vec());
    let diagnosis = judge(&facts);
    let check = diagnosis
        .checks
        .iter()
        .find(|check| check.id == "images-pulled");
    assert_eq!(check.unwrap().found, expected);
}

#[rstest]
#[case(0, "0.0 GiB")]
#[case(GIB + GIB / 2, "1.5 GiB")]
#[case(u64::MAX, "1717986918.3 GiB")]
fn sizes_have_one_decimal(#[case] bytes: u64, #[case] expected: &str) {
    assert_eq!(gib(bytes), expected);
}
