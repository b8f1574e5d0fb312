//! What the node image is made of.

use std::os::unix::fs::symlink;
use std::process::Stdio;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use serde::Deserialize;
use tokio::process::Command;

use super::SUITE;
use super::error::ImageError;
use super::inputs::Inputs;
use super::recipe;
use crate::tools::{Progress, Tool, ToolOptions, ToolSet, Tools, versions};

/// The module in `kind/tools/kind`: it pins kind, whose files go into the image.
const GO_MOD: &str = include_str!("../../../../kind/tools/kind/go.mod");
const GO_SUM: &str = include_str!("../../../../kind/tools/kind/go.sum");

/// The node image that the pinned version of kind has as its default, by digest
/// (`pkg/apis/config/defaults/image.go` of kind v0.33.0).
const KIND_DEFAULT: &str = "docker.io/kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5";

/// Which node image is wanted.
pub struct NodeRequest<'a> {
    /// The version of Kubernetes, with a leading `v`.
    pub kubernetes: &'a str,
    /// An image that the user names.
    pub given: Option<&'a str>,
    /// Where the tools for a build come from; `wanted` is not looked at.
    pub tools: &'a ToolOptions,
    /// Hears of the tools, when a build needs them.
    pub progress: &'a dyn Progress,
}

impl NodeRequest<'_> {
    pub(crate) async fn binaries(&self) -> Result<NodeBinaries, ImageError> {
        let options = ToolOptions {
            wanted: Tool::NODE_IMAGE.to_vec(),
            ..self.tools.clone()
        };
        let tools = Tools::resolve(&options, self.progress)
            .await
            .map_err(ImageError::Tool)?;
        Ok(NodeBinaries::from(&tools))
    }
}

/// The published node image of a version of Kubernetes.
pub(crate) fn official(kubernetes: &str) -> String {
    let pinned = KIND_DEFAULT
        .split_once('@')
        .and_then(|(name, _)| name.rsplit_once(':'))
        .is_some_and(|(_, version)| version == kubernetes);
    if pinned {
        KIND_DEFAULT.to_owned()
    } else {
        format!("docker.io/kindest/node:{kubernetes}")
    }
}

/// The hash of everything that goes into the image: tools by their pinned versions, or by their
/// content where the user gives their paths. Blocks in the latter case.
pub(crate) fn key(request: &NodeRequest<'_>) -> Result<String, ImageError> {
    let mut inputs = Inputs::of(&recipe::NODE);
    inputs.add("suite", SUITE);
    inputs.add("kind", GO_MOD);
    for tool in Tool::NODE_IMAGE {
        match request.tools.paths.get(&tool) {
            None => inputs.add(tool.name(), versions::version(tool)),
            Some(path) => inputs
                .add_file(tool.name(), path)
                .map_err(|error| ImageError::cache(format!("read {path}"), error))?,
        }
    }
    Ok(inputs.key())
}

/// The binaries that go into a node image, by absolute paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeBinaries {
    /// The agent of each node.
    pub kubelet: Utf8PathBuf,
    /// What makes a node part of a cluster.
    pub kubeadm: Utf8PathBuf,
    /// kind calls it in the node.
    pub kubectl: Utf8PathBuf,
    /// Services on each node.
    pub kube_proxy: Utf8PathBuf,
    /// The API server.
    pub kube_apiserver: Utf8PathBuf,
    /// The controllers.
    pub kube_controller_manager: Utf8PathBuf,
    /// The scheduler.
    pub kube_scheduler: Utf8PathBuf,
    /// The API server's store.
    pub etcd: Utf8PathBuf,
    /// The cluster's DNS.
    pub coredns: Utf8PathBuf,
    /// The container runtime.
    pub containerd: Utf8PathBuf,
    /// What it starts for each pod.
    pub containerd_shim: Utf8PathBuf,
    /// Its command, which kind calls in the node.
    pub ctr: Utf8PathBuf,
}

impl From<&ToolSet> for NodeBinaries {
    /// # Panics
    /// When a tool of [`Tool::NODE_IMAGE`] was not among those resolved.
    fn from(tools: &ToolSet) -> Self {
        let path = |tool| tools.path(tool).to_owned();
        Self {
            kubelet: path(Tool::Kubelet),
            kubeadm: path(Tool::Kubeadm),
            kubectl: path(Tool::Kubectl),
            kube_proxy: path(Tool::KubeProxy),
            kube_apiserver: path(Tool::KubeApiserver),
            kube_controller_manager: path(Tool::KubeControllerManager),
            kube_scheduler: path(Tool::KubeScheduler),
            etcd: path(Tool::Etcd),
            coredns: path(Tool::Coredns),
            containerd: path(Tool::Containerd),
            containerd_shim: path(Tool::ContainerdShim),
            ctr: path(Tool::Ctr),
        }
    }
}

