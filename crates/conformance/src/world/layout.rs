//! Where volumes lie, as the subject's layout says: from a volume's source to a directory that the
//! suite can look into, and back.
//!
//! With layout `nfs` a directory is relative to the exported path. With `nodeDirectory` the export
//! holds one directory per node, and a directory is the node's name with the rest of the path below.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeSpec};
use kube::ResourceExt;
use serde_json::{Value, json};
use testbed::nfs::view::{ExportView, ViewError};
use testbed::state::{ExportInfo, NodeInfo, State};
use testbed::subject::Layout;

use super::{Ground, World};
use crate::expect;
use crate::trouble::{CaseResult, Trouble};

/// The label that a volume's node affinity goes by.
const HOSTNAME: &str = "kubernetes.io/hostname";

impl Ground {
    /// The places that volumes have at the top of the export: the entries of its root, or of the
    /// directories of all nodes, with the node before each.
    ///
    /// # Errors
    /// The export does not answer.
    pub(crate) async fn entries(&self) -> Result<Vec<String>, ViewError> {
        entries(&self.subject.layout, &self.export).await
    }
}

impl World {
    /// The places that volumes have at the top of the export: the entries of its root, or of the
    /// directories of all nodes, with the node before each.
    ///
    /// # Errors
    /// The export does not answer.
    pub async fn entries(&self) -> Result<Vec<String>, ViewError> {
        self.ground.entries().await
    }

    /// The one of [`World::entries`] that holds `directory`.
    pub fn entry_of<'d>(&self, directory: &'d str) -> &'d str {
        entry_of(&self.subject().layout, directory)
    }

    /// What the subject itself calls `directory`: the path without the node that it is on.
    pub fn own_path<'d>(&self, directory: &'d str) -> &'d str {
        own_path(&self.subject().layout, directory)
    }

    /// Whether `directory` is no directory of a volume but what holds them all: the export's root,
    /// or the directory of a node.
    pub fn is_root(&self, directory: &str) -> bool {
        is_root(&self.subject().layout, directory)
    }

    /// The node whose pods alone reach `directory`; `None` where every node's do.
    pub fn node_of(&self, directory: &str) -> Option<&NodeInfo> {
        let Layout::NodeDirectory { .. } = self.subject().layout else {
            return None;
        };
        let node = directory.split('/').next().unwrap_or_default();
        let nodes = &self.testbed().cluster.nodes;
        nodes.iter().find(|info| info.name == node)
    }

    /// Two nodes whose pods reach `directory`: two different ones where there are such, else the
    /// same one twice.
    ///
    /// # Errors
    /// Inconclusive when the testbed has no node for pods.
    pub fn nodes_for(&self, directory: &str) -> CaseResult<(&NodeInfo, &NodeInfo)> {
        if let Some(node) = self.node_of(directory) {
            return Ok((node, node));
        }
        let workers = self.workers();
        match (workers.first(), workers.last()) {
            (Some(first), Some(last)) => Ok((first, last)),
            _ => Err(Trouble::inconclusive(
                "the testbed has no node for pods; `--cluster kind` has some",
            )),
        }
    }

    /// Where the suite itself may put a directory called `name`, at the top of the export: with
    /// volumes on nodes, on the first of those that pods run on.
    pub fn place_for(&self, name: &str) -> String {
        let places = self.places_for(name);
        places.into_iter().next().unwrap_or_else(|| name.to_owned())
    }

    /// Where the subject may put a directory called `name`, at the top of the export: with volumes
    /// on nodes, on any that pods run on.
    pub fn places_for(&self, name: &str) -> Vec<String> {
        match self.subject().layout {
            Layout::Nfs => vec![name.to_owned()],
            Layout::NodeDirectory { .. } => {
                let workers = self.workers().into_iter();
                workers
                    .map(|node| format!("{}/{name}", node.name))
                    .collect()
            }
        }
    }

    /// The part of a volume's `spec` that names `directory`: its source, and its node affinity where
    /// the layout needs one. For volumes that the suite makes by hand, as the subject would.
    pub fn source_of(&self, directory: &str) -> Value {
        source_of(&self.subject().layout, &self.testbed().export, directory)
    }
}

