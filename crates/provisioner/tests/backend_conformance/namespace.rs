//! The mounted backend on real mounts, in a mount namespace that ends with its thread.
//!
//! Mounting needs root. Without it these tests have nothing to look at and say so in their log;
//! the tables of error numbers and the walk in memory cover the same decisions.

use std::path::Path;
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use provisioner::backend::mount::{MountBackend, MountOptions};
use provisioner::backend::{Backend, Cause};

use crate::subject::{LIMIT, path, refused};

/// Runs `test` on a directory, on a thread with a mount namespace of its own. The threads the
/// backend starts inherit it.
fn alone<F: Future<Output = ()>>(test: impl FnOnce(std::path::PathBuf) -> F + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        tracing::warn!("skipped: mounting needs root");
        return;
    }
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(test(directory.path().to_owned()));
        // The mounts go with the namespace, but the directory is removed before.
        while umount2(directory.path(), MntFlags::MNT_DETACH).is_ok() {}
    });
    thread.join().unwrap();
}

fn tmpfs(at: &Path, flags: MsFlags, options: &str) {
    mount(Some("test"), at, Some("tmpfs"), flags, Some(options)).unwrap();
}

fn backend(at: &Path) -> MountBackend {
    let path = camino::Utf8PathBuf::from_path_buf(at.to_owned()).unwrap();
    MountBackend::open(MountOptions {
        path,
        allow_any_filesystem: true,
    })
    .unwrap()
}

#[test]
fn a_full_file_system_and_a_read_only_one_are_told_apart() {
    alone(|root| async move {
        tmpfs(&root, MsFlags::empty(), "size=64k,nr_inodes=8");
        let backend = backend(&root);
        let content = vec![0; provisioner::backend::FILE_MAX];
        let mut made = 0;
        let full = loop {
            let name = path(&format!("dir-{made}"));
            match backend.make_directory(&name, 0o777, LIMIT).await {
                Ok(_) => made += 1,
                error => break refused(error),
            }
        };
        assert_eq!(full, Cause::NoSpace);
        assert!(made > 0);
        assert_eq!(
            refused(backend.write_file(&path("f"), &content, LIMIT).await),
            Cause::NoSpace
        );
        assert_eq!(backend.space(LIMIT).await.unwrap().inodes_free, 0);

        let none: Option<&str> = None;
        mount(
            none,
            &root,
            none,
            MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY,
            none,
        )
        .unwrap();
        let change = backend.remove_directory(&path("dir-0"), LIMIT).await;
        assert_eq!(refused(change), Cause::ReadOnly);
        let tree = backend.remove_tree(&path("dir-0"), LIMIT).await;
        assert_eq!(refused(tree), Cause::ReadOnly);
        let read = backend.stat(&path("dir-0"), LIMIT).await;
        assert!(read.unwrap().is_some());
    });
}

#[test]
fn a_file_system_mounted_inside_a_tree_is_left_alone() {
    alone(|root| async move {
        std::fs::create_dir_all(root.join("volume/a/inner")).unwrap();
        std::fs::write(root.join("volume/a/file"), "").unwrap();
        std::fs::create_dir_all(root.join("volume/b")).unwrap();
        let inner = root.join("volume/a/inner");
        tmpfs(&inner, MsFlags::empty(), "size=64k");
        std::fs::write(inner.join("precious"), "data").unwrap();
        let backend = backend(&root);
        let here = backend
            .stat(&path("volume/a"), LIMIT)
            .await
            .unwrap()
            .unwrap();
        let there = backend
            .stat(&path("volume/a/inner"), LIMIT)
            .await
            .unwrap()
            .unwrap();
        assert_ne!(here.identity.fsid, there.identity.fsid);

        let error = backend
            .remove_tree(&path("volume"), LIMIT)
            .await
            .unwrap_err();
        assert_eq!(error.cause, Cause::CrossDevice, "{error}");
        assert!(error.to_string().contains("a/inner"), "{error}");
        assert_eq!(
            std::fs::read_to_string(inner.join("precious")).unwrap(),
            "data"
        );
        assert!(!root.join("volume/b").exists() && !root.join("volume/a/file").exists());

        let rename = backend
            .rename_directory(&path("volume/a"), &path("new"), LIMIT)
            .await;
        // Renaming around a mount is the kernel's to allow; nothing is lost either way.
        if rename.is_err() {
            assert!(!root.join("new").exists());
        }
        assert!(root.join("volume/a/inner/precious").exists() || root.join("new/inner").exists());
    });
}

