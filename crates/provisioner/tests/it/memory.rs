//! An export in memory that can stop at any step, as a killed process or server does. Beyond 500
//! lines because it is one object and the trait it stands for.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use provisioner::backend::{
    Attributes, Backend, Cause, Certainty, Entry, Identity, Kind, Space, Stat, StorageError,
    StorageResult,
};
use provisioner::path::RelativePath;

/// Counts changes of export and cluster; from the one chosen on, nothing is answered any more.
#[derive(Debug)]
pub(crate) struct Steps {
    taken: AtomicUsize,
    last: usize,
}

impl Steps {
    pub(crate) fn unlimited() -> Arc<Self> {
        Self::up_to(usize::MAX)
    }

    pub(crate) fn up_to(last: usize) -> Arc<Self> {
        Arc::new(Self {
            taken: AtomicUsize::new(0),
            last,
        })
    }

    /// Whether the end was reached.
    pub(crate) fn is_over(&self) -> bool {
        self.taken.load(Ordering::SeqCst) > self.last
    }

    pub(crate) async fn take(&self) {
        if self.taken.fetch_add(1, Ordering::SeqCst) >= self.last {
            std::future::pending::<()>().await;
        }
    }
}

#[derive(Debug, Clone)]
struct Node {
    kind: Kind,
    mode: u32,
    uid: u32,
    gid: u32,
    content: Vec<u8>,
    children: BTreeMap<String, u64>,
}

/// The file system; outlives the backends that use it.
#[derive(Debug)]
pub(crate) struct FileSystem {
    inner: Mutex<Tree>,
    disturbed: Disturbed,
    /// Writes of files that hold this text are not answered until it is cleared.
    held: tokio::sync::watch::Sender<Option<&'static str>>,
    /// The same for writes that have made their temporary file.
    half: tokio::sync::watch::Sender<Option<&'static str>>,
}

type Disturbance = Box<dyn FnOnce(&FileSystem) + Send>;

/// What somebody else does on the export just before the next call of an operation.
#[derive(Default)]
struct Disturbed(Mutex<HashMap<&'static str, Disturbance>>);

impl std::fmt::Debug for Disturbed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Disturbed")
    }
}

#[derive(Debug)]
struct Tree {
    nodes: HashMap<u64, Node>,
    next: u64,
    /// The number of a removed directory, which the next one gets, as on ext4.
    reused: Option<u64>,
    /// Calls that fail, by operation, with the number of times.
    faults: HashMap<&'static str, (Cause, usize)>,
    /// Bytes that are free.
    free: u64,
}

const ROOT: u64 = 1;
const FSID: u64 = 42;

impl FileSystem {
    pub(crate) fn new() -> Arc<Self> {
        let mut tree = Tree {
            nodes: HashMap::new(),
            next: ROOT,
            reused: None,
            faults: HashMap::new(),
            free: 1 << 40,
        };
        tree.add(Kind::Directory, 0o777, Vec::new());
        Arc::new(Self {
            inner: Mutex::new(tree),
            disturbed: Disturbed::default(),
            held: tokio::sync::watch::Sender::new(None),
            half: tokio::sync::watch::Sender::new(None),
        })
    }

    /// Holds back writes of files with this text until [`FileSystem::let_go`].
    pub(crate) fn hold(&self, text: &'static str) {
        self.held.send_replace(Some(text));
    }

    pub(crate) fn let_go(&self) {
        self.held.send_replace(None);
    }

    /// Holds back writes of files with this text once their temporary file is there; `None` lets
    /// them go.
    pub(crate) fn hold_half(&self, text: Option<&'static str>) {
        self.half.send_replace(text);
    }

    /// Every path in the state directory.
    pub(crate) fn state(&self) -> Vec<String> {
        let tree = self.inner.lock().unwrap();
        let mut found = BTreeMap::new();
        tree.walk(ROOT, "", &mut found);
        let paths = found.into_keys();
        paths
            .filter(|path| path.starts_with(".claimcheck"))
            .collect()
    }

    /// Somebody else acts just before the next call of an operation.
    pub(crate) fn before(
        &self,
        operation: &'static str,
        act: impl FnOnce(&FileSystem) + Send + 'static,
    ) {
        let mut disturbed = self.disturbed.0.lock().unwrap();
        disturbed.insert(operation, Box::new(act));
    }

    /// Makes a directory with this mode, as somebody else or a repeated request does.
    pub(crate) fn make(&self, path: &str, mode: u32) {
        let path = RelativePath::parse(path).unwrap();
        self.inner
            .lock()
            .unwrap()
            .make_directory(&path, mode)
            .unwrap();
    }