impl NodeBinaries {
    /// Makes a directory with a link to each of them, by the names that the recipe expects.
    pub(crate) fn link(&self, directory: &Utf8Path) -> std::io::Result<()> {
        fs::create_dir(directory)?;
        for (name, path) in [
            ("kubelet", &self.kubelet),
            ("kubeadm", &self.kubeadm),
            ("kubectl", &self.kubectl),
            ("kube-proxy", &self.kube_proxy),
            ("kube-apiserver", &self.kube_apiserver),
            ("kube-controller-manager", &self.kube_controller_manager),
            ("kube-scheduler", &self.kube_scheduler),
            ("etcd", &self.etcd),
            ("coredns", &self.coredns),
            ("containerd", &self.containerd),
            ("containerd-shim-runc-v2", &self.containerd_shim),
            ("ctr", &self.ctr),
        ] {
            symlink(path, directory.join(name))?;
        }
        Ok(())
    }
}

/// What `go mod download -json` says of a module.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Downloaded {
    dir: Option<Utf8PathBuf>,
    error: Option<String>,
}

/// The directory with the files of kind's base image, in Go's module cache. `go.sum` is part of this
/// program, so what is downloaded is what was published.
pub(crate) async fn kind_files(go: &Utf8Path, work: &Utf8Path) -> Result<Utf8PathBuf, ImageError> {
    let refuse = |reason: String| ImageError::KindFiles {
        go: go.to_owned(),
        reason,
    };
    let write = || -> std::io::Result<()> {
        fs::create_dir(work)?;
        fs::write(work.join("go.mod"), GO_MOD)?;
        fs::write(work.join("go.sum"), GO_SUM)
    };
    write().map_err(|error| ImageError::cache(format!("write to {work}"), error))?;
    let output = Command::new(go)
        .args(["mod", "download", "-json", "sigs.k8s.io/kind"])
        .current_dir(work)
        .env("GOWORK", "off")
        .env("GOFLAGS", "")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| {
            refuse(format!(
                "it cannot be run: {error}; install Go 1.26 or later"
            ))
        })?;
    let answer = serde_json::from_slice::<Downloaded>(&output.stdout);
    match answer {
        Ok(Downloaded {
            dir: Some(directory),
            ..
        }) if output.status.success() => {
            let files = directory.join("images/base/files");
            if files.join("usr/local/bin/entrypoint").is_file() {
                Ok(files)
            } else {
                Err(refuse(format!(
                    "{files} is not what it was in kind v0.33.0"
                )))
            }
        }
        Ok(Downloaded {
            error: Some(error), ..
        }) => Err(refuse(error)),
        _ => Err(refuse(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::NoProgress;

    #[test]
    fn the_default_of_kind_is_pulled_by_its_digest_and_others_by_their_tag() {
        assert_eq!(official("v1.37.0"), KIND_DEFAULT);
        assert_eq!(official("v1.36.3"), "docker.io/kindest/node:v1.36.3");
    }

    #[test]
    fn a_binary_that_the_user_gives_counts_by_its_content() {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(directory.path())
            .unwrap()
            .join("kubelet");
        fs::write(&path, "one").unwrap();
        let pinned = ToolOptions::new("/nowhere".into()).unwrap();
        let mut own = pinned.clone();
        own.paths.insert(Tool::Kubelet, path.clone());
        let key = |tools: &ToolOptions| {
            key(&NodeRequest {
                kubernetes: versions::KUBERNETES,
                given: None,
                tools,
                progress: &NoProgress,
            })
        };
        let (without, one) = (key(&pinned).unwrap(), key(&own).unwrap());
        assert_ne!(without, one);
        fs::write(&path, "two").unwrap();
        assert_ne!(one, key(&own).unwrap());
        assert_eq!(without, key(&pinned).unwrap());
        // What has no part in the image does not count.
        let mut kwok = pinned.clone();
        kwok.paths.insert(Tool::Kwok, path);
        assert_eq!(without, key(&kwok).unwrap());
    }

    #[test]
    fn every_binary_of_the_recipe_is_linked_under_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        let path = |name: &str| Utf8PathBuf::from("/tools").join(name);
        let binaries = NodeBinaries {
            kubelet: path("a"),
            kubeadm: path("b"),
            kubectl: path("c"),
            kube_proxy: path("d"),
            kube_apiserver: path("e"),
            kube_controller_manager: path("f"),
            kube_scheduler: path("g"),
            etcd: path("h"),
            coredns: path("i"),
            containerd: path("j"),
            containerd_shim: path("k"),
            ctr: path("l"),
        };
        let place = root.join("binaries");
        binaries.link(&place).unwrap();
        let mut names: Vec<String> = place
            .read_dir_utf8()
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_owned())
            .collect();
        names.sort();
        let mut wanted: Vec<&str> = Tool::NODE_IMAGE.iter().map(|tool| tool.name()).collect();
        wanted.sort_unstable();
        assert_eq!(names, wanted);
        assert_eq!(place.join("ctr").read_link_utf8().unwrap(), "/tools/l");
    }
}
