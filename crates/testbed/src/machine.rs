//! What this machine's kernel and process can do, as far as a testbed depends on it. Known before
//! anything is started.

/// The capability `CAP_SYS_RESOURCE`, as a bit of the sets in `/proc/PID/status` (capabilities(7)).
const CAP_SYS_RESOURCE: u32 = 24;

/// Whether the kernel can mount NFS, at once or after loading a module.
///
/// It is a prediction, from `/proc/filesystems` and the list of modules of the running kernel: the
/// module may still refuse to load. Nodes in containers share the kernel, so it holds for them too.
pub fn kernel_has_nfs() -> bool {
    if nfs_is_loaded() {
        return true;
    }
    let release = read("/proc/sys/kernel/osrelease");
    let modules = format!("/lib/modules/{}", release.trim());
    ["modules.dep", "modules.builtin"]
        .iter()
        .any(|list| offers_nfs(&read(&format!("{modules}/{list}"))))
}

/// Whether the kernel can mount NFS now, without loading anything.
pub fn nfs_is_loaded() -> bool {
    knows_nfs(&read("/proc/filesystems"))
}

/// Whether this process's processes can ever have `CAP_SYS_RESOURCE`. Where they cannot, a container
/// engine that runs under the same bound cannot lower a process's out-of-memory score.
pub fn may_have_sys_resource() -> bool {
    bound_holds(&read("/proc/self/status"), CAP_SYS_RESOURCE)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Whether `/proc/filesystems` (proc(5)) lists NFS.
fn knows_nfs(filesystems: &str) -> bool {
    filesystems
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .any(|name| matches!(name, "nfs" | "nfs4"))
}

/// Whether a list of modules (modules.dep(5), or `modules.builtin`) has the NFS client.
fn offers_nfs(modules: &str) -> bool {
    modules
        .lines()
        // In modules.dep a colon ends the module's own path.
        .filter_map(|line| line.split(':').next()?.rsplit('/').next())
        .any(|file| file == "nfs.ko" || file.starts_with("nfs.ko."))
}

/// Whether the bounding set in a status file holds a capability. Yes when the file does not say.
fn bound_holds(status: &str, capability: u32) -> bool {
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:"))
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .is_none_or(|set| set & (1 << capability) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loaded_client_is_listed_among_the_file_systems() {
        assert!(knows_nfs("nodev\tsysfs\n\text4\nnodev\tnfs4\n"));
        assert!(knows_nfs("nodev\tnfs\n"));
        assert!(!knows_nfs("nodev\tnfsd\n\text4\n"));
        assert!(!knows_nfs(""));
    }

    #[test]
    fn a_module_of_the_client_is_found_compressed_or_not_and_the_server_is_none() {
        assert!(offers_nfs(
            "kernel/fs/nfs/nfs.ko.zst: kernel/fs/lockd/lockd.ko.zst\n"
        ));
        assert!(offers_nfs("kernel/fs/nfs/nfs.ko\n"));
        assert!(!offers_nfs(
            "kernel/fs/nfsd/nfsd.ko: kernel/fs/nfs/nfs.ko\n"
        ));
        assert!(!offers_nfs("kernel/fs/nfs_common/grace.ko:\n"));
    }

    #[test]
    fn the_bounding_set_is_read_bit_by_bit() {
        assert!(!bound_holds(
            "Name:\tx\nCapBnd:\t000001fffeffffff\n",
            CAP_SYS_RESOURCE
        ));
        assert!(bound_holds("CapBnd:\t000001ffffffffff\n", CAP_SYS_RESOURCE));
        assert!(bound_holds("Name:\tx\n", CAP_SYS_RESOURCE));
    }
}
