//! What the facts about Docker mean.

use super::{ANY_KIND, GIB, as_root, check, install, space};
use crate::doctor::facts::{Daemon, DaemonFailure, Docker, Facts};
use crate::doctor::needs::Check;
use crate::images::NeededImage;

/// The oldest interface that the suite was run against is 1.41; what it uses is in 1.40 (Docker
/// 19.03) as well.
const API: (u32, u32) = (1, 40);
/// Sockets that are the same file in every distribution, which the libraries take too.
const SOCKETS: [&str; 2] = ["unix:///var/run/docker.sock", "unix:///run/docker.sock"];
/// Storage drivers that share layers between containers.
const STORAGE: [&str; 5] = ["overlay2", "overlayfs", "fuse-overlayfs", "btrfs", "zfs"];
/// Nodes and what runs in them.
const SPACE: u64 = 4 * GIB;
/// And the images, which are built or pulled.
const SPACE_WITH_IMAGES: u64 = 10 * GIB;

/// The checks, of which those about the daemon need one.
pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    let docker = &facts.docker;
    let mut checks = vec![client(facts), daemon(facts)];
    if let Ok(daemon) = &docker.daemon {
        checks.extend([
            address(docker),
            rights(daemon),
            capabilities(facts, daemon),
            storage(daemon),
            cgroups(daemon),
            disk(facts, daemon),
        ]);
    }
    checks
}

/// What makes Docker work.
fn setup(facts: &Facts) -> String {
    if facts.apt {
        as_root(facts, "./scripts/setup-docker")
    } else {
        "install Docker: https://docs.docker.com/engine/install/".to_owned()
    }
}

fn client(facts: &Facts) -> Check {
    let of = |found: &str| {
        check(
            "docker-client",
            "Docker client",
            found,
            "on PATH",
            &ANY_KIND,
        )
    };
    match &facts.docker.client {
        Some(version) => of(version),
        // The package of Debian brings both, that of Docker's own has the client apart.
        None if facts.docker.daemon.is_ok() => of("none").missing(install(facts, "docker-cli")),
        None => of("none").missing(setup(facts)),
    }
}

fn daemon(facts: &Facts) -> Check {
    let (major, minor) = API;
    let needed = format!("running, API {major}.{minor} or newer");
    let of = |found: String| {
        let needed = needed.clone();
        check("docker-daemon", "Docker daemon", found, needed, &ANY_KIND)
    };
    match &facts.docker.daemon {
        Ok(Daemon { version, api, .. }) => {
            let check = of(format!("{version}, API {api}"));
            match numbers(api) {
                Some(found) if found >= API => check,
                Some(_) => check.missing("upgrade Docker: https://docs.docker.com/engine/install/"),
                None => check.warning("docker version"),
            }
        }
        Err(DaemonFailure::NotAsked) => of("not asked".to_owned()).missing(setup(facts)),
        Err(DaemonFailure::Refused) => of("its socket is closed to this user".to_owned())
            .missing("sudo usermod --append --groups docker \"$USER\", then log in anew"),
        Err(DaemonFailure::Silent(said)) => of(said.clone()).missing(setup(facts)),
    }
}

fn numbers(api: &str) -> Option<(u32, u32)> {
    let (major, minor) = api.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The daemon must be this machine's, and found by who does not know the client's contexts.
fn address(docker: &Docker) -> Check {
    let host = docker.host.as_deref().unwrap_or("unknown");
    let check = check(
        "docker-address",
        "address of the daemon",
        host,
        "a socket of this machine",
        &ANY_KIND,
    );
    if SOCKETS.contains(&host) {
        check
    } else if host.starts_with("unix://") {
        if docker.host_is_given {
            check
        } else {
            check.missing(format!("export DOCKER_HOST={host}"))
        }
    } else if docker.host.is_none() {
        check.warning("docker context inspect")
    } else {
        // Directories of this machine are mounted, and addresses of containers are called.
        check.missing("unset DOCKER_HOST, or docker context use default")
    }
}

fn rights(daemon: &Daemon) -> Check {
    let of = |found| {
        check(
            "docker-root",
            "rights of the daemon",
            found,
            "root's",
            &ANY_KIND,
        )
    };
    if daemon.rootless {
        // The NFS server opens files by handle, which the kernel leaves to the real root.
        of("rootless").missing("docker context use default, with a daemon that runs as root")
    } else {
        of("root's")
    }
}

fn capabilities(facts: &Facts, daemon: &Daemon) -> Check {
    let of = |found: String| {
        check(
            "docker-capabilities",
            "capabilities of the daemon",
            found,
            "all, or a runtime that does without",
            &ANY_KIND,
        )
    };
    let missing = daemon.missing_capabilities.join(", ");
    if missing.is_empty() {
        of("all".to_owned())
    } else if daemon.runtime == "runc" {
        of(format!("without {missing}, privileged containers fail")).missing(setup(facts))
    } else {
        of(format!("without {missing}; runtime {}", daemon.runtime))
    }
}

fn storage(daemon: &Daemon) -> Check {
    let check = check(
        "docker-storage",
        "storage driver",
        &daemon.storage,
        "overlay2, or another that shares layers",
        &ANY_KIND,
    );
    if STORAGE.contains(&daemon.storage.as_str()) {
        check
    } else {
        check.warning("put Docker's data root on ext4 or xfs: https://docs.docker.com/engine/storage/drivers/")
    }
}

fn cgroups(daemon: &Daemon) -> Check {
    let of = |found: String| {
        check(
            "cgroups",
            "control groups",
            found,
            "version 2; 1 with an image built here",
            &ANY_KIND,
        )
    };
    match daemon.cgroup.as_str() {
        "2" => of("version 2".to_owned()),
        // Kubernetes has it refused unless told otherwise, and newer node images do not start.
        "1" => of("version 1".to_owned()).warning(
            "boot with systemd.unified_cgroup_hierarchy=1 where official node images fail",
        ),
        other => of(format!("version {other:?}")).warning("docker info"),
    }
}

fn disk(facts: &Facts, daemon: &Daemon) -> Check {
    let built = facts.docker.images.contains(&NeededImage::Node);
    let comfort = if built { SPACE } else { SPACE_WITH_IMAGES };
    space(
        "docker-space",
        "space of Docker",
        &daemon.root,
        (comfort / 2, comfort),
        "docker system prune, which asks before it removes what is not used".to_owned(),
        &ANY_KIND,
    )
}
