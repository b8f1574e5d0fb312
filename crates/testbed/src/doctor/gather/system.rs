//! The kernel, its limits and devices, and what is installed.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use camino::Utf8Path;
use nix::sys::statvfs::statvfs;

use crate::doctor::facts::{Access, Disk, Inotify};

/// Where a user's PATH has no programs of the administrator, who may still have them.
const ADMINISTRATOR: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Names of the capabilities in the order of their numbers (linux/capability.h).
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Whether a program can be executed by its name, here or by the administrator.
pub(super) fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(ADMINISTRATOR.map(Into::into))
        .any(|directory| {
            fs::metadata(directory.join(name))
                .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
        })
}

/// The space of a directory, or of the nearest one above it that exists.
pub(super) fn disk(path: &Utf8Path) -> Disk {
    let free = path
        .ancestors()
        .find_map(|existing| statvfs(existing.as_std_path()).ok())
        .map(|space| space.blocks_available() * space.fragment_size());
    Disk {
        path: path.to_owned(),
        free,
    }
}

/// The same for a directory that is of no other machine, such as the root of a daemon that may be:
/// nothing above it counts.
pub(super) fn disk_of(path: &Utf8Path) -> Disk {
    let free = statvfs(path.as_std_path())
        .ok()
        .map(|space| space.blocks_available() * space.fragment_size());
    Disk {
        path: path.to_owned(),
        free,
    }
}

/// Bytes that new processes can have.
pub(super) fn available_memory() -> Option<u64> {
    memory_in(&fs::read_to_string("/proc/meminfo").ok()?)
}

/// The line `MemAvailable` of `/proc/meminfo` (proc(5)), which counts kibibytes.
fn memory_in(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// Opens the device, which mounts nothing.
pub(super) fn fuse() -> Access {
    match OpenOptions::new().read(true).write(true).open("/dev/fuse") {
        Ok(_) => Access::Usable,
        Err(error) if error.kind() == ErrorKind::NotFound => Access::Absent,
        Err(error) => Access::Refused(error.to_string()),
    }
}

/// The limits of inotify.
pub(super) fn inotify() -> Inotify {
    let limit = |name: &str| {
        fs::read_to_string(Path::new("/proc/sys/fs/inotify").join(name))
            .ok()?
            .trim()
            .parse()
            .ok()
    };
    Inotify {
        instances: limit("max_user_instances"),
        watches: limit("max_user_watches"),
    }
}

/// What the bounding set of the Docker daemon lacks; of this process, where the daemon's process is
/// not seen.
pub(super) fn missing_capabilities() -> Vec<String> {
    let status = daemon_status()
        .or_else(|| fs::read_to_string("/proc/self/status").ok())
        .unwrap_or_default();
    let last = fs::read_to_string("/proc/sys/kernel/cap_last_cap")
        .ok()
        .and_then(|number| number.trim().parse().ok());
    missing_in(&status, last)
}

/// `/proc/PID/status` of the first process called `dockerd`.
fn daemon_status() -> Option<String> {
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let process = entry.path();
        let name = fs::read_to_string(process.join("comm")).ok()?;
        if name.trim() == "dockerd" {
            fs::read_to_string(process.join("status")).ok()
        } else {
            None
        }
    })
}

/// The capabilities up to number `last` that the line `CapBnd` (proc(5)) lacks; none where nothing
/// is known.
fn missing_in(status: &str, last: Option<u32>) -> Vec<String> {
    let set = status
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:"))
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    let (Some(set), Some(last)) = (set, last) else {
        return Vec::new();
    };
    (0..=last.min(u64::BITS - 1))
        .filter(|number| set >> number & 1 == 0)
        .map(|number| {
            match usize::try_from(number)
                .ok()
                .and_then(|at| CAPABILITIES.get(at))
            {
                Some(name) => format!("CAP_{name}"),
                None => format!("capability {number}"),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_that_are_missing_are_named() {
        let status = "Name:\tdockerd\nCapBnd:\t000001fffeffffff\n";
        assert_eq!(missing_in(status, Some(40)), ["CAP_SYS_RESOURCE"]);
        assert_eq!(
            missing_in("CapBnd:\t000001ffffffffff\n", Some(41)),
            ["capability 41"]
        );
        assert!(missing_in("Name:\tx\n", Some(40)).is_empty());
    }

    #[test]
    fn available_memory_is_in_bytes() {
        assert_eq!(
            memory_in("MemTotal:       24680000 kB\nMemAvailable:    2048 kB\n"),
            Some(2 * 1024 * 1024)
        );
        assert_eq!(memory_in("MemTotal:  1 kB\n"), None);
    }

    #[test]
    fn a_directory_that_is_not_made_yet_has_the_space_of_the_one_above() {
        let place = tempfile::tempdir().unwrap();
        let place = Utf8Path::from_path(place.path()).unwrap();
        assert!(disk(&place.join("not/yet")).free.is_some());
        assert_eq!(disk_of(&place.join("not/yet")).free, None);
    }

    #[test]
    fn a_program_is_found_and_a_word_is_not() {
        assert!(has_program("sh"));
        assert!(!has_program("claimcheck-has-no-such-program"));
    }
}
