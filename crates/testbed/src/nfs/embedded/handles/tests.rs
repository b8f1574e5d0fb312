use std::fs;
use std::path::Path;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use tempfile::TempDir;

use super::*;

const CAPACITY: usize = 8;

struct Tree {
    directory: TempDir,
    handles: Handles,
}

impl Tree {
    fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let root = open(directory.path(), OFlag::O_PATH, Mode::empty()).expect("its root");
        let handles = Handles::new(1, File::from(root), CAPACITY).expect("handles");
        Self { directory, handles }
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.directory.path().join(path)
    }

    /// The number of an entry of the directory with number `parent`.
    fn look(&self, parent: u64, name: &str) -> u64 {
        let (directory, _) = self.handles.resolve(parent).expect("the directory");
        let file = files::open_child(&directory, OsStr::new(name)).expect("the entry");
        let metadata = file.metadata().expect("its metadata");
        let (number, _) = self
            .handles
            .intern(file, &metadata, Some((parent, OsStr::new(name))));
        number
    }

    /// Looks at so many other files that no descriptor of before is left.
    fn crowd_out(&self) {
        for index in 0..2 * CAPACITY {
            let name = format!("crowd-{index}");
            fs::write(self.path(&name), "").expect("a file");
            self.look(ROOT, &name);
        }
    }

    fn held(&self, number: u64) -> bool {
        self.handles.state().entries[&number].file.is_some()
    }
}

fn inode(path: &Path) -> u64 {
    path.metadata().expect("metadata").ino()
}

#[test]
fn descriptors_are_bounded() {
    let tree = Tree::new();
    for index in 0..1000 {
        let name = format!("f{index}");
        fs::write(tree.path(&name), "").expect("a file");
        tree.look(ROOT, &name);
        let state = tree.handles.state();
        let open = state
            .entries
            .iter()
            .filter(|(number, entry)| **number != ROOT && entry.file.is_some())
            .count();
        assert!(open <= CAPACITY, "{open} descriptors");
        assert_eq!(open, state.open);
    }
}

#[test]
fn without_a_descriptor_the_same_object_is_found_by_its_name() {
    let tree = Tree::new();
    fs::create_dir_all(tree.path("a/b")).expect("directories");
    fs::write(tree.path("a/b/f"), "").expect("a file");
    let a = tree.look(ROOT, "a");
    let b = tree.look(a, "b");
    let file = tree.look(b, "f");
    tree.crowd_out();
    assert!(!tree.held(a) && !tree.held(file));
    let (_, metadata) = tree.handles.resolve(file).expect("the file");
    assert_eq!(metadata.ino(), inode(&tree.path("a/b/f")));
    // Seen again, it has the number of before.
    tree.crowd_out();
    assert_eq!(tree.look(ROOT, "a"), a);
}

#[test]
fn without_a_descriptor_another_object_of_that_name_is_not_taken() {
    let tree = Tree::new();
    fs::write(tree.path("f"), "old").expect("a file");
    let file = tree.look(ROOT, "f");
    tree.crowd_out();
    // The new one has the old one's inode number on most file systems.
    fs::remove_file(tree.path("f")).expect("removed");
    fs::write(tree.path("f"), "new").expect("a file");
    assert_eq!(
        tree.handles.resolve(file).err(),
        Some(nfsstat3::NFS3ERR_STALE)
    );
    let new = tree.look(ROOT, "f");
    assert_ne!(new, file);
    assert!(tree.handles.resolve(new).is_ok());
    assert_eq!(
        tree.handles.resolve(file).err(),
        Some(nfsstat3::NFS3ERR_STALE)
    );
}

#[test]
fn without_a_birth_only_an_unchanged_inode_is_the_same() {
    let tree = Tree::new();
    fs::write(tree.path("f"), "").expect("a file");
    let metadata = tree.path("f").metadata().expect("metadata");
    let entry = |birth: Option<SystemTime>, changed: (i64, i64)| Entry {
        identity: Identity {
            birth,
            ..Identity::of(&metadata)
        },
        changed,
        file: None,
        used: 0,
        seen: None,
        exclusive: None,
    };
    let birth = metadata.created().ok();
    if birth.is_some() {
        assert!(entry(birth, (0, 0)).is(&metadata));
        assert!(!entry(Some(SystemTime::UNIX_EPOCH), changed(&metadata)).is(&metadata));
    } else {
        assert!(entry(None, changed(&metadata)).is(&metadata));
        assert!(!entry(None, (0, 0)).is(&metadata));
    }
}

#[test]
fn names_that_lead_round_in_a_circle_end() {
    let tree = Tree::new();
    fs::create_dir_all(tree.path("a/b")).expect("directories");
    let a = tree.look(ROOT, "a");
    let b = tree.look(a, "b");
    tree.crowd_out();
    tree.handles.moved(a, b, OsStr::new("a"));
    assert_eq!(tree.handles.resolve(b).err(), Some(nfsstat3::NFS3ERR_STALE));
    assert_eq!(tree.handles.path_hint(b), "");
}

#[test]
fn path_hints_follow_moves_of_the_server() {
    let tree = Tree::new();
    fs::create_dir_all(tree.path("a/b")).expect("directories");
    let a = tree.look(ROOT, "a");
    let b = tree.look(a, "b");
    assert_eq!(tree.handles.path_hint(ROOT), "");
    assert_eq!(tree.handles.path_hint(b), "a/b");
    fs::rename(tree.path("a"), tree.path("c")).expect("renamed");
    tree.handles.moved(a, ROOT, OsStr::new("c"));
    assert_eq!(tree.handles.path_hint(b), "c/b");
    assert_eq!(tree.look(ROOT, "c"), a);
}
