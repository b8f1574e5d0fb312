//! The tools a cluster needs, by name.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;

/// A binary of the control plane, of a node, or of what stands in for nodes and cluster DNS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tool {
    /// The store behind the API server.
    Etcd,
    /// The API server.
    KubeApiserver,
    /// The built-in controllers: binding of claims, `StatefulSet`s, namespaces, garbage collection.
    KubeControllerManager,
    /// The scheduler, which also chooses the node of a claim that waits for its first consumer.
    KubeScheduler,
    /// The command line client.
    Kubectl,
    /// Simulates nodes and the pods on them.
    Kwok,
    /// Cluster DNS.
    Coredns,
    /// Runs clusters whose nodes are containers.
    Kind,
    /// Runs the pods of a node.
    Kubelet,
    /// Makes the first node a control plane and lets the others join it.
    Kubeadm,
    /// Makes the addresses of services reachable on a node.
    KubeProxy,
    /// The container runtime of a node.
    Containerd,
    /// What containerd starts for each pod; containerd finds it by this name.
    #[serde(rename = "containerd-shim-runc-v2")]
    ContainerdShim,
    /// Containerd's own command line client, which loads images into a node.
    Ctr,
    /// Renders and installs charts.
    Helm,
}

/// A word that names no tool.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{word}` is no tool{suggestion}; the tools are {}", names())]
pub struct UnknownTool {
    word: String,
    suggestion: String,
}

fn names() -> String {
    Tool::ALL.map(Tool::name).join(", ")
}

impl Tool {
    /// All tools, in the order in which they are listed and built.
    pub const ALL: [Self; 15] = [
        Self::Etcd,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::Kubectl,
        Self::Kwok,
        Self::Coredns,
        Self::Kind,
        Self::Kubelet,
        Self::Kubeadm,
        Self::KubeProxy,
        Self::Containerd,
        Self::ContainerdShim,
        Self::Ctr,
        Self::Helm,
    ];

    /// What a `local` cluster runs: a control plane, simulated nodes and cluster DNS.
    pub const LOCAL: [Self; 6] = [
        Self::Etcd,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::Kwok,
        Self::Coredns,
    ];

    /// What a `kind` cluster needs on this machine when the node image is there or can be pulled.
    pub const KIND: [Self; 1] = [Self::Kind];

    /// What goes into a node image that is built here.
    pub const NODE_IMAGE: [Self; 12] = [
        Self::Etcd,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::Kubectl,
        Self::Coredns,
        Self::Kubelet,
        Self::Kubeadm,
        Self::KubeProxy,
        Self::Containerd,
        Self::ContainerdShim,
        Self::Ctr,
    ];

    /// What renders and installs the packages in `deploy`: charts, and overlays of kustomize, which
    /// is part of kubectl.
    pub const PACKAGING: [Self; 2] = [Self::Kubectl, Self::Helm];

    /// The name of the binary, as its project ships it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubectl => "kubectl",
            Self::Kwok => "kwok",
            Self::Coredns => "coredns",
            Self::Kind => "kind",
            Self::Kubelet => "kubelet",
            Self::Kubeadm => "kubeadm",
            Self::KubeProxy => "kube-proxy",
            Self::Containerd => "containerd",
            Self::ContainerdShim => "containerd-shim-runc-v2",
            Self::Ctr => "ctr",
            Self::Helm => "helm",
        }
    }

    /// The environment variable that gives the path of this tool, for instance
    /// `CLAIMCHECK_TOOL_KUBE_APISERVER`.
    pub fn variable(self) -> String {
        format!(
            "CLAIMCHECK_TOOL_{}",
            self.name().to_uppercase().replace('-', "_")
        )
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Tool {
    type Err = UnknownTool;

    /// Reads a tool's name.
    ///
    /// # Errors
    /// When no tool has this name; the error suggests the nearest one.
    fn from_str(word: &str) -> Result<Self, Self::Err> {
        if let Some(tool) = Self::ALL.into_iter().find(|tool| tool.name() == word) {
            return Ok(tool);
        }
        let suggestion = Self::ALL
            .into_iter()
            .map(|tool| (strsim::jaro_winkler(tool.name(), word), tool))
            .filter(|(likeness, _)| *likeness > 0.8)
            .max_by(|left, right| left.0.total_cmp(&right.0))
            .map_or_else(String::new, |(_, tool)| format!(", did you mean `{tool}`?"));
        Err(UnknownTool {
            word: word.to_owned(),
            suggestion,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_is_found_by_its_name() {
        for tool in Tool::ALL {
            assert_eq!(tool.name().parse::<Tool>(), Ok(tool));
        }
    }

    #[test]
    fn the_name_in_json_is_the_name() {
        for tool in Tool::ALL {
            assert_eq!(serde_json::to_value(tool).unwrap(), tool.name());
        }
    }

    #[test]
    fn every_tool_is_for_something() {
        let lists = [
            Tool::LOCAL.as_slice(),
            Tool::KIND.as_slice(),
            Tool::NODE_IMAGE.as_slice(),
            Tool::PACKAGING.as_slice(),
        ];
        for tool in Tool::ALL {
            assert!(lists.iter().any(|list| list.contains(&tool)), "{tool}");
        }
    }

    #[test]
    fn a_misspelt_tool_is_refused_with_a_suggestion() {
        let text = "kube-apiservr".parse::<Tool>().unwrap_err().to_string();
        assert!(text.contains("did you mean `kube-apiserver`?"), "{text}");
        let text = "zzz".parse::<Tool>().unwrap_err().to_string();
        assert!(!text.contains("did you mean"), "{text}");
    }

    #[test]
    fn the_variable_of_a_tool_has_no_hyphen() {
        assert_eq!(
            Tool::KubeControllerManager.variable(),
            "CLAIMCHECK_TOOL_KUBE_CONTROLLER_MANAGER"
        );
    }
}
