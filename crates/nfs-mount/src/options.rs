//! Mount options: those of nfs(5) and the general ones of mount(8).
//!
//! An unknown option is refused by name: a typing mistake in a class's `mountOptions` must fail the
//! mount, not vanish. What is accepted without effect is one list, and stands in
//! `docs/nfs-mount.md`.

use std::net::IpAddr;
use std::time::Duration;

use nix::mount::MsFlags;

use crate::error::MountError;

/// The most data of one READ or WRITE, in bytes: what FUSE hands over at once.
pub(crate) const TRANSFER_MAX: u32 = 1024 * 1024;
/// The least that may be asked for, as in the kernel.
const TRANSFER_MIN: u32 = 1024;

/// How calls end that the server does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// Never: the caller waits until the server is back, or the caller is killed.
    Hard,
    /// After `timeo` times `retrans`, with an I/O error.
    Soft,
    /// As soft, with "timed out" as the error.
    SoftErr,
}

/// How a mount is made and behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// What a silent server leads to.
    pub(crate) retry: Retry,
    /// How long a server may be silent before the connection is made anew; in the soft modes also
    /// the unit of the time limit.
    pub(crate) timeout: Duration,
    /// In the soft modes: how many times `timeout` a call may last.
    pub(crate) attempts: u32,
    /// How long the first contact is tried again.
    pub(crate) mount_retry: Duration,
    /// Port of NFS; asked of the port mapper if `None`.
    pub(crate) port: Option<u16>,
    /// Port of MOUNT; asked of the port mapper if `None`.
    pub(crate) mount_port: Option<u16>,
    /// Address that replaces the server's name.
    pub(crate) address: Option<IpAddr>,
    /// Address to call from.
    pub(crate) client_address: Option<IpAddr>,
    /// Whether a port below 1024 is tried first.
    pub(crate) privileged_port: bool,
    /// The most data of one READ, in bytes.
    pub(crate) read_size: u32,
    /// The most data of one WRITE, in bytes.
    pub(crate) write_size: u32,
    /// Whether every write is stable before it returns.
    pub(crate) sync: bool,
    /// Whether attributes are never reused, not even for milliseconds.
    pub(crate) no_attribute_cache: bool,
    /// Flags of mount(2).
    pub(crate) flags: MsFlags,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            retry: Retry::Hard,
            // The kernel's value for TCP (nfs(5)).
            timeout: Duration::from_mins(1),
            attempts: 2,
            mount_retry: Duration::ZERO,
            port: None,
            mount_port: None,
            address: None,
            client_address: None,
            privileged_port: true,
            read_size: TRANSFER_MAX,
            write_size: TRANSFER_MAX,
            sync: false,
            no_attribute_cache: false,
            flags: MsFlags::empty(),
        }
    }
}

/// Accepted, and without effect.
const WITHOUT_EFFECT: [&str; 49] = [
    "_netdev",
    "ac",
    "acdirmax",
    "acdirmin",
    "acl",
    "acregmax",
    "acregmin",
    "actimeo",
    "auto",
    "bg",
    "bsize",
    "comment",
    "context",
    "cto",
    "defaults",
    "defcontext",
    "fg",
    "fsc",
    "fscontext",
    "group",
    "intr",
    "local_lock",
    "lock",
    "lookupcache",
    "max_connect",
    "migration",
    "minorversion",
    "mounthost",
    "nconnect",
    "nfail",
    "noacl",
    "noauto",
    "nocto",
    "nofail",
    "nofsc",
    "nointr",
    "nolock",
    "noowner",
    "nordirplus",
    "nouser",
    "owner",
    "posix",
    "rdirplus",
    "rootcontext",
    "sharecache",
    "silent",
    "user",
    "users",
    "xprtsec",
];

impl Options {
    /// Whether calls end with an error when the server is silent.
    pub(crate) fn is_soft(&self) -> bool {
        self.retry != Retry::Hard
    }

    /// How long a call lasts at most in the soft modes; `None` for hard mounts.
    pub(crate) fn limit(&self) -> Option<Duration> {
        self.is_soft().then(|| self.timeout * self.attempts.max(1))
    }

