//! Where the tests boot their clusters, what of, and what of them is in Docker.

use std::fmt::Write as _;
use std::fs::File;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use testbed::artifacts::{Home, fresh_logs};
use testbed::cluster::kind::{DockerNetwork, KindOptions};
use testbed::docker;
use testbed::state::{NodeInfo, Swept, end};
use testbed::tools::{NoProgress, Tool, ToolOptions, Tools};

/// The program that guards children.
const PROBE: &str = env!("CARGO_BIN_EXE_testbed-probe");
/// Names the node image, where it is not the newest that was built here.
pub(crate) const NODE_IMAGE: &str = "CLAIMCHECK_TEST_NODE_IMAGE";
/// Version of Kubernetes of the node image.
const KUBERNETES: &str = "v1.36.3";

/// One of these tests at a time, also where each is a process of its own: three nodes are as much as a
/// small machine has memory and inotify instances for.
pub(crate) struct Place {
    _turn: File,
    _directory: tempfile::TempDir,
    pub(crate) home: Home,
}

impl Drop for Place {
    /// A test that fails half-way leaves no cluster either.
    fn drop(&mut self) {
        for name in self.home.names().unwrap() {
            end(&self.home, &name, Duration::ZERO).unwrap();
        }
    }
}

pub(crate) fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::at(Utf8Path::from_path(directory.path()).unwrap());
    let turn = File::create(std::env::temp_dir().join("claimcheck-kind-tests.lock")).unwrap();
    turn.lock().unwrap();
    Place {
        _turn: turn,
        _directory: directory,
        home,
    }
}

/// The images of nodes and of pods, as an earlier `claimcheck up --cluster kind` built them. `None`, and
/// a line that says so, where there is no Docker or no image: a test does not build one for minutes.
pub(crate) async fn images() -> Option<[String; 2]> {
    let node = match std::env::var(NODE_IMAGE) {
        Ok(image) => Some(image),
        Err(_) => newest("claimcheck/node").await,
    };
    Some([node?, newest("claimcheck/busybox").await?])
}

/// The newest image of a name.
async fn newest(name: &str) -> Option<String> {
    let format = "{{.Repository}}:{{.Tag}}";
    let found = match docker::run(&["image", "ls", "--format", format, name]).await {
        Ok(list) => list.lines().next().map(str::to_owned),
        Err(error) => {
            eprintln!("NOT RUN: {error}");
            return None;
        }
    };
    if found.is_none() {
        eprintln!(
            "NOT RUN: there is no image `{name}`; `claimcheck up --cluster kind` makes it, or pulls \
             the node image, which {NODE_IMAGE} then names"
        );
    }
    found
}

/// What a cluster needs of the file system: `claimcheck`, whose part any program that knows
/// `--version` plays here.
fn mount_program(place: &Utf8Path) -> Utf8PathBuf {
    use std::os::unix::fs::PermissionsExt as _;

    let program = place.join("mount-program");
    fs_err::write(&program, "#!/bin/sh\ntest \"$1\" = --version && echo 1\n").unwrap();
    fs_err::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    program
}

/// Claims a name and prepares a boot under it.
pub(crate) async fn options(home: &Home, name: &str, node_image: &str) -> KindOptions {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let wanted = ToolOptions {
        wanted: Tool::KIND.to_vec(),
        ..ToolOptions::from_env().unwrap()
    };
    let tools = Tools::resolve(&wanted, &NoProgress).await.unwrap();
    let directory = home.claim(name).unwrap();
    let logs = home.logs(name);
    fresh_logs(&logs).unwrap();
    KindOptions {
        network: DockerNetwork::create(name, &directory).await.unwrap(),
        mount_program: mount_program(home.root()),
        directory,
        logs,
        name: name.to_owned(),
        kind: tools.path(Tool::Kind).to_owned(),
        node_image: node_image.to_owned(),
        workers: 2,
        kubernetes: KUBERNETES.to_owned(),
        node_directory: None,
        guard: Some(PROBE.into()),
    }
}

/// Containers, networks and volumes that belong to a testbed.
pub(crate) async fn in_docker(options: &KindOptions) -> String {
    let mut found = String::new();
    let label = format!("label={}={}", docker::LABEL, options.directory);
    let name = format!("name={}", options.network.name);
    for call in [
        ["ps", "--all", "--filter", &name, "--format", "{{.Names}}"],
        ["ps", "--all", "--filter", &label, "--format", "{{.Names}}"],
    ] {
        writeln!(found, "{}", docker::run(&call).await.unwrap()).unwrap();
    }
    for filter in [name, label] {
        let call = [
            "network",
            "ls",
            "--filter",
            &filter,
            "--format",
            "{{.Name}}",
        ];
        writeln!(found, "{}", docker::run(&call).await.unwrap()).unwrap();
    }
    found.trim().to_owned()
}

/// The volumes that containers have without a name of their own.
pub(crate) async fn volumes(nodes: &[NodeInfo]) -> Vec<String> {
    let format = r#"{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}} {{end}}{{end}}"#;
    let mut call = vec!["inspect", "--format", format];
    call.extend(nodes.iter().map(|node| node.container.as_str()));
    let names = docker::run(&call).await.unwrap();
    names.split_whitespace().map(str::to_owned).collect()
}

/// Ends the testbed as a command that was interrupted does.
pub(crate) async fn end_of(home: &Home, name: &str) -> Swept {
    let (home, name) = (home.clone(), name.to_owned());
    tokio::task::spawn_blocking(move || end(&home, &name, Duration::ZERO))
        .await
        .unwrap()
        .unwrap()
        .unwrap()
}
