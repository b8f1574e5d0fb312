//! A cache directory, a server with every official file in it, and what they should look like.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Mutex;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use flate2::Compression;
use flate2::write::GzEncoder;
use fs_err as fs;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use testbed::tools::{Mirrors, Progress, Tool, ToolEvent, ToolOptions, versions};

use crate::server::{Answer, Server};

pub(crate) const APISERVER: &str = "/release/v1.36.3/bin/linux/amd64/kube-apiserver";
pub(crate) const ETCD: &str =
    "/etcd-io/etcd/releases/download/v3.6.8/etcd-v3.6.8-linux-amd64.tar.gz";
pub(crate) const ETCD_SUMS: &str = "/etcd-io/etcd/releases/download/v3.6.8/SHA256SUMS";
pub(crate) const COREDNS: &str =
    "/coredns/coredns/releases/download/v1.15.0/coredns_1.15.0_linux_amd64.tgz";
pub(crate) const KIND: &str = "/kubernetes-sigs/kind/releases/download/v0.33.0/kind-linux-amd64";
pub(crate) const CONTAINERD: &str = "/containerd/containerd/releases/download/v2.4.2/\
                                     containerd-static-2.4.2-linux-amd64.tar.gz";
pub(crate) const KWOK: &str = "/kubernetes-sigs/kwok/releases/download/v0.8.0/kwok-linux-amd64";
pub(crate) const KWOK_RELEASE: &str = "/repos/kubernetes-sigs/kwok/releases/tags/v0.8.0";

pub(crate) const HELM: &str = "/helm-v4.3.1-linux-amd64.tar.gz";

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// A gzipped tar archive of these members.
pub(crate) fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        // Not executable, so that the mode is shown not to come from the archive.
        header.set_mode(0o600);
        builder.append_data(&mut header, path, *bytes).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

/// The bytes that stand for a tool's official binary: enough for several packets.
pub(crate) fn official(tool: Tool) -> Vec<u8> {
    format!("official {tool} ").repeat(20_000).into_bytes()
}

/// What is wanted of containerd's archive.
pub(crate) const IN_CONTAINERD: [Tool; 3] = [Tool::Containerd, Tool::ContainerdShim, Tool::Ctr];

/// Containerd's archive with these of its binaries.
pub(crate) fn containerd(tools: &[Tool]) -> Vec<u8> {
    let mut members = vec![("bin/containerd-stress".to_owned(), b"not this one".to_vec())];
    members.extend(
        tools
            .iter()
            .map(|tool| (format!("bin/{tool}"), official(*tool))),
    );
    let members: Vec<_> = members
        .iter()
        .map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
        .collect();
    archive(&members)
}

/// The checksum file of containerd's archive, as `sha256sum` writes it.
pub(crate) fn containerd_sum(archive: &[u8]) -> Vec<u8> {
    let name = "containerd-static-2.4.2-linux-amd64.tar.gz";
    format!("{}  {name}\n", sha256(archive)).into()
}

/// Options for amd64 on any machine, with short limits, no Go, and all four hosts at `base`.
pub(crate) fn options(cache: &Utf8Path, base: &str, wanted: &[Tool]) -> ToolOptions {
    // Another test of the process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut options = ToolOptions::new(cache.to_owned()).unwrap();
    options.wanted = wanted.to_vec();
    options.platform = testbed::tools::Platform::LinuxAmd64;
    options.mirrors = Mirrors {
        kubernetes: base.to_owned(),
        github: base.to_owned(),
        github_api: base.to_owned(),
        helm: base.to_owned(),
    };
    options.go = cache.join("no-go-here");
    options.connect_limit = Duration::from_secs(2);
    options.answer_limit = Duration::from_secs(2);
    options
}

/// A server that has every official file, and an empty cache.
pub(crate) struct Bed {
    pub(crate) server: Server,
    pub(crate) cache: Utf8PathBuf,
    _directory: TempDir,
}

