//! The Go modules in `kind/tools`, and how a tool is built from its own.

use super::tool::Tool;
use super::versions::{CONTAINERD, HELM, KUBERNETES, KWOK};

/// A Go module that pins a tool, and how to build the tool from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GoModule {
    /// The module that is required, and whose version is the tool's.
    pub(crate) requires: &'static str,
    /// The package of the command.
    pub(crate) package: String,
    pub(crate) go_mod: &'static str,
    pub(crate) go_sum: &'static str,
    /// Variables stamped at link time, package path and value.
    pub(crate) stamps: Vec<(String, String)>,
}

impl GoModule {
    /// The value of `-ldflags`: no symbol table, no debug information, and the stamps.
    pub(crate) fn ldflags(&self) -> String {
        self.stamps
            .iter()
            .fold("-s -w".to_owned(), |flags, (variable, value)| {
                format!("{flags} -X {variable}={value}")
            })
    }
}

/// The Go module of a tool. The files are part of the program, so that an installed `claimcheck`
/// builds without its repository.
pub(crate) fn module(tool: Tool) -> GoModule {
    match tool {
        Tool::Etcd => GoModule {
            requires: "go.etcd.io/etcd/server/v3",
            package: "go.etcd.io/etcd/server/v3".to_owned(),
            go_mod: include_str!("../../../../kind/tools/etcd/go.mod"),
            go_sum: include_str!("../../../../kind/tools/etcd/go.sum"),
            // The version is a constant in its source.
            stamps: Vec::new(),
        },
        Tool::KubeApiserver
        | Tool::KubeControllerManager
        | Tool::KubeScheduler
        | Tool::Kubectl
        | Tool::Kubelet
        | Tool::Kubeadm
        | Tool::KubeProxy => GoModule {
            requires: "k8s.io/kubernetes",
            package: format!("k8s.io/kubernetes/cmd/{tool}"),
            go_mod: include_str!("../../../../kind/tools/kubernetes/go.mod"),
            go_sum: include_str!("../../../../kind/tools/kubernetes/go.sum"),
            stamps: kubernetes_stamps(),
        },
        Tool::Kwok => GoModule {
            requires: "sigs.k8s.io/kwok",
            package: "sigs.k8s.io/kwok/cmd/kwok".to_owned(),
            go_mod: include_str!("../../../../kind/tools/kwok/go.mod"),
            go_sum: include_str!("../../../../kind/tools/kwok/go.sum"),
            stamps: vec![(
                "sigs.k8s.io/kwok/pkg/consts.Version".to_owned(),
                KWOK.trim_start_matches('v').to_owned(),
            )],
        },
        Tool::Coredns => GoModule {
            requires: "github.com/coredns/coredns",
            package: "github.com/coredns/coredns".to_owned(),
            go_mod: include_str!("../../../../kind/tools/coredns/go.mod"),
            go_sum: include_str!("../../../../kind/tools/coredns/go.sum"),
            // The version is a constant in its source.
            stamps: Vec::new(),
        },
        Tool::Kind => GoModule {
            requires: "sigs.k8s.io/kind",
            package: "sigs.k8s.io/kind".to_owned(),
            go_mod: include_str!("../../../../kind/tools/kind/go.mod"),
            go_sum: include_str!("../../../../kind/tools/kind/go.sum"),
            // The version of a release is a constant in its source; only pre-releases are stamped.
            stamps: Vec::new(),
        },
        Tool::Containerd | Tool::ContainerdShim | Tool::Ctr => GoModule {
            requires: "github.com/containerd/containerd/v2",
            package: format!("github.com/containerd/containerd/v2/cmd/{tool}"),
            go_mod: include_str!("../../../../kind/tools/containerd/go.mod"),
            go_sum: include_str!("../../../../kind/tools/containerd/go.sum"),
            // Else it ends in `+unknown`.
            stamps: vec![(
                "github.com/containerd/containerd/v2/version.Version".to_owned(),
                CONTAINERD.to_owned(),
            )],
        },
        Tool::Helm => GoModule {
            requires: "helm.sh/helm/v4",
            package: "helm.sh/helm/v4/cmd/helm".to_owned(),
            go_mod: include_str!("../../../../kind/tools/helm/go.mod"),
            go_sum: include_str!("../../../../kind/tools/helm/go.sum"),
            stamps: vec![(
                "helm.sh/helm/v4/internal/version.version".to_owned(),
                HELM.to_owned(),
            )],
        },
    }
}

/// Without these an API server says that it is `v0.0.0-master`, and kubeadm and clients that
/// compare versions misbehave. Both packages hold a copy of the variables.
fn kubernetes_stamps() -> Vec<(String, String)> {
    let mut numbers = KUBERNETES.trim_start_matches('v').split('.');
    let major = numbers.next().unwrap_or_default();
    let minor = numbers.next().unwrap_or_default();
    let values = [
        ("gitVersion", KUBERNETES),
        ("gitMajor", major),
        ("gitMinor", minor),
        ("gitTreeState", "archive"),
    ];
    [
        "k8s.io/component-base/version",
        "k8s.io/client-go/pkg/version",
    ]
    .iter()
    .flat_map(|package| {
        values.map(|(variable, value)| (format!("{package}.{variable}"), value.to_owned()))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::versions::version;

    #[test]
    fn the_module_of_every_tool_pins_the_version_that_is_downloaded() {
        for tool in Tool::ALL {
            let module = module(tool);
            let pin = format!("\t{} {} ", module.requires, version(tool));
            let pinned = module.go_mod.lines().any(|line| {
                format!("{line} ").starts_with(&pin)
                    || line == format!("require {} {}", module.requires, version(tool))
            });
            assert!(pinned, "kind/tools pins another {tool} than {pin}");
            let tool_directive = module
                .go_mod
                .lines()
                .any(|line| line.trim_start_matches("tool ").trim() == module.package);
            assert!(tool_directive, "no tool directive for {}", module.package);
            let sum = format!("{} {} h1:", module.requires, version(tool));
            assert!(
                module.go_sum.lines().any(|line| line.starts_with(&sum)),
                "go.sum does not vouch for {tool}"
            );
        }
    }

    #[test]
    fn the_kubernetes_build_is_stamped_with_its_version() {
        let flags = module(Tool::KubeApiserver).ldflags();
        assert!(flags.starts_with("-s -w "), "{flags}");
        for stamp in ["gitVersion=v1.36.3", "gitMajor=1", "gitMinor=36"] {
            assert!(
                flags.contains(&format!("-X k8s.io/component-base/version.{stamp}")),
                "{flags}"
            );
        }
        assert_eq!(module(Tool::Kubelet).ldflags(), flags);
        assert_eq!(
            module(Tool::Ctr).ldflags(),
            "-s -w -X github.com/containerd/containerd/v2/version.Version=v2.4.2"
        );
    }
}