/// See [`World::entries`].
async fn entries(layout: &Layout, export: &ExportView) -> Result<Vec<String>, ViewError> {
    let top = export.list("").await?;
    if *layout == Layout::Nfs {
        return Ok(top);
    }
    let mut entries = Vec::new();
    for node in top {
        let below = export.list(&node).await?;
        entries.extend(below.into_iter().map(|name| format!("{node}/{name}")));
    }
    Ok(entries)
}

/// See [`World::own_path`].
fn own_path<'d>(layout: &Layout, directory: &'d str) -> &'d str {
    match layout {
        Layout::Nfs => directory,
        Layout::NodeDirectory { .. } => directory.split_once('/').map_or("", |(_, below)| below),
    }
}

fn entry_of<'d>(layout: &Layout, directory: &'d str) -> &'d str {
    let depth = match layout {
        Layout::Nfs => 1,
        Layout::NodeDirectory { .. } => 2,
    };
    let end = directory.match_indices('/').nth(depth - 1);
    end.map_or(directory, |(at, _)| &directory[..at])
}

fn source_of(layout: &Layout, export: &ExportInfo, directory: &str) -> Value {
    match layout {
        Layout::Nfs => {
            let path = format!("{}/{directory}", export.path.trim_end_matches('/'));
            json!({"nfs": {"server": export.server, "path": path}})
        }
        Layout::NodeDirectory { path } => {
            let (node, below) = directory.split_once('/').unwrap_or((directory, ""));
            json!({
                "hostPath": {"path": format!("{path}/{below}")},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                    {"key": HOSTNAME, "operator": "In", "values": [node]},
                ]}]}},
            })
        }
    }
}

/// Whether `directory` is no directory of a volume but what holds them all.
pub(super) fn is_root(layout: &Layout, directory: &str) -> bool {
    match layout {
        Layout::Nfs => directory.is_empty(),
        Layout::NodeDirectory { .. } => !directory.contains('/'),
    }
}

/// The directory that a volume's source names, relative to the root of the export.
///
/// # Errors
/// Failed when the source is of another kind than the layout says, on another server or node, or
/// outside of what the layout names.
pub(super) fn directory_of(
    volume: &PersistentVolume,
    layout: &Layout,
    testbed: &State,
) -> CaseResult<String> {
    let spec = volume.spec.as_ref();
    let (expected, found) = match layout {
        Layout::Nfs => {
            let export = &testbed.export;
            let expected = format!(
                "an nfs path on the export {}:{}",
                export.server, export.path
            );
            (expected, on_export(spec, export))
        }
        Layout::NodeDirectory { path } => {
            let nodes = &testbed.cluster.nodes;
            let nodes: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
            let expected = format!(
                "a path below {path} of one of the nodes {}",
                nodes.join(", ")
            );
            (expected, on_node(spec, path.as_str(), &nodes))
        }
    };
    found.map_err(|observed| {
        let expected = format!("the source of volume {} is {expected}", volume.name_any());
        Trouble::failed(expected, observed).with_evidence(expect::text(volume))
    })
}

/// The directory below the export; else what is wrong with the source.
fn on_export(spec: Option<&PersistentVolumeSpec>, export: &ExportInfo) -> Result<String, String> {
    let Some(nfs) = spec.and_then(|spec| spec.nfs.as_ref()) else {
        return Err("it has no nfs source".to_owned());
    };
    if nfs.server != export.server {
        return Err(format!("its server is {:?}", nfs.server));
    }
    below(&nfs.path, export.path.trim_end_matches('/'))
        .ok_or_else(|| format!("its path is {:?}", nfs.path))
}

