//! A umask of the process changes no mode. Alone in its binary, as the umask is the process's.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use camino::Utf8PathBuf;
use nix::sys::stat::{Mode, umask};
use provisioner::backend::Backend;
use provisioner::backend::mount::{MountBackend, MountOptions};
use provisioner::path::RelativePath;

#[tokio::test]
async fn the_umask_changes_no_mode() {
    umask(Mode::from_bits_truncate(0o077));
    let directory = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap();
    let options = MountOptions {
        path,
        allow_any_filesystem: true,
    };
    let backend = MountBackend::open(options).unwrap();
    for mode in [0o777, 0o2775, 0o750] {
        let name = format!("mode-{mode:o}");
        let volume = RelativePath::parse(&name).unwrap();
        backend
            .make_directory(&volume, mode, Duration::from_secs(20))
            .await
            .unwrap();
        let found = directory.path().join(&name).metadata().unwrap().mode() & 0o7777;
        assert_eq!(found, mode, "{found:o}");
    }
}