    /// Renames a directory.
    pub(crate) fn rename(&self, from: &str, to: &str) {
        let [from, to] = [from, to].map(|path| RelativePath::parse(path).unwrap());
        self.inner.lock().unwrap().rename_over(&from, &to).unwrap();
    }

    /// Lets an operation fail so many times.
    pub(crate) fn fail(&self, operation: &'static str, cause: Cause, times: usize) {
        self.inner
            .lock()
            .unwrap()
            .faults
            .insert(operation, (cause, times));
    }

    /// Leaves so many bytes free.
    pub(crate) fn set_free(&self, bytes: u64) {
        self.inner.lock().unwrap().free = bytes;
    }

    /// Mode, owner and group.
    pub(crate) fn attributes(&self, path: &str) -> (u32, u32, u32) {
        let path = RelativePath::parse(path).unwrap();
        let tree = self.inner.lock().unwrap();
        let stat = tree.stat(tree.find(&path).unwrap().unwrap());
        (stat.mode, stat.uid, stat.gid)
    }

    /// Writes a file, with the directories above it.
    pub(crate) fn put(&self, path: &str, content: &str) {
        let mut tree = self.inner.lock().unwrap();
        let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut at = ROOT;
        for part in parents.split('/').filter(|part| !part.is_empty()) {
            at = match tree.nodes[&at].children.get(part) {
                Some(child) => *child,
                None => tree.link(at, part, Kind::Directory, 0o755, Vec::new()),
            };
        }
        tree.link(at, name, Kind::File, 0o644, content.as_bytes().to_vec());
    }

    /// Every path with its kind, mode and content, without the state directory.
    pub(crate) fn listing(&self) -> BTreeMap<String, String> {
        let tree = self.inner.lock().unwrap();
        let mut found = BTreeMap::new();
        tree.walk(ROOT, "", &mut found);
        found
            .into_iter()
            .filter(|(path, _)| !path.starts_with(".claimcheck"))
            .collect()
    }

    /// The paths of records, with their content.
    pub(crate) fn records(&self) -> BTreeMap<String, serde_json::Value> {
        let tree = self.inner.lock().unwrap();
        let mut found = BTreeMap::new();
        tree.walk(ROOT, "", &mut found);
        found
            .into_iter()
            .filter(|(path, _)| path.contains("/records/") && !path.contains(".tmp-"))
            .map(|(path, text)| {
                let json = text.split_once(": ").unwrap().1;
                (
                    path.rsplit_once('/').unwrap().1.to_owned(),
                    serde_json::from_str(json).unwrap(),
                )
            })
            .collect()
    }

    /// Whether the volumes that were there at the first start are taken over: what comes later is
    /// left alone.
    pub(crate) fn is_taken_over(&self) -> bool {
        let tree = self.inner.lock().unwrap();
        let mut found = BTreeMap::new();
        tree.walk(ROOT, "", &mut found);
        found.keys().any(|path| path.ends_with("/taken-over"))
    }

    /// What is in the trash.
    pub(crate) fn trash(&self) -> Vec<String> {
        let tree = self.inner.lock().unwrap();
        let mut found = BTreeMap::new();
        tree.walk(ROOT, "", &mut found);
        found
            .into_keys()
            .filter(|path| path.contains("/trash/"))
            .collect()
    }

    /// Removes a directory as an administrator may; the next one made gets its number.
    pub(crate) fn remove_and_reuse(&self, path: &str) {
        let found = RelativePath::parse(path).unwrap();
        let id = self.inner.lock().unwrap().find(&found).unwrap();
        self.remove(path);
        self.inner.lock().unwrap().reused = id;
    }

    /// Removes a path and all below it, as an administrator may.
    pub(crate) fn remove(&self, path: &str) {
        let mut tree = self.inner.lock().unwrap();
        let path = RelativePath::parse(path).unwrap();
        let parent = tree.find(&path.parent().unwrap()).unwrap().unwrap();
        tree.nodes
            .get_mut(&parent)
            .unwrap()
            .children
            .remove(path.leaf().unwrap().as_str());
    }
}

impl Tree {
    fn add(&mut self, kind: Kind, mode: u32, content: Vec<u8>) -> u64 {
        let reused = if kind == Kind::Directory {
            self.reused.take()
        } else {
            None
        };
        let id = reused.unwrap_or(self.next);
        self.next += u64::from(reused.is_none());
        self.nodes.insert(
            id,
            Node {
                kind,
                mode,
                uid: 0,
                gid: 0,
                content,
                children: BTreeMap::new(),
            },
        );
        id
    }