/// The directory below those of the nodes; else what is wrong with the source.
fn on_node(
    spec: Option<&PersistentVolumeSpec>,
    root: &str,
    nodes: &[&str],
) -> Result<String, String> {
    let host_path = spec.and_then(|spec| Some(&spec.host_path.as_ref()?.path));
    let local = spec.and_then(|spec| Some(&spec.local.as_ref()?.path));
    let Some(path) = host_path.or(local) else {
        return Err("it has neither a hostPath nor a local source".to_owned());
    };
    let Some(rest) = below(path, root) else {
        return Err(format!("its path is {path:?}"));
    };
    let affinity = spec.and_then(|spec| spec.node_affinity.as_ref()?.required.as_ref());
    let terms = affinity.map_or(&[][..], |required| &required.node_selector_terms[..]);
    let named: Vec<&str> = terms
        .iter()
        .flat_map(|term| term.match_expressions.iter().flatten())
        .filter(|rule| rule.key == HOSTNAME && rule.operator == "In")
        .flat_map(|rule| rule.values.iter().flatten())
        .map(String::as_str)
        .collect();
    match named[..] {
        [node] if nodes.contains(&node) => {
            Ok(format!("{node}/{rest}").trim_matches('/').to_owned())
        }
        _ => Err(format!("its node affinity names the nodes {named:?}")),
    }
}

