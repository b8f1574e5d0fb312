//! A Docker network and directories for one server.

use std::net::Ipv4Addr;

use camino::{Utf8Path, Utf8PathBuf};
use nfs_rs::Mount;
use tempfile::TempDir;
use testbed::docker::{self, LABEL, resource_name};
use testbed::nfs::container::{ContainerExport, ContainerExportOptions};
use testbed::nfs::{ExportTarget, ExportView};
use testbed::state::ExportInfo;

/// Where one server runs.
pub(crate) struct Bed {
    pub(crate) options: ContainerExportOptions,
    _place: TempDir,
}

/// The image to test with, or why there is none.
async fn image() -> Result<String, String> {
    docker::run(&["version", "--format", "{{.Server.Version}}"])
        .await
        .map_err(|error| format!("Docker does not work here: {error}"))?;
    if let Ok(given) = std::env::var("CLAIMCHECK_TEST_NFS_IMAGE") {
        return Ok(given);
    }
    let known = docker::run(&[
        "images",
        "--filter",
        "reference=claimcheck/nfs-server",
        "--format",
        "{{.Repository}}:{{.Tag}}",
    ])
    .await
    .map_err(|error| error.to_string())?;
    match known.lines().next() {
        Some(newest) => Ok(newest.to_owned()),
        None => Err("no image `claimcheck/nfs-server` is on this machine; `claimcheck up --cluster kind` makes it".to_owned()),
    }
}

impl Bed {
    /// A network of its own and nothing on it; `None` where no server can be started.
    pub(crate) async fn make(name: &str) -> Option<Self> {
        let image = match image().await {
            Ok(image) => image,
            Err(reason) => {
                assert!(
                    std::env::var("CLAIMCHECK_TEST_DOCKER").as_deref() != Ok("required"),
                    "{reason}"
                );
                eprintln!("NOT TESTED: {reason}");
                return None;
            }
        };
        let place = TempDir::new().expect("a temporary directory");
        let directory = Utf8PathBuf::from_path_buf(place.path().to_owned()).expect("a UTF-8 path");
        let network = resource_name(name, &directory);
        let address = make_network(&network, &directory).await;
        Some(Self {
            options: ContainerExportOptions {
                container: format!("{network}-nfs"),
                testbed: directory.clone(),
                image,
                network,
                address,
                directory: directory.join("export"),
                squashed: directory.join("squashed"),
                log: directory.join("nfs-server.log"),
            },
            _place: place,
        })
    }

    pub(crate) async fn start(&self) -> ContainerExport {
        match ContainerExport::start(&self.options).await {
            Ok(export) => export,
            Err(error) => {
                let log = std::fs::read_to_string(&self.options.log).unwrap_or_default();
                panic!("{error:?}\n{log}")
            }
        }
    }

    /// A path in the exported directory, behind the server's back.
    pub(crate) fn local(&self, path: &str) -> Utf8PathBuf {
        self.options.directory.join(path)
    }

    /// Ends a test: no container of it may be left.
    pub(crate) async fn end(self) {
        let label = format!("label={LABEL}={}", self.options.testbed);
        let left = docker::run(&["ps", "-a", "-q", "--filter", &label])
            .await
            .expect("a list");
        assert_eq!(left, "", "containers are left");
    }
}

impl Drop for Bed {
    /// Also after a failed test, whose server is dropped before.
    fn drop(&mut self) {
        let removed = std::process::Command::new("docker")
            .args(["network", "rm", &self.options.network])
            .output();
        if !std::thread::panicking() {
            assert!(
                removed.expect("Docker").status.success(),
                "a network is left"
            );
        }
    }
}

/// Makes a network with a subnet that Docker found free, and gives an address at its upper end.
async fn make_network(name: &str, directory: &Utf8Path) -> Ipv4Addr {
    let label = format!("{LABEL}={directory}");
    let create = ["network", "create", "--label", &label];
    let subnet = [
        "network",
        "inspect",
        "--format",
        "{{(index .IPAM.Config 0).Subnet}}",
        name,
    ];
    // Another network may take the subnet between the two calls.
    for last in [false, false, true] {
        docker::run(&[&create[..], &[name]].concat())
            .await
            .expect("a network");
        let free = docker::run(&subnet).await.expect("a subnet");
        docker::run(&["network", "rm", name])
            .await
            .expect("removed");
        match docker::run(&[&create[..], &["--subnet", &free, name]].concat()).await {
            Ok(_) => {
                let (base, _) = free.split_once('/').expect("a subnet");
                let [a, b, c, _] = base.parse::<Ipv4Addr>().expect("an address").octets();
                return Ipv4Addr::new(a, b, c, 250);
            }
            Err(error) if last => panic!("{error}"),
            Err(_) => {}
        }
    }
    unreachable!("the last try returns or panics")
}

/// A view of an export from the state file.
pub(crate) fn view(info: &ExportInfo) -> ExportView {
    ExportView::new(ExportTarget {
        host: info.server.clone(),
        port: info.port,
        mount_port: info.mount_port,
        path: info.path.clone(),
        directory: Some(info.directory.clone()),
    })
}

/// A mount of another version than the view's.
pub(crate) async fn mount(info: &ExportInfo, version: &str) -> nfs_rs::Result<Box<dyn Mount>> {
    nfs_rs::parse_url_and_mount(&format!(
        "nfs://{}{}?version={version}&noresvport=true&uid=0&gid=0",
        info.server, info.path
    ))
    .await
}
