//! Tells a server that ended by itself from one that a case killed.
//!
//! Docker tells both ends alike; but before an end that somebody asked for it tells of the signal
//! that was sent. A server may be killed from another process, so nothing of this one can know.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::ContainerError;
use super::control::ended;
use crate::docker;

/// What is known from the events so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Watch {
    /// Whether a signal was sent since the last start.
    asked_to_end: bool,
}

/// What an event means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// Nothing to worry about.
    Fine,
    /// It ended by itself.
    EndedAlone,
}

impl Watch {
    /// Takes in the next event, by the name of its action.
    fn heard(&mut self, action: &str) -> Meaning {
        match action {
            "start" => self.asked_to_end = false,
            "kill" => self.asked_to_end = true,
            "die" if !self.asked_to_end => return Meaning::EndedAlone,
            _ => {}
        }
        Meaning::Fine
    }
}

/// A moment as Docker takes it, in seconds since 1970.
pub(super) fn now() -> String {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    format!("{}.{:09}", since.as_secs(), since.subsec_nanos())
}

/// Ends when the container ends without having been sent a signal, or when that can no longer be
/// told.
///
/// `since` is a moment of [`now`]; nothing that happened after it is missed.
pub(super) async fn failed(container: &str, since: &str) -> ContainerError {
    let of = format!("container={container}");
    let mut child = match docker::command(&[
        "events",
        "--since",
        since,
        "--filter",
        &of,
        "--filter",
        "event=start",
        "--filter",
        "event=kill",
        "--filter",
        "event=die",
        "--format",
        "{{.Action}}",
    ])
    .stderr(std::process::Stdio::null())
    .spawn()
    {
        Ok(child) => child,
        Err(source) => {
            return ContainerError::docker("watch", container)(docker::DockerError::Missing(
                source,
            ));
        }
    };
    let mut watch = Watch::default();
    if let Some(events) = child.stdout.take() {
        let mut lines = BufReader::new(events).lines();
        while let Ok(Some(action)) = lines.next_line().await {
            if watch.heard(action.trim()) == Meaning::EndedAlone {
                return ended(container).await;
            }
        }
    }
    ContainerError::Unwatched {
        container: container.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::a_crash(&["start", "die"], true)]
    #[case::a_kill(&["start", "kill", "die"], false)]
    #[case::a_kill_and_a_new_start(&["start", "kill", "die", "start"], false)]
    #[case::a_crash_after_a_kill_and_a_new_start(&["start", "kill", "die", "start", "die"], true)]
    #[case::a_signal_that_it_outlives(&["start", "kill", "start", "kill"], false)]
    #[case::a_crash_without_a_start_seen(&["die"], true)]
    fn only_an_end_without_a_signal_is_a_failure(#[case] actions: &[&str], #[case] failed: bool) {
        let mut watch = Watch::default();
        let ended = actions
            .iter()
            .any(|action| watch.heard(action) == Meaning::EndedAlone);
        assert_eq!(ended, failed);
    }
}