#[test]
fn a_rename_onto_another_file_system_is_refused_and_leaves_nothing() {
    alone(|root| async move {
        std::fs::create_dir_all(root.join("volume")).unwrap();
        std::fs::create_dir_all(root.join("quota")).unwrap();
        tmpfs(&root.join("quota"), MsFlags::empty(), "size=64k");
        let backend = backend(&root);
        let result = backend
            .rename_directory(&path("volume"), &path("quota/v"), LIMIT)
            .await;
        assert_eq!(refused(result), Cause::CrossDevice);
        assert!(root.join("volume").exists() && !root.join("quota/v").exists());
    });
}

#[test]
fn a_mount_point_inside_a_tree_that_is_busy_ends_at_the_stall_limit() {
    alone(|root| async move {
        std::fs::create_dir_all(root.join("volume")).unwrap();
        std::fs::write(root.join("volume/file"), "").unwrap();
        let none: Option<&str> = None;
        let file = root.join("volume/file");
        // A file that is a mount point cannot be unlinked: EBUSY, like an open `.nfs` file.
        mount(Some(&file), &file, none, MsFlags::MS_BIND, none).unwrap();
        let backend = backend(&root);
        let stall = Duration::from_millis(300);
        let started = std::time::Instant::now();
        let error = backend
            .remove_tree(&path("volume"), stall)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
        assert!(started.elapsed() >= stall);
        umount2(&file, MntFlags::empty()).unwrap();
        backend.remove_tree(&path("volume"), stall).await.unwrap();
        assert!(!root.join("volume").exists());
        assert_eq!(backend.stuck_calls(), 0);
    });
}

#[test]
fn an_export_that_is_unmounted_and_mounted_again_is_used_again() {
    alone(|root| async move {
        tmpfs(&root, MsFlags::empty(), "size=64k");
        let backend = backend(&root);
        backend
            .make_directory(&path("one"), 0o777, LIMIT)
            .await
            .unwrap();
        // Nothing of the mount is held between calls.
        umount2(&root, MntFlags::empty()).unwrap();
        tmpfs(&root, MsFlags::empty(), "size=64k");
        assert_eq!(backend.stat(&path("one"), LIMIT).await.unwrap(), None);
        backend
            .make_directory(&path("two"), 0o777, LIMIT)
            .await
            .unwrap();
        assert!(root.join("two").is_dir());
    });
}

#[tokio::test]
async fn a_mount_point_that_is_gone_does_not_make_volumes_look_deleted() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("mounted");
    std::fs::create_dir_all(root.join("volume")).unwrap();
    let backend = backend(&root);
    assert!(
        backend
            .stat(&path("volume"), LIMIT)
            .await
            .unwrap()
            .is_some()
    );
    std::fs::rename(&root, parent.path().join("away")).unwrap();
    let volume = path("volume");
    assert_eq!(
        refused(backend.stat(&volume, LIMIT).await),
        Cause::Unreachable
    );
    assert_eq!(
        refused(backend.remove_file(&volume, LIMIT).await),
        Cause::Unreachable
    );
    let stall = Duration::from_millis(300);
    assert_eq!(
        refused(backend.remove_tree(&volume, stall).await),
        Cause::Unreachable
    );
    std::fs::rename(parent.path().join("away"), &root).unwrap();
    assert!(backend.stat(&volume, LIMIT).await.unwrap().is_some());
}

#[test]
fn a_directory_that_is_no_nfs_mount_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = camino::Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap();
    let options = MountOptions {
        path,
        allow_any_filesystem: false,
    };
    let error = MountBackend::open(options).unwrap_err();
    assert_eq!(error.cause, Cause::Unreachable);
    assert!(
        error.to_string().contains("--allow-any-filesystem"),
        "{error}"
    );
}
