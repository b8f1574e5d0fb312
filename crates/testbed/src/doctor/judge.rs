//! What the facts mean. The figures were measured, or are those that kind's users run into.

use super::facts::{Access, Disk, Facts, PORTS, ToolCount};
use super::needs::{Check, Diagnosis, Verdict, Way};
use crate::images::NeededImage;

mod docker;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// Both ways to a `kind` cluster.
const ANY_KIND: [Way; 2] = [Way::Kind, Way::KindBuilt];

/// Memory of a `local` cluster with the suite: it takes 700 MiB.
const LOCAL_MEMORY: u64 = GIB;
/// Memory of a `kind` cluster of three nodes: it takes 2.6 GiB.
const KIND_MEMORY: u64 = 4 * GIB;
/// Tools take 0.5 GiB.
const CACHE: u64 = GIB;
/// Building them takes Go's cache and the parts of images beside them.
const CACHE_WHEN_BUILDING: u64 = 6 * GIB;
/// What kind's documentation asks for ("Pod errors due to too many open files").
const INOTIFY_INSTANCES: u64 = 512;
const INOTIFY_WATCHES: u64 = 524_288;

/// Judges the facts.
pub fn judge(facts: &Facts) -> Diagnosis {
    let mut checks = vec![
        local_tools(facts),
        go(facts),
        memory(
            "memory-local",
            "available memory",
            facts,
            LOCAL_MEMORY,
            &[Way::Local],
        ),
        cache(facts),
        ports(facts),
    ];
    checks.extend(docker::checks(facts));
    checks.extend([
        kind_tool(facts),
        memory(
            "memory-kind",
            "memory for nodes",
            facts,
            KIND_MEMORY,
            &ANY_KIND,
        ),
        inotify(
            facts,
            "inotify-instances",
            "inotify instances",
            "fs.inotify.max_user_instances",
            facts.inotify.instances,
            INOTIFY_INSTANCES,
        ),
        inotify(
            facts,
            "inotify-watches",
            "inotify watches",
            "fs.inotify.max_user_watches",
            facts.inotify.watches,
            INOTIFY_WATCHES,
        ),
        needed_images(facts),
        node_tools(facts),
        debootstrap(facts),
        mounts(facts),
        fuse(facts),
    ]);
    Diagnosis::of(checks)
}

fn check(
    id: &'static str,
    what: &'static str,
    found: impl Into<String>,
    needed: impl Into<String>,
    ways: &[Way],
) -> Check {
    Check {
        id,
        what,
        found: found.into(),
        needed: needed.into(),
        verdict: Verdict::Ok,
        mend: None,
        ways: ways.to_vec(),
    }
}

impl Check {
    fn warning(self, mend: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Warning,
            mend: Some(mend.into()),
            ..self
        }
    }

    fn missing(self, mend: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Missing,
            mend: Some(mend.into()),
            ..self
        }
    }
}

/// A command as this user has to call it.
fn as_root(facts: &Facts, command: &str) -> String {
    if facts.root {
        command.to_owned()
    } else {
        format!("sudo {command}")
    }
}

/// The command that installs a Debian package, or what to do elsewhere.
fn install(facts: &Facts, package: &str) -> String {
    if facts.apt {
        as_root(facts, &format!("apt-get install {package}"))
    } else {
        format!("install {package} with this system's package manager")
    }
}

fn gib(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) / GIB;
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

/// Binaries are at hand, are downloaded, or are built.
fn tools(
    id: &'static str,
    what: &'static str,
    facts: &Facts,
    count: ToolCount,
    ways: &[Way],
) -> Check {
    let ToolCount { present, all } = count;
    let check = check(
        id,
        what,
        format!("{present} of {all} at hand"),
        "at hand, a download, or Go to build them",
        ways,
    );
    let downloads = facts.online.map(|reach| reach.downloads);
    match (facts.go.is_some(), downloads) {
        _ if present >= all => check,
        (true, _) | (false, Some(true)) => check,
        (false, Some(false)) => check.missing(go_command(facts)),
        (false, None) => check.warning("claimcheck doctor --online, or claimcheck tools --fetch"),
    }
}

