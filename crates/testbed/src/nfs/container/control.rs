//! What is done to a running server by its container's name alone.

use super::{ContainerError, EXPORT, SQUASHED};
use crate::docker;

/// Lines of the server's log that its death shows.
const TAIL: &str = "15";

/// Kills the server with SIGKILL, as a crash of its machine's processes would. Its address is kept.
///
/// # Errors
/// There is no such container, or it is not running.
pub async fn kill(container: &str) -> Result<(), ContainerError> {
    docker::run(&["kill", "--signal", "KILL", container])
        .await
        .map(drop)
        .map_err(ContainerError::docker("kill", container))
}

/// Starts a killed server again, at the same address and over the same directories. It answers a
/// moment later: [`super::wait_ready`].
///
/// # Errors
/// There is no such container, or it does not start.
pub async fn start_again(container: &str) -> Result<(), ContainerError> {
    docker::run(&["start", container])
        .await
        .map(drop)
        .map_err(ContainerError::docker("start", container))
}

/// Deletes everything below the exported directories, from inside of the container: files there
/// belong to users that the caller may not be. The server is started for it when it does not run.
///
/// Behind the server's back, so that no client may follow.
///
/// # Errors
/// There is no such container, or something cannot be deleted.
pub async fn clear(container: &str) -> Result<(), ContainerError> {
    start_again(container).await?;
    docker::exec(
        container,
        &["find", EXPORT, SQUASHED, "-mindepth", "1", "-delete"],
    )
    .await
    .map(drop)
    .map_err(ContainerError::docker("empty the exports of", container))
}

/// The error of a server that ended by itself, with its exit code and the end of its log.
pub(super) async fn ended(container: &str) -> ContainerError {
    let asked = async |args: &[&str]| {
        docker::run(args)
            .await
            .unwrap_or_else(|error| error.to_string())
    };
    ContainerError::Ended {
        container: container.to_owned(),
        code: asked(&["inspect", "--format", "{{.State.ExitCode}}", container]).await,
        log: asked(&["logs", "--tail", TAIL, container]).await,
    }
}

/// Whether the container runs.
pub(super) async fn is_running(container: &str) -> Result<bool, ContainerError> {
    let answer = docker::run(&["inspect", "--format", "{{.State.Running}}", container])
        .await
        .map_err(ContainerError::docker("look at", container))?;
    Ok(answer == "true")
}