    fn link(&mut self, parent: u64, name: &str, kind: Kind, mode: u32, content: Vec<u8>) -> u64 {
        let id = self.add(kind, mode, content);
        self.nodes
            .get_mut(&parent)
            .unwrap()
            .children
            .insert(name.to_owned(), id);
        id
    }

    /// The node at a path; an error when a component above it is no directory.
    fn find(&self, path: &RelativePath) -> Result<Option<u64>, Cause> {
        let mut at = ROOT;
        for component in path.components() {
            let node = &self.nodes[&at];
            if node.kind != Kind::Directory {
                return Err(Cause::NotADirectory);
            }
            match node.children.get(component.as_str()) {
                Some(child) => at = *child,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    fn existing(&self, path: &RelativePath) -> Result<u64, Cause> {
        self.find(path)?.ok_or(Cause::NotFound)
    }

    fn parent(&self, path: &RelativePath) -> Result<(u64, String), Cause> {
        let parent = self.existing(&path.parent().unwrap())?;
        Ok((parent, path.leaf().unwrap().to_string()))
    }

    fn stat(&self, id: u64) -> Stat {
        let node = &self.nodes[&id];
        Stat {
            identity: Identity {
                fsid: FSID,
                fileid: id,
            },
            kind: node.kind,
            mode: node.mode,
            uid: node.uid,
            gid: node.gid,
            size: node.content.len() as u64,
        }
    }

    fn walk(&self, id: u64, path: &str, found: &mut BTreeMap<String, String>) {
        for (name, child) in &self.nodes[&id].children {
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}/{name}")
            };
            let node = &self.nodes[child];
            let content = String::from_utf8_lossy(&node.content);
            let text = match node.kind {
                Kind::Directory => format!("directory {:o}", node.mode),
                _ => format!("file: {content}"),
            };
            found.insert(path.clone(), text);
            self.walk(*child, &path, found);
        }
    }

    fn make_directory(&mut self, path: &RelativePath, mode: u32) -> Result<u64, Cause> {
        let (parent, name) = self.parent(path)?;
        if self.nodes[&parent].kind != Kind::Directory {
            return Err(Cause::NotADirectory);
        }
        if self.nodes[&parent].children.contains_key(&name) {
            return Err(Cause::AlreadyExists);
        }
        Ok(self.link(parent, &name, Kind::Directory, mode, Vec::new()))
    }

    fn unlink(&mut self, path: &RelativePath) -> Result<(), Cause> {
        let (parent, name) = self.parent(path)?;
        self.nodes.get_mut(&parent).unwrap().children.remove(&name);
        Ok(())
    }

    fn rename_over(&mut self, from: &RelativePath, to: &RelativePath) -> Result<(), Cause> {
        let moved = self.existing(from)?;
        if let Some(target) = self.find(to)?
            && !self.nodes[&target].children.is_empty()
        {
            return Err(Cause::NotEmpty);
        }
        let (parent, name) = self.parent(to)?;
        self.unlink(from)?;
        self.nodes
            .get_mut(&parent)
            .unwrap()
            .children
            .insert(name, moved);
        Ok(())
    }
}

/// A backend over a [`FileSystem`] that ends with its [`Steps`].
pub(crate) struct Memory {
    pub(crate) files: Arc<FileSystem>,
    pub(crate) steps: Arc<Steps>,
}

impl Memory {
    fn now<T>(
        &self,
        operation: &'static str,
        path: &RelativePath,
        call: impl FnOnce(&mut Tree) -> Result<T, Cause>,
    ) -> StorageResult<T> {
        let mut tree = self.files.inner.lock().unwrap();
        let fault = match tree.faults.get_mut(operation) {
            Some((cause, times)) if *times > 0 => {
                *times -= 1;
                Err(*cause)
            }
            _ => Ok(()),
        };
        fault
            .and_then(|()| call(&mut tree))
            .map_err(|cause| StorageError {
                operation,
                path: format!("/{path}"),
                cause,
                certainty: Certainty::Definite,
                detail: String::new(),
            })
    }

    async fn change<T>(
        &self,
        operation: &'static str,
        path: &RelativePath,
        call: impl FnOnce(&mut Tree) -> Result<T, Cause>,
    ) -> StorageResult<T> {
        self.steps.take().await;
        let disturbance = self.files.disturbed.0.lock().unwrap().remove(operation);
        if let Some(act) = disturbance {
            act(&self.files);
        }
        self.now(operation, path, call)
    }
}

#[async_trait]
impl Backend for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn stat(&self, path: &RelativePath, _limit: Duration) -> StorageResult<Option<Stat>> {
        self.now("stat", path, |tree| {
            Ok(tree.find(path)?.map(|id| tree.stat(id)))
        })
    }

