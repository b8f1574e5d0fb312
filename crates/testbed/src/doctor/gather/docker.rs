//! Docker, asked by its command.

use camino::Utf8PathBuf;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{COMMAND_LIMIT, system};
use crate::docker::command;
use crate::doctor::facts::{Daemon, DaemonFailure, Docker};

/// What `docker version --format '{{json .}}'` writes, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    client: Side,
    server: Option<Side>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Side {
    version: String,
    api_version: String,
}

/// What `docker info --format '{{json .}}'` writes, as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Info {
    #[serde(default)]
    driver: String,
    #[serde(default)]
    cgroup_version: String,
    #[serde(default)]
    default_runtime: String,
    #[serde(default)]
    docker_root_dir: Utf8PathBuf,
    #[serde(default)]
    security_options: Option<Vec<String>>,
}

/// What a call wrote, and whether it went well.
struct Said {
    out: String,
    err: String,
}

/// Looks at everything but images.
pub(super) async fn look() -> Docker {
    let Some(said) = call(&["version", "--format", "{{json .}}"]).await else {
        return Docker {
            client: None,
            host: None,
            host_is_given: false,
            daemon: Err(DaemonFailure::NotAsked),
            images: Vec::new(),
        };
    };
    let version: Option<Version> = parsed(&said);
    let given = std::env::var("DOCKER_HOST")
        .ok()
        .filter(|host| !host.is_empty());
    let host_is_given = given.is_some();
    let host = match given {
        Some(host) => Some(host),
        None => {
            text(&[
                "context",
                "inspect",
                "--format",
                "{{.Endpoints.docker.Host}}",
            ])
            .await
        }
    };
    let client = Some(version.as_ref().map_or_else(
        || "unknown version".to_owned(),
        |of| of.client.version.clone(),
    ));
    let daemon = match version.and_then(|of| of.server) {
        None => Err(failure(&said.err)),
        Some(server) => daemon(server).await,
    };
    Docker {
        client,
        host,
        host_is_given,
        daemon,
        images: Vec::new(),
    }
}

async fn daemon(server: Side) -> Result<Daemon, DaemonFailure> {
    let said = call(&["info", "--format", "{{json .}}"]).await;
    let Some(info) = said.as_ref().and_then(parsed::<Info>) else {
        let err = said.map_or_else(String::new, |said| said.err);
        return Err(failure(&err));
    };
    Ok(Daemon {
        version: server.version,
        api: server.api_version,
        storage: info.driver,
        cgroup: info.cgroup_version,
        rootless: info
            .security_options
            .unwrap_or_default()
            .iter()
            .any(|option| option.contains("rootless")),
        runtime: info.default_runtime,
        root: system::disk_of(&info.docker_root_dir),
        missing_capabilities: system::missing_capabilities(),
    })
}

/// What a call that goes wrong says of its reason.
fn failure(err: &str) -> DaemonFailure {
    if err.contains("permission denied") {
        return DaemonFailure::Refused;
    }
    let first = err
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("it does not answer");
    // A table has one line for it.
    DaemonFailure::Silent(first.chars().take(100).collect())
}

fn parsed<T: DeserializeOwned>(said: &Said) -> Option<T> {
    serde_json::from_str(&said.out).ok()
}

/// One value, `None` when the call fails or gives nothing.
async fn text(args: &[&str]) -> Option<String> {
    let said = call(args).await?;
    let out = said.out.trim();
    (!out.is_empty()).then(|| out.to_owned())
}

/// Calls Docker; `None` without such a command. A daemon that hangs is one that says nothing.
async fn call(args: &[&str]) -> Option<Said> {
    match timeout(COMMAND_LIMIT, command(args).output()).await {
        Ok(Ok(output)) => Some(Said {
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }),
        Ok(Err(_)) => None,
        Err(_elapsed) => Some(Said {
            out: String::new(),
            err: format!("no answer within {COMMAND_LIMIT:?}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(out: &str) -> Said {
        Said {
            out: out.to_owned(),
            err: String::new(),
        }
    }

    #[test]
    fn a_client_without_a_daemon_still_says_its_version() {
        let version: Version = parsed(&said(
            r#"{"Client":{"Version":"28.2.2","ApiVersion":"1.50","Os":"linux"},"Server":null}"#,
        ))
        .unwrap();
        assert_eq!(version.client.version, "28.2.2");
        assert!(version.server.is_none());
    }

    #[test]
    fn a_daemon_without_security_options_is_read() {
        let info: Info = parsed(&said(
            r#"{"Driver":"overlay2","CgroupVersion":"2","DefaultRuntime":"runc",
                "DockerRootDir":"/var/lib/docker","SecurityOptions":null}"#,
        ))
        .unwrap();
        assert_eq!(
            (info.driver.as_str(), info.cgroup_version.as_str()),
            ("overlay2", "2")
        );
    }

    #[test]
    fn a_closed_socket_is_told_from_a_dead_daemon() {
        assert_eq!(
            failure("permission denied while trying to connect to the docker API at unix:///x"),
            DaemonFailure::Refused
        );
        assert_eq!(
            failure("\nCannot connect to the Docker daemon at unix:///x. Is it running?\n"),
            DaemonFailure::Silent(
                "Cannot connect to the Docker daemon at unix:///x. Is it running?".to_owned()
            )
        );
        assert_eq!(
            failure(""),
            DaemonFailure::Silent("it does not answer".to_owned())
        );
    }
}
