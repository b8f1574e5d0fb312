//! What there is on a machine, without a judgement.

use camino::Utf8PathBuf;

use crate::images::NeededImage;

/// How many ports a `local` cluster listens at; a `kind` cluster takes fewer of this machine's.
pub(super) const PORTS: usize = 4;

/// Everything that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, none of which steers anything by itself"
)]
pub struct Facts {
    /// Whether this process is root.
    pub root: bool,
    /// Whether packages are installed with apt-get here.
    pub apt: bool,
    /// Bytes of memory that new processes can have; `None` when the system does not say.
    pub memory: Option<u64>,
    /// Where tools and parts of images are cached.
    pub cache: Disk,
    /// Whether [`PORTS`] free ports of the loopback address could be taken, for TCP and UDP; else the
    /// system's reason why not.
    pub ports: Result<(), String>,
    /// The binaries of a `local` cluster.
    pub local_tools: ToolCount,
    /// The binaries that a `kind` cluster needs on this machine.
    pub kind_tools: ToolCount,
    /// The binaries that a node image is built from.
    pub node_tools: ToolCount,
    /// What `go version` says of itself, such as `go1.26.0`; `None` without Go.
    pub go: Option<String>,
    /// Whether debootstrap is there.
    pub debootstrap: bool,
    /// The device of file systems in user space.
    pub fuse: Access,
    /// Whether the kernel has an NFS client, loaded or as a module.
    pub kernel_nfs: bool,
    /// Limits of inotify(7).
    pub inotify: Inotify,
    /// Docker.
    pub docker: Docker,
    /// What is reached on the network; `None` when nobody asked.
    pub online: Option<Reach>,
}

/// A directory and the space there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The directory; it need not exist yet.
    pub path: Utf8PathBuf,
    /// Bytes that this user can still write; `None` when the system does not say.
    pub free: Option<u64>,
}

/// How many binaries of a list are in the cache, or were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToolCount {
    /// How many are there.
    pub present: usize,
    /// How many there should be.
    pub all: usize,
}

/// Whether a device can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// It opens.
    Usable,
    /// There is none.
    Absent,
    /// It does not open, with the system's reason.
    Refused(String),
}

/// Limits of inotify(7) for one user; `None` where the system does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inotify {
    /// `fs.inotify.max_user_instances`.
    pub instances: Option<u64>,
    /// `fs.inotify.max_user_watches`.
    pub watches: Option<u64>,
}

/// What is reached on the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// The official downloads of Kubernetes.
    pub downloads: bool,
    /// The registry of images.
    pub images: bool,
}

/// Docker as this user has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Docker {
    /// Version of the client; `None` without one.
    pub client: Option<String>,
    /// The address that the client calls: its context's, or `DOCKER_HOST`.
    pub host: Option<String>,
    /// Whether `DOCKER_HOST` gives that address.
    pub host_is_given: bool,
    /// The daemon behind it.
    pub daemon: Result<Daemon, DaemonFailure>,
    /// Those of the needed images that it has in the version which a testbed would take now.
    pub images: Vec<NeededImage>,
}

/// Why there is no daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DaemonFailure {
    /// Without a client nobody asked.
    NotAsked,
    /// Its socket is closed to this user.
    Refused,
    /// It does not answer, with what the client said.
    Silent(String),
}

/// A daemon that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// Its version.
    pub version: String,
    /// The newest version of its interface, such as `1.41`.
    pub api: String,
    /// Its storage driver, such as `overlay2`.
    pub storage: String,
    /// The version of control groups, `1` or `2`.
    pub cgroup: String,
    /// Whether it runs without root.
    pub rootless: bool,
    /// The runtime that containers get, such as `runc`.
    pub runtime: String,
    /// Where its images and containers are.
    pub root: Disk,
    /// Capabilities that its bounding set lacks, such as `CAP_SYS_RESOURCE`.
    pub missing_capabilities: Vec<String>,
}
