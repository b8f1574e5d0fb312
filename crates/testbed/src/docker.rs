//! Docker, by its command: what the `kind` cluster, its images and its NFS server need of it.
//!
//! Everything that a testbed makes carries the label [`LABEL`] with the testbed's directory, or a
//! name derived from it ([`resource_name`]), so that a later command finds what a dead one left.

use std::io;
use std::process::{ExitStatus, Stdio};

use camino::Utf8Path;
use thiserror::Error;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Label of every container and network of a testbed; its value is the testbed's directory.
pub const LABEL: &str = "dev.claimcheck.testbed";

/// Characters of a testbed's name that are in the names of what it has: kind adds `-control-plane`,
/// and all of it must fit into a label of a host name, of 63 characters (RFC 1123).
const NAME_SHOWN: usize = 37;

/// Characters of an error's text that are shown: the end of it, where the cause is.
const SHOWN: usize = 2000;

/// Why a call of Docker failed.
#[derive(Debug, Error)]
pub enum DockerError {
    /// There is no such command.
    #[error("the command `docker` cannot be run; `claimcheck doctor` says what is missing")]
    Missing(#[source] io::Error),
    /// It ended with an error.
    #[error("`docker {call}` failed ({status}): {said}")]
    Failed {
        /// Its arguments, shortened.
        call: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote.
        said: String,
    },
    /// Its output is not what it documents.
    #[error("`docker {call}` answered something unexpected: {answer}")]
    Answer {
        /// Its arguments, shortened.
        call: String,
        /// What it wrote.
        answer: String,
    },
}

impl DockerError {
    /// Whether the container, image, network or volume that was asked for does not exist.
    pub fn is_missing_object(&self) -> bool {
        match self {
            Self::Failed { said, .. } => says_missing(said),
            Self::Missing(_) | Self::Answer { .. } => false,
        }
    }
}

/// Whether Docker's words are that it does not know an object. Client and daemon, and their versions,
/// differ in upper and lower case: `Error: No such image: x`, `get x: no such volume`, `network x not
/// found`. A host, a file or a program in a container that is not there is something else.
pub(crate) fn says_missing(said: &str) -> bool {
    const KINDS: [&str; 5] = ["object", "image", "container", "network", "volume"];
    let said = said.to_lowercase();
    said.lines().any(|line| {
        let lacks = |kind: &&str| {
            line.contains(&format!("no such {kind}"))
                || (line.contains(*kind) && line.ends_with("not found"))
        };
        KINDS.iter().any(lacks) && !line.contains("executable file")
    })
}

/// A `docker` command for a call of one's own: no input, and killed with its future.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs `docker ARGS` and gives what it wrote to standard output, without surrounding white space.
///
/// # Errors
/// It cannot be run, or it ends with an error.
pub async fn run(args: &[&str]) -> Result<String, DockerError> {
    let output = command(args).output().await.map_err(DockerError::Missing)?;
    judge(args, &output)
}

/// Makes something that carries the [`LABEL`] of the testbed in `directory`: runs `docker CALL --label
/// ... ARGS`. Nobody ends the client early, not even the end of this process: Docker goes on with a
/// request whose client is dead, and who removes the testbed can only wait for a client
/// ([`crate::state::MARK`] finds it).
///
/// # Errors
/// As [`run`].
#[cfg(feature = "kind")]
pub(crate) async fn make(
    call: &[&str],
    args: &[&str],
    directory: &Utf8Path,
) -> Result<String, DockerError> {
    let label = format!("{LABEL}={directory}");
    let args = [call, &["--label", &label], args].concat();
    let mut command = command(&args);
    command
        .kill_on_drop(false)
        // A terminal's interrupt goes to the whole group of what runs in its foreground.
        .process_group(0)
        .env(crate::state::MARK, directory);
    let output = command.output().await.map_err(DockerError::Missing)?;
    judge(&args, &output)
}

/// As [`run`], with `input` on standard input.
///
/// # Errors
/// As [`run`].
pub async fn run_with_input(args: &[&str], input: &[u8]) -> Result<String, DockerError> {
    let mut child = command(args)
        .stdin(Stdio::piped())
        .spawn()
        .map_err(DockerError::Missing)?;
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    let written = async {
        // A command that ends before it has read everything says itself why.
        let _ = stdin.write_all(input).await;
        drop(stdin);
    };
    let ((), output) = tokio::join!(written, child.wait_with_output());
    judge(args, &output.map_err(DockerError::Missing)?)
}

/// Runs a command in a running container and gives what it wrote.
///
/// # Errors
/// As [`run`]; also when the command itself fails.
pub async fn exec(container: &str, args: &[&str]) -> Result<String, DockerError> {
    let call: Vec<&str> = ["exec", container].iter().chain(args).copied().collect();
    run(&call).await
}

/// The name of what a testbed has one of, such as its network: `cc-NAME-DIGITS`, where the digits
/// stand for its directory, so that testbeds of one name below two state roots do not collide. Of a
/// long name only the beginning is in it, and the digits tell the rest apart.
pub fn resource_name(testbed: &str, directory: &Utf8Path) -> String {
    // FNV-1a: stable between builds, which the standard library's hashers do not promise.
    let hash = directory
        .as_str()
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
    let shown: String = testbed.chars().take(NAME_SHOWN).collect();
    format!("cc-{}-{hash:08x}", shown.trim_end_matches('-'))
}

fn judge(args: &[&str], output: &std::process::Output) -> Result<String, DockerError> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let text = if output.stderr.is_empty() {
        &output.stdout
    } else {
        &output.stderr
    };
    Err(DockerError::Failed {
        call: shortened(args),
        status: output.status,
        said: end_of(String::from_utf8_lossy(text).trim()).to_owned(),
    })
}

