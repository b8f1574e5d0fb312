//! Running a script in a pod, and what came of it.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::AttachParams;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::World;
use crate::trouble::{CaseResult, Trouble, in_full};

/// How long a script in a pod may take; copying 100 MiB on a slow machine fits in. A script that
/// waits for a server that is gone would wait for ever.
const SCRIPT_LIMIT: Duration = Duration::from_mins(2);

/// How much of each stream is in flight between the pod and the suite, in bytes.
const BUFFER: usize = 64 * 1024;

/// What a script in a pod wrote, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Standard output; bytes that are no UTF-8 are replaced.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
    /// Exit code; 0 is success.
    pub code: i32,
}

impl World {
    /// Runs `script` by `sh -c` in the only container of a running pod, and gives what it wrote to
    /// standard output, without white space at its end.
    ///
    /// # Errors
    /// Failed with both streams when the script does not end with 0; inconclusive when it cannot be
    /// run, or does not end within two minutes.
    pub async fn run_in(&self, pod: &str, script: &str) -> CaseResult<String> {
        let output = self.output_in(pod, script).await?;
        if output.code == 0 {
            return Ok(output.stdout.trim_end().to_owned());
        }
        let failure = Trouble::failed(
            format!("`{script}` succeeds in pod {pod}"),
            format!(
                "it ended with {}: {}",
                output.code,
                one_line(&output.stderr, &output.stdout)
            ),
        );
        Err(failure.with_evidence(format!(
            "standard output:\n{}\nstandard error:\n{}",
            output.stdout, output.stderr
        )))
    }

    /// As [`World::run_in`], for a script that may fail: both streams, as they are, and the code.
    ///
    /// # Errors
    /// Inconclusive when it cannot be run, or does not end within two minutes.
    pub async fn output_in(&self, pod: &str, script: &str) -> CaseResult<Output> {
        let lost = |cause: String| {
            Trouble::inconclusive(format!("`{script}` could not be run in pod {pod}: {cause}"))
        };
        let running = Box::pin(self.exec(pod, script));
        match tokio::time::timeout(SCRIPT_LIMIT, running).await {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(cause)) => Err(lost(cause)),
            Err(_) => Err(lost(format!(
                "it did not end within {} s",
                SCRIPT_LIMIT.as_secs()
            ))),
        }
    }

    async fn exec(&self, pod: &str, script: &str) -> Result<Output, String> {
        let params = AttachParams::default()
            .stdin(false)
            .stdout(true)
            .stderr(true)
            .max_stdout_buf_size(BUFFER)
            .max_stderr_buf_size(BUFFER);
        let mut process = self
            .api::<Pod>()
            .exec(pod, ["/bin/sh", "-c", script], &params)
            .await
            .map_err(|error| in_full(&error))?;
        let status = process.take_status();
        let (out, err) = (process.stdout(), process.stderr());
        // Both at once: a full stream that nobody reads would hold up the other.
        let (stdout, stderr) = futures::try_join!(all(out), all(err))
            .map_err(|error| format!("its output cannot be read: {error}"))?;
        let status = match status {
            Some(status) => status.await,
            None => None,
        };
        let status = status.ok_or("the connection ended before the script did")?;
        let code = exit_code(&status)?;
        Ok(Output {
            stdout,
            stderr,
            code,
        })
    }
}

/// All of a stream, as text.
async fn all(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        stream.read_to_end(&mut bytes).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The exit code in the status that ends an `exec` (k8s.io/client-go, remotecommand: success, or a
/// failure `NonZeroExitCode` whose cause `ExitCode` has the code as its message).
fn exit_code(status: &Status) -> Result<i32, String> {
    if status.status.as_deref() == Some("Success") {
        return Ok(0);
    }
    let causes = status
        .details
        .iter()
        .flat_map(|details| details.causes.iter().flatten());
    let code = causes
        .filter(|cause| cause.reason.as_deref() == Some("ExitCode"))
        .find_map(|cause| cause.message.as_deref()?.parse().ok());
    code.ok_or_else(|| {
        let message = status.message.clone();
        message.unwrap_or_else(|| "it failed, and no exit code was told".to_owned())
    })
}

/// What tells most in one line: the last line of standard error, else of standard output.
fn one_line<'t>(stderr: &'t str, stdout: &'t str) -> &'t str {
    let last = |text: &'t str| text.lines().rfind(|line| !line.trim().is_empty());
    last(stderr)
        .or_else(|| last(stdout))
        .unwrap_or("it wrote nothing")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(value: Value) -> Status {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn an_exit_code_is_read_from_the_status_that_ends_an_exec() {
        assert_eq!(exit_code(&status(json!({"status": "Success"}))), Ok(0));
        let failure = status(json!({
            "status": "Failure",
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": "7"}]},
        }));
        assert_eq!(exit_code(&failure), Ok(7));
        let broken = status(json!({"status": "Failure", "message": "no such container"}));
        assert_eq!(exit_code(&broken), Err("no such container".to_owned()));
    }

    #[test]
    fn the_last_line_that_was_written_explains_a_failure() {
        assert_eq!(one_line("a\nb\n\n", "c"), "b");
        assert_eq!(one_line("\n", "c\n"), "c");
        assert_eq!(one_line("", ""), "it wrote nothing");
    }
}
