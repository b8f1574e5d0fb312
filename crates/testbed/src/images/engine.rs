//! What is asked of Docker about images.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::time::timeout;

use super::Say;
use crate::docker::{self, DockerError};

/// How long a registry may take until it says anything about an image. Docker itself tries for a
/// minute and more where packets vanish.
const FIRST_WORD: Duration = Duration::from_secs(20);
/// How long a pull may be silent after that: Docker says nothing while a layer arrives.
const SILENCE: Duration = Duration::from_mins(10);
/// How often a long pull is reported.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Answers of a registry that was reached.
const REFUSALS: [&str; 6] = [
    "denied",
    "manifest unknown",
    "no matching manifest",
    "not found",
    "toomanyrequests",
    "unauthorized",
];

/// Why a pull gave nothing.
#[derive(Debug)]
pub(crate) enum PullFailure {
    /// Docker itself does not work.
    Docker(DockerError),
    /// The registry cannot be reached, or it does not have the image; the text says why.
    Nothing(String),
}

/// Docker's store and the registries behind it.
#[async_trait]
pub(crate) trait Engine: Send + Sync {
    /// Whether Docker has an image.
    async fn present(&self, reference: &str) -> Result<bool, DockerError>;

    /// Pulls an image, within limits.
    async fn pull(&self, reference: &str, say: Say<'_>) -> Result<(), PullFailure>;
}

/// Docker by its command. Remembers which registries cannot be reached, and asks them once only.
#[derive(Debug, Default)]
pub(crate) struct Docker {
    unreachable: Mutex<BTreeMap<String, String>>,
}

#[async_trait]
impl Engine for Docker {
    async fn present(&self, reference: &str) -> Result<bool, DockerError> {
        match docker::run(&["image", "inspect", "--format", "{{.Id}}", reference]).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_missing_object() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn pull(&self, reference: &str, say: Say<'_>) -> Result<(), PullFailure> {
        let registry = registry(reference);
        if let Some(reason) = self.remembered(registry) {
            return Err(PullFailure::Nothing(reason));
        }
        say(&format!("pulling {reference}"));
        match pull(reference, say).await.map_err(PullFailure::Docker)? {
            Pull::Done => Ok(()),
            Pull::Refused(reason) => Err(PullFailure::Nothing(reason)),
            Pull::Unreachable(reason) => {
                let mut known = self
                    .unreachable
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                known.insert(registry.to_owned(), reason.clone());
                Err(PullFailure::Nothing(reason))
            }
        }
    }
}

impl Docker {
    fn remembered(&self, registry: &str) -> Option<String> {
        self.unreachable
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(registry)
            .cloned()
    }
}

enum Pull {
    Done,
    /// The registry was reached and does not give the image.
    Refused(String),
    Unreachable(String),
}

async fn pull(reference: &str, say: Say<'_>) -> Result<Pull, DockerError> {
    let mut child = docker::command(&["pull", reference])
        .spawn()
        .map_err(DockerError::Missing)?;
    let mut lines = BufReader::new(child.stdout.take().expect("standard output is a pipe")).lines();
    let mut stderr = child.stderr.take().expect("standard error is a pipe");
    let since = Instant::now();
    let mut heard: Option<Instant> = None;
    loop {
        let limit = match heard {
            None => FIRST_WORD.checked_sub(since.elapsed()),
            Some(last) => SILENCE.checked_sub(last.elapsed()),
        };
        let Some(limit) = limit else {
            // The command is killed with `child`, and with its client gone Docker ends the pull.
            return Ok(Pull::Unreachable(match heard {
                None => format!(
                    "the registry said nothing within {} s",
                    FIRST_WORD.as_secs()
                ),
                Some(_) => format!("the registry fell silent for {} s", SILENCE.as_secs()),
            }));
        };
        match timeout(limit.min(HEARTBEAT), lines.next_line()).await {
            Ok(Ok(Some(_))) => heard = Some(Instant::now()),
            // The end of the output, or output that is not UTF-8: the exit status decides.
            Ok(Ok(None) | Err(_)) => break,
            Err(_) => {
                if heard.is_some() {
                    say(&format!(
                        "pulling {reference} ({} s)",
                        since.elapsed().as_secs()
                    ));
                }
            }
        }
    }
    // Docker writes one line of error at its end, which fits into the pipe meanwhile.
    let mut said = String::new();
    let _ = stderr.read_to_string(&mut said).await;
    let status = child.wait().await.map_err(DockerError::Missing)?;
    if status.success() {
        return Ok(Pull::Done);
    }
    judge(reference, status, said.trim())
}

/// What a failed `docker pull` means.
fn judge(
    reference: &str,
    status: std::process::ExitStatus,
    said: &str,
) -> Result<Pull, DockerError> {
    if said.contains("Cannot connect to the Docker daemon") || said.contains("docker.sock") {
        return Err(DockerError::Failed {
            call: format!("pull {reference}"),
            status,
            said: said.to_owned(),
        });
    }
    let reason = said
        .lines()
        .last()
        .map(|line| line.trim_start_matches("Error response from daemon: "))
        .filter(|line| !line.is_empty())
        .map_or_else(
            || format!("`docker pull` ended with {status}"),
            str::to_owned,
        );
    if REFUSALS.iter().any(|refusal| said.contains(refusal)) {
        Ok(Pull::Refused(reason))
    } else {
        Ok(Pull::Unreachable(reason))
    }
}

/// The registry of a reference: its first part if that looks like a host
/// (<https://pkg.go.dev/github.com/distribution/reference>), else Docker's own.
fn registry(reference: &str) -> &str {
    match reference.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "docker.io",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("busybox", "docker.io")]
    #[case("kindest/node:v1", "docker.io")]
    #[case("docker.io/library/nginx:1", "docker.io")]
    #[case("localhost/a", "localhost")]
    #[case("registry:5000/a/b@sha256:00", "registry:5000")]
    fn the_registry_is_the_host_in_front(#[case] reference: &str, #[case] host: &str) {
        assert_eq!(registry(reference), host);
    }