/// The rest of `path` below `root`, without slashes around it.
fn below(path: &str, root: &str) -> Option<String> {
    let rest = path.strip_prefix(root)?;
    let inside = rest.is_empty() || rest.starts_with('/');
    let escapes = rest.split('/').any(|part| part == "..");
    (inside && !escapes).then(|| rest.trim_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;
    use rstest::rstest;
    use testbed::nfs::{EmbeddedExport, ExportOptions, ExportTarget};

    use super::*;

    fn export() -> ExportInfo {
        ExportInfo {
            server: "10.0.0.1".to_owned(),
            path: "/export".to_owned(),
            port: 2049,
            mount_port: 20048,
            directory: "/srv".into(),
            container: None,
        }
    }

    fn nodes() -> Layout {
        Layout::NodeDirectory {
            path: "/opt/volumes".into(),
        }
    }

    fn spec(spec: &Value) -> PersistentVolumeSpec {
        serde_json::from_value(spec.clone()).unwrap()
    }

    fn nfs(server: &str, path: &str) -> Value {
        json!({"nfs": {"server": server, "path": path}})
    }

    #[rstest]
    #[case(nfs("10.0.0.1", "/export/a/b"), Ok("a/b"))]
    #[case(nfs("10.0.0.1", "/export"), Ok(""))]
    #[case(nfs("10.0.0.1", "/exports/a"), Err("its path is \"/exports/a\""))]
    #[case(nfs("10.0.0.1", "/export/../a"), Err("its path is \"/export/../a\""))]
    #[case(nfs("10.0.0.2", "/export/a"), Err("its server is \"10.0.0.2\""))]
    #[case(json!({"hostPath": {"path": "/export/a"}}), Err("it has no nfs source"))]
    fn an_nfs_source_below_the_export_gives_its_relative_directory(
        #[case] source: Value,
        #[case] expected: Result<&str, &str>,
    ) {
        let found = on_export(Some(&spec(&source)), &export());
        assert_eq!(found.as_deref().map_err(String::as_str), expected);
    }

    fn on(source: &str, path: &str, nodes: &[&str]) -> Value {
        json!({
            source: {"path": path},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": nodes},
            ]}]}},
        })
    }

    #[rstest]
    #[case(on("hostPath", "/opt/volumes/a/b", &["w1"]), Ok("w1/a/b"))]
    #[case(on("local", "/opt/volumes/a", &["w2"]), Ok("w2/a"))]
    #[case(on("hostPath", "/opt/volumes", &["w1"]), Ok("w1"))]
    #[case(on("hostPath", "/etc", &["w1"]), Err("its path is \"/etc\""))]
    #[case(
        on("hostPath", "/opt/volumes/../x", &["w1"]),
        Err("its path is \"/opt/volumes/../x\"")
    )]
    #[case(
        on("hostPath", "/opt/volumes/a", &["w1", "w2"]),
        Err("its node affinity names the nodes [\"w1\", \"w2\"]")
    )]
    #[case(
        on("hostPath", "/opt/volumes/a", &["w9"]),
        Err("its node affinity names the nodes [\"w9\"]")
    )]
    #[case(
        json!({"hostPath": {"path": "/opt/volumes/a"}}),
        Err("its node affinity names the nodes []")
    )]
    #[case(
        nfs("10.0.0.1", "/opt/volumes/a"),
        Err("it has neither a hostPath nor a local source")
    )]
    fn a_source_on_a_node_gives_the_node_and_the_rest(
        #[case] source: Value,
        #[case] expected: Result<&str, &str>,
    ) {
        let found = on_node(Some(&spec(&source)), "/opt/volumes", &["w1", "w2"]);
        assert_eq!(found.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn a_source_made_for_a_directory_leads_back_to_it() {
        let source = source_of(&Layout::Nfs, &export(), "a/b");
        let back = on_export(Some(&spec(&source)), &export());
        assert_eq!(back.as_deref(), Ok("a/b"));
        let source = source_of(&nodes(), &export(), "w1/a/b");
        let back = on_node(Some(&spec(&source)), "/opt/volumes", &["w1"]);
        assert_eq!(back.as_deref(), Ok("w1/a/b"));
    }

    #[test]
    fn the_top_of_a_directory_is_deeper_with_nodes() {
        assert_eq!(entry_of(&Layout::Nfs, "a/b/c"), "a");
        assert_eq!(entry_of(&Layout::Nfs, "a"), "a");
        assert_eq!(entry_of(&nodes(), "w1/a/b"), "w1/a");
        assert_eq!(entry_of(&nodes(), "w1"), "w1");
        assert!(is_root(&Layout::Nfs, "") && !is_root(&Layout::Nfs, "a"));
        assert!(is_root(&nodes(), "w1") && !is_root(&nodes(), "w1/a"));
    }

    #[test]
    fn the_subject_knows_a_directory_without_its_node() {
        assert_eq!(own_path(&Layout::Nfs, "a/b"), "a/b");
        assert_eq!(own_path(&nodes(), "w1/a/b"), "a/b");
        assert_eq!(own_path(&nodes(), "w1"), "");
    }

    #[tokio::test]
    async fn the_entries_are_those_of_the_root_or_of_all_nodes_by_the_layout() {
        let directory = tempfile::tempdir().unwrap();
        for volume in ["w1/a/inside", "w1/.hidden", "w2/b"] {
            fs_err::create_dir_all(directory.path().join(volume)).unwrap();
        }
        let options = ExportOptions {
            directory: Utf8Path::from_path(directory.path()).unwrap().to_owned(),
            export_path: "/export".to_owned(),
            bind: ([127, 0, 0, 1], 0).into(),
            root_squash: false,
        };
        let server = EmbeddedExport::start(options).await.unwrap();
        let view = ExportView::new(ExportTarget {
            host: "127.0.0.1".to_owned(),
            port: server.port(),
            mount_port: server.port(),
            path: "/export".to_owned(),
            directory: None,
        });
        let mut at_root = entries(&Layout::Nfs, &view).await.unwrap();
        at_root.sort();
        assert_eq!(at_root, ["w1", "w2"]);
        let mut on_nodes = entries(&nodes(), &view).await.unwrap();
        on_nodes.sort();
        assert_eq!(on_nodes, ["w1/.hidden", "w1/a", "w2/b"]);
    }
}
