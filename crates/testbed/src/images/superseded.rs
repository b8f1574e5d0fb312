//! Removal of builds that newer ones have taken the place of.
//!
//! The image of the running program changes with every build of it, and each is as large as the
//! program. The newest two of a name stay, so that two checkouts that take turns do not build anew
//! each time.

use std::cmp::Reverse;

use jiff::{SignedDuration, Timestamp};
use tracing::{info, warn};

use crate::docker::{self, DockerError};

/// The label that every recipe gives its image; its value is the hash of its inputs.
const INPUTS: &str = "dev.claimcheck.inputs";
/// So many builds of one name stay, whatever their age.
const KEPT: usize = 2;
/// What is younger may be on its way into the nodes of a testbed that is booting.
pub(crate) const GRACE: SignedDuration = SignedDuration::from_mins(15);

/// An image that may be one of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    reference: String,
    created: Timestamp,
    /// The label's value.
    key: String,
}

impl Listed {
    /// Whether the tag is the one that the build gave: others are somebody's own.
    fn has_its_first_name(&self) -> bool {
        self.reference
            .rsplit_once(':')
            .and_then(|(_, tag)| tag.strip_suffix(self.key.as_str()))
            .is_some_and(|rest| !self.key.is_empty() && (rest.is_empty() || rest.ends_with('-')))
    }
}

/// Removes older builds of the image that was just built, unless a container uses them. A build that
/// cannot be removed stays, which is said in the log and is no error.
pub(crate) async fn remove(built: &str, grace: SignedDuration) {
    let listed = match list(built).await {
        Ok(listed) => listed,
        Err(error) => {
            warn!(built, %error, "older builds cannot be looked for");
            return;
        }
    };
    for reference in superseded(&listed, built, Timestamp::now(), grace) {
        // Without force: Docker itself knows which images its containers use.
        match docker::run(&["rmi", reference]).await {
            Ok(_) => info!(reference, built, "removed an older build"),
            // Another process was faster.
            Err(error) if error.is_missing_object() => {}
            Err(error) => info!(reference, %error, "an older build stays"),
        }
    }
}

/// The labelled images with the name of `built`, in any version.
async fn list(built: &str) -> Result<Vec<Listed>, DockerError> {
    let repository = built.rsplit_once(':').map_or(built, |(name, _)| name);
    let filter = format!("label={INPUTS}");
    let call = [
        "image",
        "ls",
        "--filter",
        &filter,
        "--format",
        "{{.Repository}}:{{.Tag}}",
        repository,
    ];
    let names = docker::run(&call).await?;
    let names: Vec<&str> = names
        .lines()
        .filter(|name| !name.ends_with(":<none>"))
        .collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let format = format!("{{{{.Created}}}} {{{{index .Config.Labels {INPUTS:?}}}}}");
    let call: Vec<&str> = ["image", "inspect", "--format", &format]
        .into_iter()
        .chain(names.iter().copied())
        .collect();
    // One line for each, in the same order.
    let described = docker::run(&call).await?;
    Ok(names
        .iter()
        .zip(described.lines())
        .filter_map(|(name, line)| {
            let (created, key) = line.split_once(' ')?;
            Some(Listed {
                reference: (*name).to_owned(),
                created: created.parse().ok()?,
                key: key.to_owned(),
            })
        })
        .collect())
}

/// The builds that go: those that are neither `built` nor one of the newest beside it, and are older
/// than `grace`.
fn superseded<'a>(
    listed: &'a [Listed],
    built: &str,
    now: Timestamp,
    grace: SignedDuration,
) -> Vec<&'a str> {
    let mut others: Vec<&Listed> = listed
        .iter()
        .filter(|image| image.has_its_first_name() && image.reference != built)
        .collect();
    others.sort_by_key(|image| Reverse(image.created));
    others
        .into_iter()
        .skip(KEPT - 1)
        .filter(|image| now.duration_since(image.created) >= grace)
        .map(|image| image.reference.as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-23T12:00:00Z";

    /// An image of that many minutes ago.
    fn image(tag: &str, key: &str, minutes: i64) -> Listed {
        let now: Timestamp = NOW.parse().unwrap();
        Listed {
            reference: format!("claimcheck/provisioner:{tag}"),
            created: now - SignedDuration::from_mins(minutes),
            key: key.to_owned(),
        }
    }

    fn removed(listed: &[Listed], built: &str) -> Vec<String> {
        superseded(listed, built, NOW.parse().unwrap(), GRACE)
            .into_iter()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn the_newest_two_stay_and_older_ones_go() {
        let listed = [
            image("c", "c", 60),
            image("a", "a", 180),
            image("d", "d", 0),
            image("v1-b", "b", 120),
        ];
        assert_eq!(
            removed(&listed, "claimcheck/provisioner:d"),
            ["claimcheck/provisioner:v1-b", "claimcheck/provisioner:a"]
        );
    }

    #[test]
    fn two_checkouts_that_take_turns_keep_an_image_each() {
        let listed = [image("mine", "mine", 0), image("theirs", "theirs", 10_000)];
        assert_eq!(removed(&listed, "claimcheck/provisioner:mine"), [""; 0]);
    }

    #[test]
    fn what_was_built_a_moment_ago_may_be_about_to_be_used() {
        let listed = [
            image("a", "a", 14),
            image("b", "b", 1),
            image("c", "c", 0),
            image("old", "old", 16),
        ];
        assert_eq!(
            removed(&listed, "claimcheck/provisioner:c"),
            ["claimcheck/provisioner:old"]
        );
    }

    #[test]
    fn a_name_that_somebody_else_gave_is_not_taken_away() {
        let listed = [
            image("c", "c", 0),
            image("b", "b", 60),
            image("keep-this", "0123", 120),
            image("latest", "0123", 120),
            image("x0123", "0123", 120),
            image("unlabelled", "", 120),
        ];
        assert_eq!(removed(&listed, "claimcheck/provisioner:c"), [""; 0]);
    }
}
