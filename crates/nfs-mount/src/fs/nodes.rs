//! The objects that the kernel knows, by number and by handle.
//!
//! The number is the file's number on the server, so that `st_ino` is the same on every client and
//! after every mount. Two objects may have the same number: one that is gone and one that took its
//! number, or two in different file systems of one export.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard};

use nfs3_types::nfs3::nfs_fh3;
use nix::errno::Errno;

use super::locked;
use super::node::Node;
use crate::client::{Client, Made, Outcome};
use crate::rpc::Patience;

/// The root's number for the kernel.
pub(crate) const ROOT: u64 = 1;

#[derive(Debug)]
struct Known {
    node: Arc<Node>,
    file_system: Option<u64>,
    /// How many times the kernel was told of it.
    lookups: u64,
    /// All handles that lead here; a server may have several for one object.
    handles: Vec<Vec<u8>>,
}

#[derive(Debug, Default)]
struct Table {
    by_id: HashMap<u64, Known>,
    by_handle: HashMap<Vec<u8>, u64>,
}

/// The objects that the kernel knows.
#[derive(Debug)]
pub(crate) struct Nodes {
    table: Mutex<Table>,
    /// For numbers of objects in other file systems; the same for the mount's life.
    mixer: RandomState,
}

/// What is to be done with an object that was found.
enum Step {
    Known(Arc<Node>),
    /// The number belongs to this one, by another handle.
    Taken(Arc<Node>),
}

impl Table {
    fn insert(&mut self, id: u64, generation: u64, made: &Made, lookups: u64) -> Arc<Node> {
        let node = Arc::new(Node::new(id, generation, made.handle.clone()));
        let handle = made.handle.data.to_vec();
        self.by_handle.insert(handle.clone(), id);
        self.by_id.insert(
            id,
            Known {
                node: Arc::clone(&node),
                file_system: Some(made.attributes.fsid),
                lookups,
                handles: vec![handle],
            },
        );
        node
    }

    fn remove(&mut self, id: u64) -> Option<Known> {
        let known = self.by_id.remove(&id)?;
        for handle in &known.handles {
            self.by_handle.remove(handle);
        }
        Some(known)
    }
}

impl Nodes {
    /// Only the root is known.
    pub(crate) fn new(root: nfs_fh3) -> Self {
        let handle = root.data.to_vec();
        let mut table = Table::default();
        table.by_handle.insert(handle.clone(), ROOT);
        table.by_id.insert(
            ROOT,
            Known {
                node: Arc::new(Node::new(ROOT, 0, root)),
                file_system: None,
                lookups: 1,
                handles: vec![handle],
            },
        );
        Self {
            table: Mutex::new(table),
            mixer: RandomState::new(),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        locked(&self.table)
    }

    /// The object of a number that the kernel was told.
    pub(crate) fn get(&self, id: u64) -> Outcome<Arc<Node>> {
        self.table()
            .by_id
            .get(&id)
            .map(|known| Arc::clone(&known.node))
            .ok_or(Errno::ESTALE)
    }

    /// The object of a handle, if the kernel knows it.
    pub(crate) fn by_handle(&self, handle: &nfs_fh3) -> Option<Arc<Node>> {
        let table = self.table();
        let id = table.by_handle.get(handle.data.as_ref())?;
        table.by_id.get(id).map(|known| Arc::clone(&known.node))
    }

    /// The root has a new handle.
    pub(crate) fn root_is(&self, handle: &nfs_fh3) {
        let mut table = self.table();
        let bytes = handle.data.to_vec();
        if let Some(root) = table.by_id.get_mut(&ROOT) {
            root.node.set_handle(handle);
            root.handles.push(bytes.clone());
        }
        table.by_handle.insert(bytes, ROOT);
    }

    /// The object that was found or made, which the kernel is about to be told of.
    pub(crate) fn told(
        &self,
        client: &Client,
        made: &Made,
        patience: &Patience,
    ) -> Outcome<Arc<Node>> {
        loop {
            let taken = match self.step(made) {
                Step::Known(node) => return Ok(node),
                Step::Taken(node) => node,
            };
            // Is the other one gone, or is this another handle of the same object?
            let handle = taken.handle();
            let alias = match client.attributes(&handle, patience) {
                Ok(attributes) => attributes.fileid == made.attributes.fileid,
                Err(Errno::ESTALE | Errno::ENOENT) => false,
                Err(error) => return Err(error),
            };
            let mut table = self.table();
            let same = table
                .by_id
                .get(&taken.id)
                .is_some_and(|known| Arc::ptr_eq(&known.node, &taken));
            if !same {
                // Somebody else was here meanwhile.
                continue;
            }
            if alias {
                let handle = made.handle.data.to_vec();
                table.by_handle.insert(handle.clone(), taken.id);
                if let Some(known) = table.by_id.get_mut(&taken.id) {
                    known.handles.push(handle);
                    known.lookups += 1;
                }
                return Ok(taken);
            }
            let lookups = table.remove(taken.id).map_or(0, |known| known.lookups);
            return Ok(table.insert(taken.id, taken.generation + 1, made, lookups + 1));
        }
    }

    fn step(&self, made: &Made) -> Step {
        let mut table = self.table();
        if let Some(&id) = table.by_handle.get(made.handle.data.as_ref())
            && let Some(known) = table.by_id.get_mut(&id)
        {
            known.lookups += 1;
            return Step::Known(Arc::clone(&known.node));
        }
        let (fsid, fileid) = (made.attributes.fsid, made.attributes.fileid);
        let mut id = if fileid <= ROOT {
            self.mixed(fsid, fileid)
        } else {
            fileid
        };
        match table.by_id.get(&id) {
            None => return Step::Known(table.insert(id, 0, made, 1)),
            Some(known) if known.file_system == Some(fsid) => {
                return Step::Taken(Arc::clone(&known.node));
            }
            Some(_) => id = self.mixed(fsid, fileid),
        }
        match table.by_id.get(&id) {
            None => Step::Known(table.insert(id, 0, made, 1)),
            Some(known) => Step::Taken(Arc::clone(&known.node)),
        }
    }

    /// A number for an object whose own one can't be used.
    fn mixed(&self, fsid: u64, fileid: u64) -> u64 {
        let mut hasher = self.mixer.build_hasher();
        hasher.write_u64(fsid);
        hasher.write_u64(fileid);
        hasher.finish() | (1 << 63)
    }

    /// The kernel forgets `times` that it was told of an object.
    pub(crate) fn forget(&self, id: u64, times: u64) {
        let mut table = self.table();
        if id == ROOT {
            return;
        }
        if let Some(known) = table.by_id.get_mut(&id) {
            known.lookups = known.lookups.saturating_sub(times);
            if known.lookups == 0 {
                table.remove(id);
            }
        }
    }

    #[cfg(test)]
    fn len(&self) -> (usize, usize) {
        let table = self.table();
        (table.by_id.len(), table.by_handle.len())
    }
}

#[cfg(test)]
mod tests {
    use nfs3_types::nfs3::{fattr3, ftype3, nfstime3, specdata3};