fn local_tools(facts: &Facts) -> Check {
    let count = facts.local_tools;
    tools(
        "tools-local",
        "binaries of a control plane",
        facts,
        count,
        &[Way::Local],
    )
}

fn kind_tool(facts: &Facts) -> Check {
    let count = facts.kind_tools;
    tools("tools-kind", "the command `kind`", facts, count, &ANY_KIND)
}

fn node_tools(facts: &Facts) -> Check {
    let count = facts.node_tools;
    tools(
        "tools-node",
        "binaries of a node",
        facts,
        count,
        &[Way::KindBuilt],
    )
}

fn go_command(facts: &Facts) -> String {
    if facts.apt {
        format!(
            "install Go from https://go.dev/dl, or {}",
            as_root(facts, "apt-get install golang-go")
        )
    } else {
        "install Go from https://go.dev/dl".to_owned()
    }
}

fn go(facts: &Facts) -> Check {
    let ways = [Way::Local, Way::Kind, Way::KindBuilt];
    let needed = "where nothing can be downloaded";
    let count = |tools: ToolCount| tools.present >= tools.all;
    match &facts.go {
        Some(version) => check("go", "Go", version, needed, &ways),
        None if count(facts.local_tools) && count(facts.kind_tools) && count(facts.node_tools) => {
            check("go", "Go", "none; all binaries are at hand", needed, &ways)
        }
        None => check("go", "Go", "none", needed, &ways).warning(go_command(facts)),
    }
}

fn memory(id: &'static str, what: &'static str, facts: &Facts, needed: u64, ways: &[Way]) -> Check {
    let Some(available) = facts.memory else {
        return check(id, what, "unknown", gib(needed), ways)
            .warning("see `free --human`: close what is not needed if it is less");
    };
    let check = check(id, what, gib(available), gib(needed), ways);
    // What swaps runs, though its time limits may not hold.
    if available >= needed {
        check
    } else if available >= needed / 2 {
        check.warning("close what is not needed, or take a larger machine")
    } else {
        check.missing("close what is not needed, or take a larger machine")
    }
}

/// Space in a directory: `comfort` is enough in any case, `least` is what nothing goes without.
fn space(
    id: &'static str,
    what: &'static str,
    disk: &Disk,
    (least, comfort): (u64, u64),
    mend: String,
    ways: &[Way],
) -> Check {
    let Disk { path, free } = disk;
    match free {
        None => check(id, what, format!("unknown in {path}"), gib(comfort), ways)
            .warning(format!("see `df --human-readable {path}`")),
        Some(free) => {
            let check = check(
                id,
                what,
                format!("{} in {path}", gib(*free)),
                gib(comfort),
                ways,
            );
            if *free >= comfort {
                check
            } else if *free >= least {
                check.warning(mend)
            } else {
                check.missing(mend)
            }
        }
    }
}

fn cache(facts: &Facts) -> Check {
    let all_there = facts.local_tools.present >= facts.local_tools.all
        && facts.node_tools.present >= facts.node_tools.all;
    let comfort = if all_there {
        CACHE
    } else {
        CACHE_WHEN_BUILDING
    };
    // With the tools there, next to nothing is written.
    let least = if all_there { CACHE / 8 } else { CACHE };
    space(
        "cache-space",
        "space of the cache",
        &facts.cache,
        (least, comfort),
        "free some, or set CLAIMCHECK_CACHE to a directory with more".to_owned(),
        &[Way::Local, Way::Kind, Way::KindBuilt],
    )
}

fn inotify(
    facts: &Facts,
    id: &'static str,
    what: &'static str,
    setting: &str,
    found: Option<u64>,
    needed: u64,
) -> Check {
    let number = found.map_or_else(|| "unknown".to_owned(), |found| found.to_string());
    let check = check(id, what, number, needed.to_string(), &ANY_KIND);
    // A small cluster on an idle machine does with less; what fails fails late and oddly.
    if found.is_some_and(|found| found >= needed) {
        check
    } else {
        check.warning(as_root(facts, &format!("sysctl -w {setting}={needed}")))
    }
}

