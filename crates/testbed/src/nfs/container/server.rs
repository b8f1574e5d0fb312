//! Starting the server's container, and owning it.
//!
//! The crate testcontainers makes, starts and removes it. It cannot ask for a fixed address, which
//! a server needs that is to be found again after it was killed and started; the container is
//! connected anew with one by Docker's command.

use std::fmt;
use std::net::Ipv4Addr;

use camino::Utf8PathBuf;
use testcontainers::core::Mount;
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{
    ContainerAsync, ContainerRequest, GenericImage, ImageExt as _, TestcontainersError,
};
use tracing::warn;

use super::watch::{self, now};
use super::{ContainerError, EXPORT, MOUNT_PORT, PORT, SQUASHED, clear, place, wait_ready};
use crate::docker::{self, LABEL};
use crate::state::{ExportInfo, UnderWay};

/// Permission bits of the export's root, as of a directory that an administrator exports.
const EXPORT_MODE: u32 = 0o755;
/// Those of the squashed one: who comes as nobody must be able to do something there.
const SQUASHED_MODE: u32 = 0o777;

/// What an NFS server in a container is made of.
#[derive(Debug, Clone)]
pub struct ContainerExportOptions {
    /// The container's name, such as `cc-NAME-HASH-nfs` (see [`docker::resource_name`]).
    pub container: String,
    /// The testbed's directory, which labels the container.
    pub testbed: Utf8PathBuf,
    /// The image, as `docker` takes it; it is on this machine.
    pub image: String,
    /// The Docker network, made with a subnet of one's own, as fixed addresses require.
    pub network: String,
    /// The address on it.
    pub address: Ipv4Addr,
    /// The directory to export as [`EXPORT`], made unless it is there: on ext4, xfs, btrfs or tmpfs.
    pub directory: Utf8PathBuf,
    /// The directory to export as [`SQUASHED`], likewise.
    pub squashed: Utf8PathBuf,
    /// The file that gets the server's log when it is stopped or does not come up.
    pub log: Utf8PathBuf,
}

/// An NFS server that runs. Dropping it removes its container, and leaves the exported files.
pub struct ContainerExport {
    container: ContainerAsync<GenericImage>,
    options: ContainerExportOptions,
    since: String,
}

impl ContainerExport {
    /// Starts a server and ends when it serves both versions of the protocol.
    ///
    /// # Errors
    /// The directories cannot be exported, the image is not there, Docker refuses, or the server
    /// does not answer; nothing of it is left then.
    pub async fn start(options: &ContainerExportOptions) -> Result<Self, ContainerError> {
        place::prepare(&options.directory, EXPORT_MODE)?;
        place::prepare(&options.squashed, SQUASHED_MODE)?;
        docker::run(&["image", "inspect", "--format", "{{.Id}}", &options.image])
            .await
            .map_err(|source| ContainerError::Image {
                image: options.image.clone(),
                source,
            })?;
        remove_left_over(options).await?;
        let since = now();
        let container = match start(options).await {
            Ok(container) => container,
            Err(error) => {
                // The library leaves a container that was made and did not start.
                if let Err(left) = docker::run(&["rm", "-f", "-v", &options.container]).await {
                    warn!(container = options.container, %left, "a container may be left");
                }
                return Err(ContainerError::Start {
                    container: options.container.clone(),
                    image: options.image.clone(),
                    source: Box::new(error),
                });
            }
        };
        let export = Self {
            container,
            options: options.clone(),
            since,
        };
        let ready = async {
            export.fix_address().await?;
            wait_ready(&export.info()).await
        };
        match ready.await {
            Ok(()) => Ok(export),
            Err(error) => {
                export.keep_log().await;
                Err(error)
            }
        }
    }

    /// The export without root squash, as the state file has it.
    pub fn info(&self) -> ExportInfo {
        ExportInfo {
            server: self.options.address.to_string(),
            path: EXPORT.to_owned(),
            port: PORT,
            mount_port: MOUNT_PORT,
            directory: self.options.directory.clone(),
            container: Some(self.options.container.clone()),
        }
    }

    /// The export with root squash: root is user and group 65534 there.
    pub fn squashed(&self) -> ExportInfo {
        ExportInfo {
            path: SQUASHED.to_owned(),
            directory: self.options.squashed.clone(),
            ..self.info()
        }
    }

    /// Ends when the server ends by itself, with its last words. A server that was killed by
    /// `docker kill` or `docker stop`, from whatever process, is waited for.
    pub async fn failed(&self) -> ContainerError {
        watch::failed(&self.options.container, &self.since).await
    }