    use super::*;
    use crate::client::handle;

    fn made(bytes: &[u8], fsid: u64, fileid: u64) -> Made {
        Made {
            handle: handle(bytes),
            attributes: fattr3 {
                type_: ftype3::NF3REG,
                mode: 0o644,
                nlink: 1,
                uid: 0,
                gid: 0,
                size: 0,
                used: 0,
                rdev: specdata3::default(),
                fsid,
                fileid,
                atime: nfstime3::default(),
                mtime: nfstime3::default(),
                ctime: nfstime3::default(),
            },
        }
    }

    fn known(nodes: &Nodes, made: &Made) -> Arc<Node> {
        match nodes.step(made) {
            Step::Known(node) => node,
            Step::Taken(node) => panic!("{} is taken", node.id),
        }
    }

    #[test]
    fn the_number_is_the_servers_and_lasts_until_it_is_forgotten() {
        let nodes = Nodes::new(handle(b"root"));
        let a = made(b"a", 1, 4711);
        assert_eq!(known(&nodes, &a).id, 4711);
        assert!(Arc::ptr_eq(
            &known(&nodes, &a),
            &nodes.get(4711).expect("known")
        ));
        nodes.forget(4711, 1);
        assert!(nodes.get(4711).is_ok());
        nodes.forget(4711, 1);
        assert_eq!(nodes.get(4711).expect_err("forgotten"), Errno::ESTALE);
        assert_eq!(nodes.len(), (1, 1));
        nodes.forget(ROOT, 100);
        assert!(nodes.get(ROOT).is_ok());
    }

    #[test]
    fn another_handle_with_the_same_number_is_a_question() {
        let nodes = Nodes::new(handle(b"root"));
        known(&nodes, &made(b"a", 1, 4711));
        assert!(matches!(nodes.step(&made(b"b", 1, 4711)), Step::Taken(_)));
    }

    #[test]
    fn the_same_number_in_another_file_system_is_another_object() {
        let nodes = Nodes::new(handle(b"root"));
        let a = known(&nodes, &made(b"a", 1, 4711));
        let b = known(&nodes, &made(b"b", 2, 4711));
        assert_ne!(a.id, b.id);
        // Whatever comes first, it stays what it is.
        assert_eq!(known(&nodes, &made(b"b", 2, 4711)).id, b.id);
    }

    #[test]
    fn numbers_that_the_kernel_has_taken_are_not_used() {
        let nodes = Nodes::new(handle(b"root"));
        for fileid in [0, ROOT] {
            assert!(
                known(
                    &nodes,
                    &made(&[1, u8::try_from(fileid).expect("small")], 1, fileid)
                )
                .id > ROOT
            );
        }
    }

    #[test]
    fn a_new_handle_of_the_root_leads_to_the_root() {
        let nodes = Nodes::new(handle(b"root"));
        nodes.root_is(&handle(b"again"));
        assert_eq!(nodes.get(ROOT).expect("known").handle(), handle(b"again"));
        assert!(nodes.by_handle(&handle(b"again")).expect("known").is_root());
    }
}