fn needed_images(facts: &Facts) -> Check {
    let has = |image: &NeededImage| facts.docker.images.contains(image);
    let missing: Vec<&str> = NeededImage::ALL
        .into_iter()
        .filter(|image| !has(image))
        .map(NeededImage::title)
        .collect();
    let all = NeededImage::ALL.len();
    let mut found = format!("{} of {all} at hand", all - missing.len());
    // Where there are none, their names tell nothing.
    if (1..all).contains(&missing.len()) {
        found = format!("{found}, not {}", missing.join(", "));
    }
    let check = check(
        "images-pulled",
        "images of this version",
        found,
        "at hand, or a registry that answers",
        &[Way::Kind],
    );
    match facts.online {
        _ if missing.is_empty() => check,
        Some(reach) if reach.images => check,
        Some(_) => check.missing("connect to the internet, or let the images be built here"),
        None => check.warning("claimcheck doctor --online asks the registry"),
    }
}

/// No port is fixed: each is one that was free when it was asked for.
fn ports(facts: &Facts) -> Check {
    let of = |found: String| {
        check(
            "ports",
            "ports of 127.0.0.1",
            found,
            format!("any {PORTS} that are free"),
            &[Way::Local, Way::Kind, Way::KindBuilt],
        )
    };
    match &facts.ports {
        Ok(()) => of(format!("{PORTS} could be taken")),
        Err(reason) => of(format!("none: {reason}"))
            .missing("see `ip address show lo` and `sysctl net.ipv4.ip_local_port_range`"),
    }
}

fn debootstrap(facts: &Facts) -> Check {
    let found = match (facts.debootstrap, facts.root) {
        (true, true) => "debootstrap, and this is root",
        (true, false) => "debootstrap, but this is not root",
        (false, true) => "no debootstrap",
        (false, false) => "no debootstrap, and this is not root",
    };
    let check = check(
        "debootstrap",
        "tools to build images",
        found,
        "debootstrap, run by root",
        &[Way::KindBuilt],
    );
    match (facts.debootstrap, facts.root) {
        (true, true) => check,
        (false, _) => check.missing(install(facts, "debootstrap")),
        (true, false) => check.missing("sudo --preserve-env claimcheck up --cluster kind"),
    }
}

/// Whether nodes can open the device. Their root is this machine's, whoever this process is; where
/// root is refused, it is by a sandbox that nodes are in as well.
fn nodes_have_fuse(facts: &Facts) -> bool {
    match facts.fuse {
        Access::Usable => true,
        Access::Absent => false,
        Access::Refused(_) => !facts.root,
    }
}

fn mounts(facts: &Facts) -> Check {
    let of = |found: &str| {
        check(
            "nfs-client",
            "NFS client of nodes",
            found,
            "the kernel's, or FUSE with fewer cases",
            &ANY_KIND,
        )
    };
    if facts.kernel_nfs {
        of("the kernel's")
    } else if nodes_have_fuse(facts) {
        // Nothing can be done about it: a kernel is not changed for a test.
        Check {
            verdict: Verdict::Warning,
            ..of("none in the kernel; mounts in user space")
        }
    } else {
        of("neither in the kernel nor by FUSE").missing(as_root(facts, "modprobe nfs"))
    }
}

fn fuse(facts: &Facts) -> Check {
    let ways = [Way::UserSpaceMounts];
    let of = |found: &str| check("fuse", "device /dev/fuse", found, "for root", &ways);
    match &facts.fuse {
        Access::Usable => of("can be opened"),
        Access::Absent => of("absent").missing(as_root(facts, "modprobe fuse")),
        Access::Refused(_) if nodes_have_fuse(facts) => of("there, and closed to this user"),
        Access::Refused(reason) => {
            of(reason).missing("give this sandbox the device: docker run --device /dev/fuse")
        }
    }
}

#[cfg(test)]
mod tests;
