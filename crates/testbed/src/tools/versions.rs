//! Every version, every address and every source of a checksum, in this one file.
//!
//! The Go modules in `kind/tools` pin the same versions; a test in `modules` compares them.

use super::platform::Platform;
use super::tool::Tool;

/// The Kubernetes version: that of the control plane, of kubectl, and of what runs on a node.
pub const KUBERNETES: &str = "v1.36.3";
/// The etcd version.
pub const ETCD: &str = "v3.6.8";
/// The kwok version.
pub const KWOK: &str = "v0.8.0";
/// The CoreDNS version.
pub const COREDNS: &str = "v1.15.0";
/// The kind version.
pub const KIND: &str = "v0.33.0";
/// The version of containerd, its shim and its client.
pub const CONTAINERD: &str = "v2.4.2";

/// The Helm version.
pub const HELM: &str = "v4.3.1";

/// Where Kubernetes publishes its binaries, with a `.sha256` beside each of them.
pub const KUBERNETES_BASE: &str = "https://dl.k8s.io";
/// Where the release files of etcd, kwok, CoreDNS, kind and containerd are.
pub const GITHUB_BASE: &str = "https://github.com";
/// Where GitHub tells the digest of each release file, computed when the file was uploaded
/// (<https://docs.github.com/en/rest/releases/releases>, field `digest` of an asset).
pub const GITHUB_API_BASE: &str = "https://api.github.com";

/// Where Helm publishes its archives, with a `.sha256sum` beside each of them; its releases on GitHub
/// hold signatures only.
pub const HELM_BASE: &str = "https://get.helm.sh";

/// A host, or the mirror in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Host {
    Kubernetes,
    Github,
    GithubApi,
    Helm,
}

impl Host {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Kubernetes, Self::Github, Self::GithubApi, Self::Helm];
}

/// A path under a host's base address, with a leading slash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address {
    pub(crate) host: Host,
    pub(crate) path: String,
}

/// Who says what the sha256 of a download must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Checksum {
    /// A text file: either one digest alone, or lines of digest and file name.
    File(Address),
    /// GitHub's own record of the release file, for projects that publish no checksum file.
    GithubDigest(Address),
}

/// How the binary lies in the download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unpack {
    /// The download is the binary.
    Plain,
    /// The member of a gzipped tar archive with this path.
    TarGz(String),
}

/// An official download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Download {
    pub(crate) address: Address,
    pub(crate) checksum: Checksum,
    pub(crate) unpack: Unpack,
}

impl Download {
    /// The file name, by which the checksum is looked up.
    pub(crate) fn file_name(&self) -> &str {
        let path = &self.address.path;
        path.rsplit_once('/').map_or(path, |(_, name)| name)
    }
}

/// The version of a tool, with a leading `v`.
pub const fn version(tool: Tool) -> &'static str {
    match tool {
        Tool::Etcd => ETCD,
        Tool::KubeApiserver
        | Tool::KubeControllerManager
        | Tool::KubeScheduler
        | Tool::Kubectl
        | Tool::Kubelet
        | Tool::Kubeadm
        | Tool::KubeProxy => KUBERNETES,
        Tool::Kwok => KWOK,
        Tool::Coredns => COREDNS,
        Tool::Kind => KIND,
        Tool::Containerd | Tool::ContainerdShim | Tool::Ctr => CONTAINERD,
        Tool::Helm => HELM,
    }
}

fn github_release(repository: &str, version: &str, file: &str) -> Address {
    Address {
        host: Host::Github,
        path: format!("/{repository}/releases/download/{version}/{file}"),
    }
}