    async fn list(&self, path: &RelativePath, _limit: Duration) -> StorageResult<Vec<Entry>> {
        self.now("list", path, |tree| {
            let id = tree.existing(path)?;
            let children = tree.nodes[&id].children.iter();
            Ok(children
                .map(|(name, child)| Entry {
                    name: name.clone(),
                    stat: tree.stat(*child),
                })
                .collect())
        })
    }

    async fn make_directory(
        &self,
        path: &RelativePath,
        mode: u32,
        _limit: Duration,
    ) -> StorageResult<Identity> {
        self.change("mkdir", path, |tree| {
            Ok(Identity {
                fsid: FSID,
                fileid: tree.make_directory(path, mode)?,
            })
        })
        .await
    }

    async fn set_attributes(
        &self,
        path: &RelativePath,
        attributes: Attributes,
        _limit: Duration,
    ) -> StorageResult<()> {
        self.change("setattr", path, |tree| {
            let id = tree.existing(path)?;
            let node = tree.nodes.get_mut(&id).unwrap();
            node.mode = attributes.mode.unwrap_or(node.mode);
            node.uid = attributes.uid.unwrap_or(node.uid);
            node.gid = attributes.gid.unwrap_or(node.gid);
            Ok(())
        })
        .await
    }

    async fn rename_directory(
        &self,
        from: &RelativePath,
        to: &RelativePath,
        _limit: Duration,
    ) -> StorageResult<()> {
        self.change("reserve", to, |tree| tree.make_directory(to, 0o700))
            .await?;
        self.change("rename", from, |tree| tree.rename_over(from, to))
            .await
    }

    async fn remove_directory(&self, path: &RelativePath, _limit: Duration) -> StorageResult<()> {
        self.change("rmdir", path, |tree| {
            let id = tree.existing(path)?;
            if tree.nodes[&id].children.is_empty() {
                tree.unlink(path)
            } else {
                Err(Cause::NotEmpty)
            }
        })
        .await
    }

    async fn remove_tree(&self, path: &RelativePath, stall: Duration) -> StorageResult<()> {
        // Depth first, one entry a step, so that it can stop half-way.
        let Some(stat) = self.stat(path, stall).await? else {
            return Ok(());
        };
        if stat.kind == Kind::Directory {
            for entry in self.list(path, stall).await? {
                let below = RelativePath::parse(&format!("{path}/{}", entry.name)).unwrap();
                self.remove_tree(&below, stall).await?;
            }
        }
        self.change("remove", path, |tree| tree.unlink(path)).await
    }

    async fn read_file(
        &self,
        path: &RelativePath,
        _limit: Duration,
    ) -> StorageResult<Option<Vec<u8>>> {
        self.now("read", path, |tree| {
            Ok(tree.find(path)?.map(|id| tree.nodes[&id].content.clone()))
        })
    }

    async fn write_file(
        &self,
        path: &RelativePath,
        content: &[u8],
        _limit: Duration,
    ) -> StorageResult<()> {
        let (_, leaf) = (path.parent(), path.leaf().unwrap());
        let text = String::from_utf8_lossy(content);
        let mut held = self.files.held.subscribe();
        held.wait_for(|held| held.is_none_or(|held| !text.contains(held)))
            .await
            .unwrap();
        let draft = format!(".tmp-{leaf}");
        self.change("write", path, |tree| {
            let (parent, _) = tree.parent(path)?;
            tree.link(parent, &draft, Kind::File, 0o600, content.to_vec());
            Ok(())
        })
        .await?;
        let mut half = self.files.half.subscribe();
        half.wait_for(|half| half.is_none_or(|half| !text.contains(half)))
            .await
            .unwrap();
        self.change("write", path, |tree| {
            let (parent, name) = tree.parent(path)?;
            let children = &mut tree.nodes.get_mut(&parent).unwrap().children;
            let id = children.remove(&draft).ok_or(Cause::NotFound)?;
            children.insert(name, id);
            Ok(())
        })
        .await
    }

    async fn remove_file(&self, path: &RelativePath, _limit: Duration) -> StorageResult<()> {
        self.change("unlink", path, |tree| tree.unlink(path)).await
    }

    async fn space(&self, _limit: Duration) -> StorageResult<Space> {
        Ok(Space {
            bytes_free: self.files.inner.lock().unwrap().free,
            inodes_free: 1 << 20,
        })
    }
}
