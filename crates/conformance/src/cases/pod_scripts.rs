//! Scripts that go on in a pod while a case does something else, and what is waited for in a pod.

use std::time::Duration;

use tokio::time::{Instant, interval};

use crate::limits::Limit;
use crate::trouble::{CaseResult, Trouble};
use crate::world::World;
use crate::world::pods::Shell;

/// How often a file on the export is read while it is waited for: an export has no watch.
const POLL: Duration = Duration::from_millis(100);
/// Exit code of a script that waited in vain.
const LATE: i32 = 75;

/// Starts `script` in the pod and does not wait for it. The script and what it writes are
/// `/tmp/<name>.sh` and `/tmp/<name>.log` in the pod.
pub(super) async fn background(shell: &Shell<'_>, name: &str, script: &str) -> CaseResult {
    // A stream that stays open would keep the call from ending.
    let start = format!(
        "mkdir -p /tmp\ncat > /tmp/{name}.sh <<'END'\n{script}\nEND\n\
         sh /tmp/{name}.sh </dev/null >/tmp/{name}.log 2>&1 &"
    );
    shell.run(&start).await.map(drop)
}

/// Waits in the pod until the shell command `condition` succeeds; `what` says what that means. A
/// file in a pod has no watch: the command is run again and again.
///
/// # Errors
/// Failed with the logs of the pod's scripts when it does not within limit `pod`.
pub(super) async fn until(
    world: &World,
    shell: &Shell<'_>,
    what: &str,
    condition: &str,
) -> CaseResult {
    let limit = world.limit(Limit::Pod);
    let tenths = limit.as_millis() / 100;
    let script = format!(
        "n=0; until {condition}; do n=$((n + 1)); [ $n -le {tenths} ] || exit {LATE}; \
         sleep 0.1; done"
    );
    let output = shell.output(&script).await?;
    if output.code == 0 {
        return Ok(());
    }
    let logs = shell.output("tail -n 20 /tmp/*.log").await?;
    let expected = format!(
        "{what} in pod {} within {} s (limit {})",
        shell.name,
        limit.as_secs(),
        Limit::Pod.name()
    );
    let observed = match output.code {
        LATE => format!("`{condition}` never held"),
        code => format!("waiting ended with {code}: {}", output.stderr.trim()),
    };
    Err(Trouble::failed(expected, observed).with_evidence(logs.stdout))
}

/// Waits until the file `path` on the export is exactly `text`.
///
/// # Errors
/// Failed with what it is when it is not within limit `pod`; inconclusive when the export does not
/// answer.
pub(super) async fn becomes(world: &World, path: &str, text: &str) -> CaseResult {
    let limit = world.limit(Limit::Pod);
    let deadline = Instant::now() + limit;
    let mut ticks = interval(POLL);
    loop {
        ticks.tick().await;
        let found = match world.export().read(path).await {
            Ok(bytes) if bytes == text.as_bytes() => return Ok(()),
            Ok(bytes) => format!("it is {:?}", String::from_utf8_lossy(&bytes)),
            Err(error) if error.is_missing() => "there is no such file".to_owned(),
            Err(error) => return Err(error.into()),
        };
        if Instant::now() >= deadline {
            let expected = format!(
                "{path} on the server's side is {text:?} within {} s (limit {})",
                limit.as_secs(),
                Limit::Pod.name()
            );
            return Err(Trouble::failed(expected, found));
        }
    }
}

/// The text of a file on the server's side.
///
/// # Errors
/// Failed when there is no such file; inconclusive when the export does not answer.
pub(super) async fn text_served(world: &World, path: &str) -> CaseResult<String> {
    match world.export().read(path).await {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.is_missing() => Err(Trouble::failed(
            format!("{path} is on the server's side"),
            "there is no such file",
        )),
        Err(error) => Err(error.into()),
    }
}

/// The SHA-256 of a file in a pod, in lower-case hexadecimal.
///
/// # Errors
/// As [`Shell::run`].
pub(super) async fn sha256(shell: &Shell<'_>, path: &str) -> CaseResult<String> {
    let text = shell.run(&format!("sha256sum '{path}'")).await?;
    let digest = text.split_whitespace().next().unwrap_or_default();
    Ok(digest.to_lowercase())
}

/// The SHA-256 of a file of a volume on the server's side, the same over the protocol and behind it.
///
/// # Errors
/// Failed when there is no such file.
pub(super) async fn sha256_served(
    world: &World,
    directory: &str,
    file: &str,
) -> CaseResult<String> {
    let manifest = world.manifest(directory).await?;
    let digest = manifest.get(file).and_then(|entry| entry.sha256.clone());
    digest.ok_or_else(|| {
        let names: Vec<_> = manifest
            .entries
            .iter()
            .map(|entry| entry.path.as_str())
            .collect();
        Trouble::failed(
            format!("{directory} on the server's side has a file {file}"),
            format!("it has {names:?}"),
        )
    })
}