/// The official download of a tool.
pub(crate) fn download(tool: Tool, platform: Platform) -> Download {
    let version = version(tool);
    let (os, arch) = (platform.os(), platform.arch());
    match tool {
        Tool::KubeApiserver
        | Tool::KubeControllerManager
        | Tool::KubeScheduler
        | Tool::Kubectl
        | Tool::Kubelet
        | Tool::Kubeadm
        | Tool::KubeProxy => {
            let path = format!("/release/{version}/bin/{os}/{arch}/{tool}");
            Download {
                checksum: Checksum::File(Address {
                    host: Host::Kubernetes,
                    path: format!("{path}.sha256"),
                }),
                address: Address {
                    host: Host::Kubernetes,
                    path,
                },
                unpack: Unpack::Plain,
            }
        }
        Tool::Etcd => {
            let stem = format!("etcd-{version}-{os}-{arch}");
            Download {
                address: github_release("etcd-io/etcd", version, &format!("{stem}.tar.gz")),
                checksum: Checksum::File(github_release("etcd-io/etcd", version, "SHA256SUMS")),
                unpack: Unpack::TarGz(format!("{stem}/etcd")),
            }
        }
        // kwok publishes no checksum file, its release script uploads the bare binaries.
        Tool::Kwok => Download {
            address: github_release(
                "kubernetes-sigs/kwok",
                version,
                &format!("kwok-{os}-{arch}"),
            ),
            checksum: Checksum::GithubDigest(Address {
                host: Host::GithubApi,
                path: format!("/repos/kubernetes-sigs/kwok/releases/tags/{version}"),
            }),
            unpack: Unpack::Plain,
        },
        Tool::Coredns => {
            let number = version.trim_start_matches('v');
            let file = format!("coredns_{number}_{os}_{arch}.tgz");
            Download {
                checksum: Checksum::File(github_release(
                    "coredns/coredns",
                    version,
                    &format!("{file}.sha256"),
                )),
                address: github_release("coredns/coredns", version, &file),
                unpack: Unpack::TarGz("coredns".to_owned()),
            }
        }
        Tool::Kind => {
            let file = format!("kind-{os}-{arch}");
            let repository = "kubernetes-sigs/kind";
            let sum = format!("{file}.sha256sum");
            Download {
                address: github_release(repository, version, &file),
                checksum: Checksum::File(github_release(repository, version, &sum)),
                unpack: Unpack::Plain,
            }
        }
        // The release without `static` in its name needs a C library as new as the one it was built
        // with; a node image may have an older one.
        Tool::Containerd | Tool::ContainerdShim | Tool::Ctr => {
            let number = version.trim_start_matches('v');
            let file = format!("containerd-static-{number}-{os}-{arch}.tar.gz");
            let repository = "containerd/containerd";
            let sum = format!("{file}.sha256sum");
            Download {
                address: github_release(repository, version, &file),
                checksum: Checksum::File(github_release(repository, version, &sum)),
                unpack: Unpack::TarGz(format!("bin/{tool}")),
            }
        }
        Tool::Helm => {
            let path = format!("/helm-{version}-{os}-{arch}.tar.gz");
            Download {
                checksum: Checksum::File(Address {
                    host: Host::Helm,
                    path: format!("{path}.sha256sum"),
                }),
                address: Address {
                    host: Host::Helm,
                    path,
                },
                unpack: Unpack::TarGz(format!("{os}-{arch}/helm")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_has_a_download_with_its_version_on_both_platforms() {
        for tool in Tool::ALL {
            for platform in [Platform::LinuxAmd64, Platform::LinuxArm64] {
                let download = download(tool, platform);
                let path = &download.address.path;
                assert!(path.contains(version(tool)), "{path}");
                let binary = match &download.unpack {
                    Unpack::Plain => download.file_name(),
                    Unpack::TarGz(member) => member,
                };
                assert!(binary.contains(tool.name()), "{path}: {binary}");
                assert!(path.contains(platform.arch()), "{path}");
                let (Checksum::File(source) | Checksum::GithubDigest(source)) = download.checksum;
                assert!(source.path.contains(version(tool)), "{}", source.path);
            }
        }
    }

    #[test]
    fn the_addresses_are_those_the_projects_document() {
        let etcd = download(Tool::Etcd, Platform::LinuxAmd64);
        assert_eq!(
            etcd.address.path,
            "/etcd-io/etcd/releases/download/v3.6.8/etcd-v3.6.8-linux-amd64.tar.gz"
        );
        assert_eq!(
            etcd.unpack,
            Unpack::TarGz("etcd-v3.6.8-linux-amd64/etcd".into())
        );
        assert_eq!(
            download(Tool::Kubectl, Platform::LinuxArm64).address.path,
            "/release/v1.36.3/bin/linux/arm64/kubectl"
        );
        assert_eq!(
            download(Tool::Coredns, Platform::LinuxArm64).file_name(),
            "coredns_1.15.0_linux_arm64.tgz"
        );
        let helm = download(Tool::Helm, Platform::LinuxAmd64);
        assert_eq!(helm.address.path, "/helm-v4.3.1-linux-amd64.tar.gz");
        assert_eq!(helm.unpack, Unpack::TarGz("linux-amd64/helm".to_owned()));
    }

    #[test]
    fn the_three_of_containerd_lie_in_one_archive() {
        let of = |tool| download(tool, Platform::LinuxAmd64);
        let containerd = of(Tool::Containerd);
        assert_eq!(
            containerd.address.path,
            "/containerd/containerd/releases/download/v2.4.2/\
             containerd-static-2.4.2-linux-amd64.tar.gz"
        );
        for (tool, member) in [
            (Tool::Containerd, "bin/containerd"),
            (Tool::ContainerdShim, "bin/containerd-shim-runc-v2"),
            (Tool::Ctr, "bin/ctr"),
        ] {
            assert_eq!(of(tool).address, containerd.address);
            assert_eq!(of(tool).unpack, Unpack::TarGz(member.to_owned()));
        }
    }
}
