//! Looks at the machine. Nothing is started or changed; what cannot be found out is left open.

use std::time::Duration;

use tokio::time::timeout;

use crate::images::{Images, NeededImage};
use crate::machine;
use crate::process::reserve;
use crate::tools::{Tool, ToolError, ToolOptions, ToolState, Tools};

use super::facts::{Docker, Facts, PORTS, ToolCount};

mod docker;
mod online;
mod system;

/// How long a command of another program may take to answer.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// Looks at everything, `images` being the way by which a testbed would get its own. The network is used only when `online` is set; then a process-wide rustls
/// provider must be installed.
///
/// # Errors
/// The cache of tools cannot be read.
pub async fn gather(
    options: &ToolOptions,
    images: &Images<'_>,
    online: bool,
) -> Result<Facts, ToolError> {
    let (docker, go, online) = tokio::join!(docker(options, images), go(options), async {
        if online {
            Some(online::ask(&options.mirrors.kubernetes).await)
        } else {
            None
        }
    });
    Ok(Facts {
        root: nix::unistd::geteuid().is_root(),
        apt: system::has_program("apt-get"),
        memory: system::available_memory(),
        cache: system::disk(&options.cache),
        // Taken for a moment, as a boot does: every port is one that the system gives.
        ports: reserve::<PORTS>()
            .map(drop)
            .map_err(|error| error.to_string()),
        local_tools: count(options, &Tool::LOCAL)?,
        kind_tools: count(options, &Tool::KIND)?,
        node_tools: count(options, &Tool::NODE_IMAGE)?,
        go,
        debootstrap: system::has_program("debootstrap"),
        fuse: system::fuse(),
        kernel_nfs: machine::kernel_has_nfs(),
        inotify: system::inotify(),
        docker,
        online,
    })
}

/// Docker, and which of the needed images it has.
async fn docker(options: &ToolOptions, images: &Images<'_>) -> Docker {
    let docker = docker::look().await;
    let present: Vec<NeededImage> = if docker.daemon.is_ok() {
        // A daemon that hangs is one that has nothing.
        let asked = timeout(COMMAND_LIMIT, images.at_hand(options)).await;
        asked.unwrap_or_default()
    } else {
        Vec::new()
    };
    Docker {
        images: present,
        ..docker
    }
}

/// How many of the tools are there.
fn count(options: &ToolOptions, wanted: &[Tool]) -> Result<ToolCount, ToolError> {
    let options = ToolOptions {
        wanted: wanted.to_vec(),
        ..options.clone()
    };
    let list = Tools::list(&options, false)?;
    let present = list
        .iter()
        .filter(|line| matches!(line.status, ToolState::Present(_)))
        .count();
    Ok(ToolCount {
        present,
        all: list.len(),
    })
}

/// What Go says of its version: `go version go1.26.0 linux/amd64`.
async fn go(options: &ToolOptions) -> Option<String> {
    let mut command = tokio::process::Command::new(&options.go);
    command
        .arg("version")
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    let output = timeout(COMMAND_LIMIT, command.output()).await.ok()?.ok()?;
    let said = String::from_utf8_lossy(&output.stdout);
    said.split_whitespace().nth(2).map(str::to_owned)
}
