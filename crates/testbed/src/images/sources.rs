//! The order in which sources of an image are tried.

use std::str::FromStr;

use super::engine::{Engine, PullFailure};
use super::error::ImageError;
use super::{ImageOrigin, ImageRef, Say};
use crate::docker::DockerError;

/// Which sources of an image may be used. A name that the user gives comes before all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Policy {
    /// Docker's own store, then a registry, then a build.
    #[default]
    Auto,
    /// Official images only, for those of which there are any.
    Pull,
    /// Built images only.
    Build,
}

impl FromStr for Policy {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(Self::Auto),
            "pull" => Ok(Self::Pull),
            "build" => Ok(Self::Build),
            _ => Err(()),
        }
    }
}

/// The names under which an image may be found.
pub(crate) struct Candidates<'a> {
    /// What people call it.
    pub(crate) what: &'a str,
    /// What the user named.
    pub(crate) given: Option<&'a str>,
    /// Published images that serve, the best first.
    pub(crate) official: &'a [&'a str],
    /// The name that a build gives it.
    pub(crate) built: &'a str,
}

impl<'a> Candidates<'a> {
    /// The published ones that may be used.
    fn pullable(&self, policy: Policy) -> &'a [&'a str] {
        match policy {
            Policy::Auto | Policy::Pull => self.official,
            Policy::Build => &[],
        }
    }

    /// An image that is not published is built under every policy.
    fn may_be_built(&self, policy: Policy) -> bool {
        policy != Policy::Pull || self.official.is_empty()
    }
}

/// The name of those that may be used under which Docker has the image. What the user named is not
/// looked at.
pub(crate) async fn present<'a>(
    engine: &dyn Engine,
    policy: Policy,
    candidates: &Candidates<'a>,
) -> Result<Option<&'a str>, DockerError> {
    let built = candidates.may_be_built(policy).then_some(candidates.built);
    for reference in candidates.pullable(policy).iter().copied().chain(built) {
        if engine.present(reference).await? {
            return Ok(Some(reference));
        }
    }
    Ok(None)
}

/// Gets an image from the first source that has it. `build` is told why nothing was pulled.
pub(crate) async fn obtain(
    engine: &dyn Engine,
    policy: Policy,
    candidates: &Candidates<'_>,
    say: Say<'_>,
    build: impl AsyncFnOnce(&str) -> Result<(), ImageError>,
) -> Result<ImageRef, ImageError> {
    let found = |reference: &str, origin| {
        Ok(ImageRef {
            reference: reference.to_owned(),
            origin,
        })
    };
    if let Some(given) = candidates.given {
        if engine.present(given).await? {
            return found(given, ImageOrigin::Given);
        }
        return match engine.pull(given, say).await {
            Ok(()) => found(given, ImageOrigin::Given),
            Err(PullFailure::Docker(error)) => Err(error.into()),
            Err(PullFailure::Nothing(reason)) => Err(ImageError::Given {
                reference: given.to_owned(),
                reason,
            }),
        };
    }
    if let Some(reference) = present(engine, policy, candidates).await? {
        return found(reference, ImageOrigin::Present);
    }
    let may_build = candidates.may_be_built(policy);
    let mut reasons = Vec::new();
    for reference in candidates.pullable(policy) {
        match engine.pull(reference, say).await {
            Ok(()) => return found(reference, ImageOrigin::Pulled),
            Err(PullFailure::Docker(error)) => return Err(error.into()),
            Err(PullFailure::Nothing(reason)) => {
                reasons.push(format!("`{reference}` cannot be pulled: {reason}"));
            }
        }
    }
    let reason = match (reasons.is_empty(), policy) {
        (false, _) => reasons.join("; "),
        (true, Policy::Build) => "CLAIMCHECK_IMAGES is `build`, so nothing is pulled".to_owned(),
        (true, Policy::Auto | Policy::Pull) => "no such image is published".to_owned(),
    };
    if !may_build {
        return Err(ImageError::Pull {
            what: candidates.what.to_owned(),
            reason,
        });
    }
    say(&format!("{}: building it, since {reason}", candidates.what));
    build(&reason).await?;
    found(candidates.built, ImageOrigin::Built)
}

#[cfg(test)]
mod tests;
