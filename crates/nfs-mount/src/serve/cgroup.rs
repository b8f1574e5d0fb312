//! Leaving the caller's control groups, as far as that is possible: a service manager that stops a
//! kubelet may end everything in its group, and with it every mount of the node.

use std::path::{Path, PathBuf};

/// Where control groups are mounted.
const MOUNTED: &str = "/sys/fs/cgroup";
/// A group of this program's own, where the root group of version 2 takes no processes.
const OWN: &str = "nfs-mount";

/// The roots of the hierarchies in which this process is below the root, by `/proc/self/cgroup`.
fn hierarchies(cgroups: &str) -> Vec<(PathBuf, bool)> {
    let mounted = Path::new(MOUNTED);
    cgroups
        .lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            if path == "/" {
                return None;
            }
            Some(match controllers {
                // Version 2; beside version 1 it is mounted elsewhere.
                "" if mounted.join("unified").is_dir() => (mounted.join("unified"), true),
                "" => (mounted.to_owned(), true),
                named => (
                    mounted.join(named.strip_prefix("name=").unwrap_or(named)),
                    false,
                ),
            })
        })
        .collect()
}

fn move_to(group: &Path) -> std::io::Result<()> {
    // 0 stands for the process that writes.
    fs_err::write(group.join("cgroup.procs"), "0")
}

/// Moves this process to the root of each hierarchy. What fails is left as it is.
pub(crate) fn leave() {
    let cgroups = match fs_err::read_to_string("/proc/self/cgroup") {
        Ok(cgroups) => cgroups,
        Err(error) => {
            tracing::debug!(%error, "no control groups");
            return;
        }
    };
    for (root, version_2) in hierarchies(&cgroups) {
        let mut moved = move_to(&root);
        if moved.is_err() && version_2 {
            let own = root.join(OWN);
            // Fails when an earlier mount made it.
            let _ = fs_err::create_dir(&own);
            moved = move_to(&own);
        }
        if let Err(error) = moved {
            tracing::debug!(%error, "stays in the caller's control group");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_groups_below_the_root_are_left() {
        let found = hierarchies(
            "9:name=systemd:/kubelet.service\n8:cpu,cpuacct:/\n7:memory:/kubelet.service\n",
        );
        let roots: Vec<_> = found.iter().map(|(root, _)| root.as_path()).collect();
        assert_eq!(
            roots,
            [
                Path::new("/sys/fs/cgroup/systemd"),
                Path::new("/sys/fs/cgroup/memory")
            ]
        );
        let found = hierarchies("0::/system.slice/kubelet.service\n");
        assert!(found.len() == 1 && found[0].1);
        assert!(hierarchies("0::/\n").is_empty());
    }
}