    /// Parses the values of `-o`. With `sloppy`, unknown ones are ignored (mount(8), `-s`).
    pub(crate) fn parse<'a>(
        values: impl Iterator<Item = &'a str>,
        sloppy: bool,
    ) -> Result<Self, MountError> {
        let mut options = Self::default();
        for option in values.flat_map(|value| value.split(',')) {
            let option = option.trim();
            // `x-...` is for other programs (mount(8)).
            if option.is_empty() || option.starts_with("x-") || option.starts_with("X-") {
                continue;
            }
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (option, None),
            };
            let taken = options.general(name) || options.nfs(name, value)? || known(name);
            if !taken && !sloppy {
                return Err(MountError::UnknownOption {
                    name: name.to_owned(),
                });
            }
        }
        Ok(options)
    }

    /// The options of every file system; `false` if it is none of them.
    fn general(&mut self, name: &str) -> bool {
        let (flag, set) = match name {
            "ro" => (MsFlags::MS_RDONLY, true),
            "rw" => (MsFlags::MS_RDONLY, false),
            "nodev" => (MsFlags::MS_NODEV, true),
            "dev" => (MsFlags::MS_NODEV, false),
            "nosuid" => (MsFlags::MS_NOSUID, true),
            "suid" => (MsFlags::MS_NOSUID, false),
            "noexec" => (MsFlags::MS_NOEXEC, true),
            "exec" => (MsFlags::MS_NOEXEC, false),
            "noatime" => (MsFlags::MS_NOATIME, true),
            "atime" => (MsFlags::MS_NOATIME, false),
            "nodiratime" => (MsFlags::MS_NODIRATIME, true),
            "diratime" => (MsFlags::MS_NODIRATIME, false),
            "relatime" => (MsFlags::MS_RELATIME, true),
            "norelatime" => (MsFlags::MS_RELATIME, false),
            "strictatime" => (MsFlags::MS_STRICTATIME, true),
            "nostrictatime" => (MsFlags::MS_STRICTATIME, false),
            "dirsync" => (MsFlags::MS_DIRSYNC, true),
            "sync" => (MsFlags::MS_SYNCHRONOUS, true),
            "async" => (MsFlags::MS_SYNCHRONOUS, false),
            _ => return false,
        };
        self.flags.set(flag, set);
        self.sync = self.flags.contains(MsFlags::MS_SYNCHRONOUS);
        true
    }

    /// The options of NFS that have an effect; `false` if it is none of them.
    fn nfs(&mut self, name: &str, value: Option<&str>) -> Result<bool, MountError> {
        match name {
            "hard" => self.retry = Retry::Hard,
            "soft" => self.retry = Retry::Soft,
            "softerr" => self.retry = Retry::SoftErr,
            "timeo" => {
                let tenths: u32 = number(name, value, 1, 36_000, "tenths of a second")?;
                self.timeout = Duration::from_millis(u64::from(tenths) * 100);
            }
            "retrans" => self.attempts = number(name, value, 0, 100, "repetitions")?,
            "retry" => {
                let minutes: u32 = number(name, value, 0, 10_000, "minutes")?;
                self.mount_retry = Duration::from_secs(u64::from(minutes) * 60);
            }
            "port" => self.port = port(name, value)?,
            "mountport" => self.mount_port = port(name, value)?,
            "rsize" => self.read_size = transfer(name, value)?,
            "wsize" => self.write_size = transfer(name, value)?,
            "noac" => {
                self.no_attribute_cache = true;
                self.sync = true;
            }
            "resvport" => self.privileged_port = true,
            "noresvport" => self.privileged_port = false,
            "addr" => self.address = Some(address(name, value)?),
            "clientaddr" => self.client_address = Some(address(name, value)?),
            "vers" | "nfsvers" => only(
                name,
                value,
                &["3", "3.0"],
                "only NFSv3 is spoken here; give 3 or drop the option, or mount on a node whose \
                 kernel has NFS",
            )?,
            "v3" | "tcp" => {}
            "v2" | "v4" | "v4.0" | "v4.1" | "v4.2" => {
                return Err(wrong(
                    "vers",
                    Some(&name[1..]),
                    "only NFSv3 is spoken here; give 3 or drop the option, or mount on a node \
                     whose kernel has NFS",
                ));
            }
            "proto" | "mountproto" => only(
                name,
                value,
                &["tcp", "tcp6"],
                "only TCP is spoken here; give tcp or drop the option",
            )?,
            "udp" => {
                return Err(wrong(
                    "proto",
                    Some("udp"),
                    "only TCP is spoken here; give tcp or drop the option",
                ));
            }
            "mountvers" => only(
                name,
                value,
                &["3"],
                "only 3 goes with NFSv3; drop the option",
            )?,
            "sec" => only(
                name,
                value,
                &["sys"],
                "only AUTH_SYS is spoken here; give sys or drop the option, or mount on a node \
                 whose kernel has NFS",
            )?,
            "remount" | "bind" | "rbind" | "move" => {
                return Err(MountError::Usage(format!(
                    "option {name}: this program makes new mounts only; use the kernel's own \
                     `mount -i`"
                )));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn known(name: &str) -> bool {
    WITHOUT_EFFECT.contains(&name)
}

fn wrong(name: &str, value: Option<&str>, allowed: &str) -> MountError {
    MountError::Value {
        name: name.to_owned(),
        value: value.unwrap_or("").to_owned(),
        allowed: allowed.to_owned(),
    }
}

fn only(name: &str, value: Option<&str>, allowed: &[&str], why: &str) -> Result<(), MountError> {
    if value.is_some_and(|value| allowed.contains(&value)) {
        Ok(())
    } else {
        Err(wrong(name, value, why))
    }
}

fn number(
    name: &str,
    value: Option<&str>,
    least: u32,
    most: u32,
    unit: &str,
) -> Result<u32, MountError> {
    value
        .and_then(|value| value.parse().ok())
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| wrong(name, value, &format!("give {least} to {most} {unit}")))
}

/// A port; 0 asks the port mapper, as no option does (nfs(5)).
fn port(name: &str, value: Option<&str>) -> Result<Option<u16>, MountError> {
    value
        .and_then(|value| value.parse::<u16>().ok())
        .map(|port| (port != 0).then_some(port))
        .ok_or_else(|| wrong(name, value, "give a port from 0 to 65535"))
}

/// A transfer size. Too large or small ones are bounded, as the kernel does.
fn transfer(name: &str, value: Option<&str>) -> Result<u32, MountError> {
    let size: u32 = number(name, value, 0, u32::MAX, "bytes")?;
    // Multiples of 1024, as nfs(5) has it; 0 means no wish.
    Ok(match size / TRANSFER_MIN * TRANSFER_MIN {
        0 if size == 0 => TRANSFER_MAX,
        size => size.clamp(TRANSFER_MIN, TRANSFER_MAX),
    })
}

fn address(name: &str, value: Option<&str>) -> Result<IpAddr, MountError> {
    value
        .and_then(|value| value.parse().ok())
        .ok_or_else(|| wrong(name, value, "give an IP address"))
}

#[cfg(test)]
mod tests;