    #[rstest]
    #[case::no_name_service(
        "Error response from daemon: Get \"https://r.example/v2/\": dial tcp: lookup r.example: no such host",
        false
    )]
    #[case::no_route(
        "Error response from daemon: dial tcp 10.0.0.1:443: connect: no route to host",
        false
    )]
    #[case::timeout("Error response from daemon: context deadline exceeded", false)]
    #[case::no_tag(
        "Error response from daemon: manifest for a:1 not found: manifest unknown: manifest unknown",
        true
    )]
    #[case::private(
        "Error response from daemon: pull access denied for a, repository does not exist",
        true
    )]
    #[case::limited("toomanyrequests: You have reached your pull rate limit", true)]
    fn a_registry_that_answered_is_told_from_one_that_did_not(
        #[case] said: &str,
        #[case] reached: bool,
    ) {
        let status = ExitStatus::from_raw(256);
        let verdict = judge("a:1", status, said).unwrap();
        let (refused, reason) = match verdict {
            Pull::Refused(reason) => (true, reason),
            Pull::Unreachable(reason) => (false, reason),
            Pull::Done => panic!("`{said}` is a failure"),
        };
        assert_eq!(refused, reached);
        assert!(!reason.starts_with("Error response"), "{reason}");
    }

    #[test]
    fn a_docker_that_does_not_run_is_no_matter_of_registries() {
        let said = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.";
        let error = judge("a:1", ExitStatus::from_raw(256), said).err();
        assert!(matches!(error, Some(DockerError::Failed { .. })));
    }

    #[tokio::test]
    async fn a_registry_that_cannot_be_reached_is_not_asked_again() {
        let docker = Docker::default();
        docker
            .unreachable
            .lock()
            .unwrap()
            .insert("registry.invalid".to_owned(), "no such host".to_owned());
        let failure = docker
            .pull("registry.invalid/a:1", &|line| {
                panic!("asked again: {line}")
            })
            .await
            .unwrap_err();
        assert!(matches!(failure, PullFailure::Nothing(reason) if reason == "no such host"));
    }
}
