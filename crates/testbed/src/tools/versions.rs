//! Every version, every address and every source of a checksum, in this one file.
//!
//! The Go modules in `kind/tools` pin the same versions; a test compares them.

use super::platform::Platform;
use super::tool::Tool;

/// The Kubernetes version of the API server, controller manager, scheduler and kubectl.
pub const KUBERNETES: &str = "v1.36.3";
/// The etcd version.
pub const ETCD: &str = "v3.6.8";
/// The kwok version.
pub const KWOK: &str = "v0.8.0";
/// The CoreDNS version.
pub const COREDNS: &str = "v1.15.0";

/// Where Kubernetes publishes its binaries, with a `.sha256` beside each of them.
pub const KUBERNETES_BASE: &str = "https://dl.k8s.io";
/// Where the release files of etcd, kwok and CoreDNS are.
pub const GITHUB_BASE: &str = "https://github.com";
/// Where GitHub tells the digest of each release file, computed when the file was uploaded
/// (<https://docs.github.com/en/rest/releases/releases>, field `digest` of an asset).
pub const GITHUB_API_BASE: &str = "https://api.github.com";

/// A host, or the mirror in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Host {
    Kubernetes,
    Github,
    GithubApi,
}

/// A path under a host's base address, with a leading slash.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// The version of a tool, with a leading `v`.
pub const fn version(tool: Tool) -> &'static str {
    match tool {
        Tool::Etcd => ETCD,
        Tool::KubeApiserver | Tool::KubeControllerManager | Tool::KubeScheduler | Tool::Kubectl => {
            KUBERNETES
        }
        Tool::Kwok => KWOK,
        Tool::Coredns => COREDNS,
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
        Tool::KubeApiserver | Tool::KubeControllerManager | Tool::KubeScheduler | Tool::Kubectl => {
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
        Tool::KubeApiserver | Tool::KubeControllerManager | Tool::KubeScheduler | Tool::Kubectl => {
            GoModule {
                requires: "k8s.io/kubernetes",
                package: format!("k8s.io/kubernetes/cmd/{tool}"),
                go_mod: include_str!("../../../../kind/tools/kubernetes/go.mod"),
                go_sum: include_str!("../../../../kind/tools/kubernetes/go.sum"),
                stamps: kubernetes_stamps(),
            }
        }
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
    }
}

/// Without these an API server says that it is `v0.0.0-master`, and clients that compare versions
/// misbehave. Both packages hold a copy of the variables.
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
    fn every_tool_has_a_download_with_its_version_on_both_platforms() {
        for tool in Tool::ALL {
            for platform in [Platform::LinuxAmd64, Platform::LinuxArm64] {
                let download = download(tool, platform);
                let path = &download.address.path;
                assert!(path.contains(version(tool)), "{path}");
                assert!(download.file_name().contains(tool.name()), "{path}");
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
    }
}
