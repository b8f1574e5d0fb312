//! The order in which sources of an image are tried.

use std::str::FromStr;

use super::engine::{Engine, PullFailure};
use super::error::ImageError;
use super::{ImageOrigin, ImageRef, Say};

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
    let official = match policy {
        Policy::Auto | Policy::Pull => candidates.official,
        Policy::Build => &[],
    };
    // An image that is not published is built under every policy.
    let may_build = policy != Policy::Pull || candidates.official.is_empty();
    let local = official
        .iter()
        .copied()
        .chain(may_build.then_some(candidates.built));
    for reference in local {
        if engine.present(reference).await? {
            return found(reference, ImageOrigin::Present);
        }
    }
    let mut reasons = Vec::new();
    for reference in official {
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