impl Bed {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cache = Utf8PathBuf::from_path_buf(directory.path().join("cache")).unwrap();
        fs::create_dir(&cache).unwrap();
        let server = Server::start().await;
        for tool in [
            Tool::KubeApiserver,
            Tool::KubeControllerManager,
            Tool::KubeScheduler,
            Tool::Kubectl,
            Tool::Kubelet,
            Tool::Kubeadm,
            Tool::KubeProxy,
        ] {
            let path = APISERVER.replace("kube-apiserver", tool.name());
            let sum = sha256(&official(tool));
            server.set(format!("{path}.sha256"), Answer::Body(sum.into()));
            server.set(path, Answer::Body(official(tool)));
        }
        let etcd = archive(&[
            ("etcd-v3.6.8-linux-amd64/etcdctl", b"not this one"),
            (
                "etcd-v3.6.8-linux-amd64/Documentation/etcd",
                b"nor this one",
            ),
            ("etcd-v3.6.8-linux-amd64/etcd", &official(Tool::Etcd)),
        ]);
        let sums = format!(
            "{}  etcd-v3.6.8-darwin-amd64.zip\n{}  etcd-v3.6.8-linux-amd64.tar.gz\n",
            sha256(b"other"),
            sha256(&etcd)
        );
        server.set(ETCD, Answer::Body(etcd));
        server.set(ETCD_SUMS, Answer::Body(sums.into()));
        let coredns = archive(&[("coredns", &official(Tool::Coredns))]);
        let sum = format!("{}  coredns_1.15.0_linux_amd64.tgz\n", sha256(&coredns));
        server.set(format!("{COREDNS}.sha256"), Answer::Body(sum.into()));
        server.set(COREDNS, Answer::Body(coredns));
        let kwok = official(Tool::Kwok);
        let release = serde_json::json!({"tag_name": "v0.8.0", "assets": [
            {"name": "kwok-linux-arm64", "digest": format!("sha256:{}", sha256(b"other"))},
            {"name": "kwok-linux-amd64", "digest": format!("sha256:{}", sha256(&kwok))},
        ]});
        server.set(KWOK_RELEASE, Answer::Body(release.to_string().into()));
        server.set(KWOK, Answer::Body(kwok));
        // As `shasum` writes it, with the name of the file.
        let kind = official(Tool::Kind);
        let sum = format!("{}  kind-linux-amd64\n", sha256(&kind));
        server.set(format!("{KIND}.sha256sum"), Answer::Body(sum.into()));
        server.set(KIND, Answer::Body(kind));
        let containerd = containerd(&IN_CONTAINERD);
        server.set(
            format!("{CONTAINERD}.sha256sum"),
            Answer::Body(containerd_sum(&containerd)),
        );
        server.set(CONTAINERD, Answer::Body(containerd));
        let helm = archive(&[
            ("linux-amd64/README.md", b"not this one"),
            ("linux-amd64/helm", &official(Tool::Helm)),
        ]);
        let sum = format!("{}  helm-v4.3.1-linux-amd64.tar.gz\n", sha256(&helm));
        server.set(format!("{HELM}.sha256sum"), Answer::Body(sum.into()));
        server.set(HELM, Answer::Body(helm));
        Self {
            server,
            cache,
            _directory: directory,
        }
    }

    pub(crate) fn options(&self, wanted: &[Tool]) -> ToolOptions {
        options(&self.cache, self.server.base(), wanted)
    }

    /// A Go command made of a shell script; `$out` is the binary it is asked for.
    pub(crate) fn go(&self, body: &str) -> Utf8PathBuf {
        let path = self.cache.join("go");
        let script = format!(
            "#!/bin/sh\nout=\nprev=\nfor word; do\n  [ \"$prev\" = -o ] && out=$word\n  \
             prev=$word\ndone\n{body}\n"
        );
        let draft = self.cache.join("go.draft");
        fs::write(&draft, script).unwrap();
        fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o755)).unwrap();
        // Another process writes what is to be executed: a child that another test forks just now
        // would inherit our open file, and executing it would fail as "text file busy".
        let copied = std::process::Command::new("cp")
            .args(["-p", draft.as_str(), path.as_str()])
            .status()
            .unwrap();
        assert!(copied.success());
        path
    }

    /// What lies in the cache of a tool: entries and staging directories, without the lock.
    pub(crate) fn contents(&self, tool: Tool) -> Vec<String> {
        contents(&self.cache, tool)
    }

    pub(crate) fn entry(&self, tool: Tool) -> Utf8PathBuf {
        let version = versions::version(tool);
        self.cache
            .join(format!("tools/{tool}/{version}-linux-amd64"))
    }
}

pub(crate) fn contents(cache: &Utf8Path, tool: Tool) -> Vec<String> {
    inside(&cache.join("tools").join(tool.name()))
}

/// What lies in a directory of the cache, without the lock.
pub(crate) fn inside(directory: &Utf8Path) -> Vec<String> {
    let Ok(entries) = directory.read_dir_utf8() else {
        return Vec::new();
    };
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().to_owned())
        .filter(|name| name != ".lock")
        .collect();
    names.sort();
    names
}

/// Keeps every event.
#[derive(Debug, Default)]
pub(crate) struct Events(Mutex<Vec<(String, ToolEvent)>>);

impl Events {
    pub(crate) fn all(&self) -> Vec<(String, ToolEvent)> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        self.all()
            .into_iter()
            .filter_map(|(_, event)| match event {
                ToolEvent::Warning(text) => Some(text),
                _ => None,
            })
            .collect()
    }
}

impl Progress for Events {
    fn on(&self, name: &str, event: ToolEvent) {
        self.0.lock().unwrap().push((name.to_owned(), event));
    }
}

/// Waits until a condition holds, for at most a minute: for what other processes do to files, on a
/// machine that may be compiling at the same time.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let reached = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), reached)
        .await
        .unwrap_or_else(|_| panic!("{what} did not come about"));
}

/// Whether a process runs; its unreaped remains do not count.
pub(crate) fn runs(id: &str) -> bool {
    fs::read_to_string(format!("/proc/{}/stat", id.trim()))
        .is_ok_and(|stat| !stat.rsplit_once(')').unwrap().1.starts_with(" Z"))
}
