use std::sync::Mutex;

use async_trait::async_trait;
use rstest::rstest;

use super::*;

/// A Docker with some images, a registry with others, and a record of what was asked of them.
#[derive(Default)]
struct Scripted {
    local: Vec<&'static str>,
    registry: Vec<&'static str>,
    calls: Mutex<Vec<String>>,
}

impl Scripted {
    fn note(&self, call: &str, reference: &str) {
        let mut calls = self.calls.lock().unwrap();
        calls.push(format!("{call} {reference}"));
    }
}

#[async_trait]
impl Engine for Scripted {
    async fn present(&self, reference: &str) -> Result<bool, DockerError> {
        self.note("present", reference);
        Ok(self.local.contains(&reference))
    }

    async fn pull(&self, reference: &str, _: Say<'_>) -> Result<(), PullFailure> {
        self.note("pull", reference);
        if self.registry.contains(&reference) {
            Ok(())
        } else {
            Err(PullFailure::Nothing("no route to the registry".to_owned()))
        }
    }
}

const WANTED: Candidates<'_> = Candidates {
    what: "some image",
    given: None,
    official: &["official:1", "official:2"],
    built: "built:1",
};

async fn get(
    engine: &Scripted,
    policy: Policy,
    candidates: &Candidates<'_>,
) -> Result<ImageRef, ImageError> {
    obtain(engine, policy, candidates, &|_| {}, async |reason| {
        engine.note("build", reason);
        Ok(())
    })
    .await
}

#[rstest]
#[case::nothing_anywhere(Policy::Auto, &[], &[], "built:1", ImageOrigin::Built)]
#[case::registry(Policy::Auto, &[], &["official:1"], "official:1", ImageOrigin::Pulled)]
#[case::second_name(Policy::Auto, &[], &["official:2"], "official:2", ImageOrigin::Pulled)]
#[case::built_before(Policy::Auto, &["built:1"], &["official:1"], "built:1", ImageOrigin::Present)]
#[case::pulled_before(Policy::Auto, &["built:1", "official:2"], &[], "official:2", ImageOrigin::Present)]
#[case::build_only(Policy::Build, &["official:1"], &["official:1"], "built:1", ImageOrigin::Built)]
#[case::build_once(Policy::Build, &["built:1"], &[], "built:1", ImageOrigin::Present)]
#[case::pull_only(Policy::Pull, &["built:1"], &["official:1"], "official:1", ImageOrigin::Pulled)]
#[case::pull_once(Policy::Pull, &["official:1"], &[], "official:1", ImageOrigin::Present)]
#[tokio::test]
async fn the_first_source_that_has_it_gives_it(
    #[case] policy: Policy,
    #[case] local: &[&'static str],
    #[case] registry: &[&'static str],
    #[case] reference: &str,
    #[case] origin: ImageOrigin,
) {
    let engine = Scripted {
        local: local.to_vec(),
        registry: registry.to_vec(),
        ..Scripted::default()
    };
    let image = get(&engine, policy, &WANTED).await.unwrap();
    assert_eq!(
        (image.reference.as_str(), image.origin),
        (reference, origin)
    );
}

#[tokio::test]
async fn nothing_is_asked_of_a_registry_while_docker_has_it() {
    let engine = Scripted {
        local: vec!["official:1"],
        ..Scripted::default()
    };
    get(&engine, Policy::Auto, &WANTED).await.unwrap();
    assert_eq!(*engine.calls.lock().unwrap(), ["present official:1"]);
}

#[tokio::test]
async fn a_build_is_told_why_nothing_was_pulled() {
    let engine = Scripted::default();
    get(&engine, Policy::Auto, &WANTED).await.unwrap();
    let calls = engine.calls.lock().unwrap();
    let last = calls.last().unwrap();
    assert!(
        last.starts_with("build `official:1` cannot be pulled: no route"),
        "{last}"
    );
    assert!(last.contains("`official:2`"), "{last}");
}

#[tokio::test]
async fn pulling_alone_fails_without_a_registry_and_never_builds() {
    let engine = Scripted {
        local: vec!["built:1"],
        ..Scripted::default()
    };
    let error = get(&engine, Policy::Pull, &WANTED).await.unwrap_err();
    assert!(matches!(error, ImageError::Pull { .. }), "{error}");
    assert!(
        error.to_string().contains("CLAIMCHECK_IMAGES=auto"),
        "{error}"
    );
    let calls = engine.calls.lock().unwrap();
    assert!(
        calls.iter().all(|call| !call.starts_with("build")),
        "{calls:?}"
    );
}

#[tokio::test]
async fn what_is_not_published_is_built_under_every_policy() {
    for policy in [Policy::Auto, Policy::Pull, Policy::Build] {
        let engine = Scripted::default();
        let candidates = Candidates {
            official: &[],
            ..WANTED
        };
        let image = get(&engine, policy, &candidates).await.unwrap();
        assert_eq!(image.origin, ImageOrigin::Built, "{policy:?}");
    }
}

#[tokio::test]
async fn a_given_image_is_taken_or_pulled_or_refused_but_never_replaced() {
    let candidates = Candidates {
        given: Some("mine:1"),
        ..WANTED
    };
    for (local, registry) in [(vec!["mine:1"], vec![]), (vec![], vec!["mine:1"])] {
        let engine = Scripted {
            local,
            registry,
            ..Scripted::default()
        };
        let image = get(&engine, Policy::Build, &candidates).await.unwrap();
        assert_eq!(image.reference, "mine:1");
        assert_eq!(image.origin, ImageOrigin::Given);
    }
    let engine = Scripted {
        local: vec!["official:1", "built:1"],
        registry: vec!["official:1"],
        ..Scripted::default()
    };
    let error = get(&engine, Policy::Auto, &candidates).await.unwrap_err();
    assert!(matches!(error, ImageError::Given { .. }), "{error}");
}

#[test]
fn policies_are_read_from_three_words() {
    assert_eq!("auto".parse(), Ok(Policy::Auto));
    assert_eq!("pull".parse(), Ok(Policy::Pull));
    assert_eq!("build".parse(), Ok(Policy::Build));
    assert_eq!("Build".parse::<Policy>(), Err(()));
}
