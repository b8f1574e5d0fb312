//! Leaving everything of the caller's: a kubelet must neither wait for this process nor take it
//! down with itself.

use std::io;
use std::os::fd::RawFd;

use nix::unistd;

use super::cgroup;
use crate::error::MountError;

/// Session, working directory, descriptors and control group. To be called before there is a
/// second thread.
pub(crate) fn become_alone() -> Result<(), MountError> {
    // Fails if this process leads a group already, which is as good.
    let _ = unistd::setsid();
    unistd::chdir("/").map_err(|errno| MountError::System {
        what: "change to the root directory".to_owned(),
        source: errno.into(),
    })?;
    close_inherited();
    // `ps` would show "exe", by the way it was started.
    let _ = nix::sys::prctl::set_name(c"mount.nfs");
    cgroup::leave();
    Ok(())
}

/// Closes what the caller left open: the end of a pipe kept here would keep its reader waiting.
fn close_inherited() {
    let Ok(list) = std::fs::read_dir("/proc/self/fd") else {
        return;
    };
    let open: Vec<RawFd> = list
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2)
        .collect();
    for fd in open {
        // The one that listed them is closed already.
        let _ = unistd::close(fd);
    }
}

/// Lets the front go: it reads to the end.
pub(crate) fn close_stdout() -> io::Result<()> {
    let null = fs_err::OpenOptions::new().write(true).open("/dev/null")?;
    Ok(unistd::dup2_stdout(null.file())?)
}