    /// Keeps the log, deletes what is in the exported directories and removes the container.
    ///
    /// # Errors
    /// Files cannot be deleted, or the container cannot be removed; it is removed even when files
    /// are left.
    pub async fn stop(self) -> Result<(), ContainerError> {
        let name = &self.options.container;
        self.keep_log().await;
        let cleared = clear(name).await;
        self.container
            .rm()
            .await
            .map_err(|error| ContainerError::Remove {
                container: name.clone(),
                source: Box::new(error),
            })?;
        cleared
    }

    /// A log that is lost is no reason to leave a server running.
    async fn keep_log(&self) {
        match docker::run(&["logs", &self.options.container]).await {
            Ok(text) => {
                if let Err(error) = fs_err::write(&self.options.log, text + "\n") {
                    warn!(%error, "cannot keep the NFS server's log");
                }
            }
            Err(error) => warn!(%error, "cannot read the NFS server's log"),
        }
    }

    /// Connects the container to its network anew, with its own address.
    async fn fix_address(&self) -> Result<(), ContainerError> {
        let ContainerExportOptions {
            container,
            network,
            address,
            ..
        } = &self.options;
        docker::run(&["network", "disconnect", network, container])
            .await
            .map_err(ContainerError::docker("disconnect", container))?;
        let address = address.to_string();
        docker::run(&["network", "connect", "--ip", &address, network, container])
            .await
            .map(drop)
            .map_err(ContainerError::docker(
                "give the fixed address to",
                container,
            ))
    }
}

impl fmt::Debug for ContainerExport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContainerExport")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Starts the container in a task of its own, which comes to its end whatever becomes of this future:
/// Docker goes on with a request that nobody waits for any more, and only its answer tells when it is
/// done. A container that then nobody takes is dropped, which removes it.
async fn start(
    options: &ContainerExportOptions,
) -> Result<ContainerAsync<GenericImage>, TestcontainersError> {
    let (request, under_way) = (request(options), UnderWay::of(&options.testbed));
    let task = tokio::spawn(async move { (request.start().await, under_way) });
    match task.await {
        Ok((started, _)) => started,
        Err(error) => Err(TestcontainersError::other(error)),
    }
}

/// Removes a container of the same name that this testbed's directory had before: whoever owned the
/// directory then is dead.
async fn remove_left_over(options: &ContainerExportOptions) -> Result<(), ContainerError> {
    let name = &options.container;
    let label = format!("{{{{index .Config.Labels {LABEL:?}}}}}");
    match docker::run(&["container", "inspect", "--format", &label, name]).await {
        Err(error) if error.is_missing_object() => Ok(()),
        Err(error) => Err(ContainerError::docker("look for", name)(error)),
        Ok(owner) if owner == options.testbed.as_str() => docker::run(&["rm", "-f", "-v", name])
            .await
            .map(drop)
            .map_err(ContainerError::docker("remove the old", name)),
        Ok(_other) => Err(ContainerError::Taken {
            container: name.clone(),
        }),
    }
}

fn request(options: &ContainerExportOptions) -> ContainerRequest<GenericImage> {
    let (name, tag) = name_and_tag(&options.image);
    GenericImage::new(name, tag)
        .with_container_name(&options.container)
        .with_label(LABEL, options.testbed.as_str())
        .with_network(&options.network)
        .with_mount(Mount::bind_mount(options.directory.as_str(), EXPORT))
        .with_mount(Mount::bind_mount(options.squashed.as_str(), SQUASHED))
        // open_by_handle_at(2), which Docker's own seccomp profile refuses besides.
        .with_cap_add("DAC_READ_SEARCH")
        .with_security_opt("seccomp=unconfined")
        // Where SELinux is on, a bind mount without a label is closed to containers.
        .with_security_opt("label=disable")
        // Nothing is to be had from this machine's own ports, whatever the image exposes.
        .with_host_config_modifier(|host| host.publish_all_ports = Some(false))
}

/// The two parts of a reference, which the library puts together again with a colon.
fn name_and_tag(image: &str) -> (&str, &str) {
    match image.rsplit_once(':') {
        // A colon before the last slash is that of a registry's port.
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("claimcheck/nfs-server:1-abc", ("claimcheck/nfs-server", "1-abc"))]
    #[case("nfs-server", ("nfs-server", "latest"))]
    #[case("host:5000/nfs-server", ("host:5000/nfs-server", "latest"))]
    #[case("host:5000/nfs-server:2", ("host:5000/nfs-server", "2"))]
    #[case("nfs@sha256:00ff", ("nfs@sha256", "00ff"))]
    fn references_are_taken_apart(#[case] image: &str, #[case] parts: (&str, &str)) {
        assert_eq!(name_and_tag(image), parts);
    }
}