/// The arguments as one line that fits into a message.
fn shortened(args: &[&str]) -> String {
    let line = args.join(" ").replace('\n', " ");
    match line.char_indices().nth(160) {
        Some((at, _)) => format!("{} ...", &line[..at]),
        None => line,
    }
}

/// The last [`SHOWN`] characters of a text.
fn end_of(text: &str) -> &str {
    match text.char_indices().rev().nth(SHOWN) {
        Some((at, _)) => &text[at..],
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_directories_apart_and_are_stable() {
        let here = resource_name("default", Utf8Path::new("/a/clusters/default"));
        assert_eq!(
            here,
            resource_name("default", Utf8Path::new("/a/clusters/default"))
        );
        assert_ne!(
            here,
            resource_name("default", Utf8Path::new("/b/clusters/default"))
        );
        assert!(here.starts_with("cc-default-"), "{here}");
    }

    #[test]
    fn a_long_name_is_cut_and_the_rest_of_it_still_counts() {
        let of = |name: &str| resource_name(name, &Utf8Path::new("/a/clusters").join(name));
        let (one, other) = (
            format!("{}one", "x".repeat(37)),
            format!("{}two", "x".repeat(37)),
        );
        assert_ne!(of(&one), of(&other));
        assert_eq!(of(&one).len(), "cc-".len() + NAME_SHOWN + "-01234567".len());
        // No hyphen before the one that follows.
        let cut = of(&format!("{}-end", "x".repeat(36)));
        assert!(cut.starts_with(&format!("cc-{}-", "x".repeat(36))), "{cut}");
        assert!(!cut.contains("--"), "{cut}");
    }

    #[test]
    fn an_object_that_docker_does_not_know_is_told_from_other_failures() {
        let missing = |said: &str| {
            let failed = DockerError::Failed {
                call: String::new(),
                status: ExitStatus::default(),
                said: said.to_owned(),
            };
            failed.is_missing_object()
        };
        for said in [
            "Error: No such object: x",
            "Error: No such image: x",
            "Error response from daemon: No such container: x",
            "Error: No such volume: x",
            "Error response from daemon: get x: no such volume",
            "Error response from daemon: network x not found",
            "[]\nError response from daemon: no such image: x",
        ] {
            assert!(missing(said), "{said}");
        }
        for said in [
            "Error response from daemon: Get \"https://r.example/v2/\": dial tcp: lookup r.example: no such host",
            "cat: /etc/x: No such file or directory",
            "OCI runtime exec failed: unable to start container process: exec: \"x\": executable file not found in $PATH",
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock",
            "",
        ] {
            assert!(!missing(said), "{said}");
        }
        assert!(!DockerError::Missing(io::ErrorKind::NotFound.into()).is_missing_object());
    }

    #[test]
    fn long_calls_and_answers_are_shortened_for_messages() {
        assert_eq!(shortened(&["ps", "-a"]), "ps -a");
        assert!(shortened(&["x".repeat(500).as_str()]).ends_with(" ..."));
        assert_eq!(end_of(&"é".repeat(3000)).chars().count(), SHOWN + 1);
    }
}
