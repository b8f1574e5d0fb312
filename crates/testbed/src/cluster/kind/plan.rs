//! What a cluster will consist of, known before anything is started.

use camino::{Utf8Path, Utf8PathBuf};

use crate::docker;

/// The nodes of a cluster, with the names that kind gives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// The cluster's name for kind.
    pub(super) cluster: String,
    /// Its nodes: the control plane's first.
    pub(super) nodes: Vec<PlannedNode>,
}

/// A node to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlannedNode {
    /// Its name, which is its container's too.
    pub(super) name: String,
    /// Whether it runs the control plane.
    pub(super) control_plane: bool,
    /// The directory of this machine that is its own.
    pub(super) directory: Utf8PathBuf,
}

impl Plan {
    /// The plan for a testbed. The nodes' names are labels of host names, however long its own is.
    pub(super) fn new(testbed: &str, directory: &Utf8Path, workers: usize) -> Self {
        let cluster = docker::resource_name(testbed, directory);
        let nodes: Vec<_> = std::iter::once("control-plane".to_owned())
            .chain((1..=workers).map(|number| match number {
                1 => "worker".to_owned(),
                _ => format!("worker{number}"),
            }))
            .enumerate()
            .map(|(index, suffix)| {
                let name = format!("{cluster}-{suffix}");
                PlannedNode {
                    directory: directory.join("nodes").join(&name),
                    control_plane: index == 0,
                    name,
                }
            })
            .collect();
        Self { cluster, nodes }
    }

    /// Names of the nodes, the control plane's first.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(|node| node.name.as_str())
    }

    /// Name of the node that runs the control plane.
    pub(super) fn control_plane(&self) -> &str {
        &self.nodes[0].name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_named_as_kind_names_them() {
        let plan = Plan::new("default", Utf8Path::new("/bed"), 3);
        let suffixes: Vec<_> = plan
            .names()
            .map(|name| name.strip_prefix(&plan.cluster).unwrap())
            .collect();
        assert_eq!(
            suffixes,
            ["-control-plane", "-worker", "-worker2", "-worker3"]
        );
        assert!(plan.nodes[0].control_plane && !plan.nodes[1].control_plane);
        assert_eq!(
            plan.nodes[1].directory,
            format!("/bed/nodes/{}-worker", plan.cluster)
        );
    }

    #[test]
    fn the_longest_name_of_a_testbed_makes_host_names_that_are_not_too_long() {
        let name = "x".repeat(40);
        assert!(crate::artifacts::valid_name(&name));
        let plan = Plan::new(&name, Utf8Path::new("/bed"), 9);
        assert_eq!(plan.names().map(str::len).max(), Some(63));
    }
}
