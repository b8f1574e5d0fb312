//! The process is killed before each change it makes, then started again: in the end there is one
//! volume and one directory, or none, whatever the step.

use serde_json::json;

use crate::world::{World, claim, class, eventually};

/// More steps than any of these lives has.
const MANY: usize = 200;

/// Runs a life that is killed at every step in turn, and once not at all; `end` checks the world
/// after a second, unharmed process has gone on. Says how many kills there were.
pub(crate) async fn at_every_step<F, G>(
    before: impl Fn(&World),
    live: F,
    end: impl Fn(&World, usize),
    settled: G,
) -> usize
where
    F: Fn(&World),
    G: Fn(&World) -> bool,
{
    for step in 0..MANY {
        let world = World::new();
        before(&world);
        let first = world.start_until(step);
        live(&world);
        eventually("killed or done", || {
            first.steps.is_over() || settled(&world)
        })
        .await;
        let killed = first.steps.is_over();
        first.kill().await;
        let second = world.start();
        eventually(&format!("settled after a kill at step {step}"), || {
            settled(&world)
        })
        .await;
        second.stop().await.unwrap();
        end(&world, step);
        if !killed {
            return step;
        }
    }
    panic!("it never ended within {MANY} steps");
}

#[tokio::test(start_paused = true)]
async fn provisioning_goes_on_after_a_kill_at_any_step() {
    let kills = at_every_step(
        |world| {
            world
                .store
                .class(class("c", &json!({ "pathPattern": "p/q/${.PVC.name}" })));
            world.store.claim(claim("a", "1", "c"));
        },
        |_| {},
        |world, step| {
            assert_eq!(world.store.volumes().len(), 1, "step {step}");
            let files = world.files.listing();
            let expected = [
                ("p", "directory 755"),
                ("p/q", "directory 755"),
                ("p/q/a", "directory 777"),
            ];
            assert_eq!(
                files,
                expected
                    .map(|(path, text)| (path.to_owned(), text.to_owned()))
                    .into(),
                "step {step}"
            );
            assert_eq!(
                world.files.records()["pvc-1"]["origin"],
                "created",
                "step {step}"
            );
        },
        |world| {
            world.store.bound_to("a").is_some()
                && world
                    .files
                    .records()
                    .get("pvc-1")
                    .is_some_and(|record| record["state"] == "saved")
        },
    )
    .await;
    assert!(kills > 12, "only {kills} steps were tried");
}

/// A world in which claim `a` is bound and has data, made by an earlier, unharmed process.
async fn ending(
    parameters: serde_json::Value,
    left: &[(&str, &str)],
    kept_first: &[(&str, &str)],
) -> usize {
    for step in 0..MANY {
        let world = World::new();
        world.store.class(class("c", &parameters));
        world.store.claim(claim("a", "1", "c"));
        let first = world.start();
        eventually("saved", || {
            world
                .files
                .records()
                .get("pvc-1")
                .is_some_and(|record| record["state"] == "saved")
        })
        .await;
        first.stop().await.unwrap();
        for (path, content) in kept_first {
            world.files.put(path, content);
        }
        world.files.put("p/a/deep/file", "bytes");
        world.store.delete_claim("a");
        let settled = || world.store.volumes().is_empty() && world.files.records().is_empty();
        let second = world.start_until(step);
        eventually("killed or done", || second.steps.is_over() || settled()).await;
        let killed = second.steps.is_over();
        second.kill().await;
        let third = world.start();
        eventually(&format!("settled after a kill at step {step}"), settled).await;
        third.stop().await.unwrap();
        let files: Vec<(String, String)> = world
            .files
            .listing()
            .into_iter()
            .filter(|(_, text)| text.starts_with("file"))
            .collect();
        let left: Vec<(String, String)> = left
            .iter()
            .map(|(path, content)| ((*path).to_owned(), format!("file: {content}")))
            .collect();
        assert_eq!(files, left, "step {step}");
        assert!(!world.files.listing().contains_key("p/a"), "step {step}");
        assert!(
            world.files.trash().is_empty(),
            "step {step}: {:?}",
            world.files.trash()
        );
        assert!(
            world
                .store
                .events()
                .iter()
                .all(|(text, _)| !text.starts_with("VolumeFailedDelete")),
            "step {step}: {:?}",
            world.store.events()
        );
        if !killed {
            return step;
        }
    }
    panic!("it never ended within {MANY} steps");
}

#[tokio::test(start_paused = true)]
async fn removal_goes_on_after_a_kill_at_any_step() {
    let kills = ending(
        json!({ "pathPattern": "p/${.PVC.name}", "onDelete": "delete" }),
        &[],
        &[],
    )
    .await;
    assert!(kills > 8, "only {kills} steps were tried");
}

#[tokio::test(start_paused = true)]
async fn archiving_goes_on_after_a_kill_at_any_step() {
    let kills = ending(
        json!({ "pathPattern": "p/${.PVC.name}" }),
        &[("p/archived-a/deep/file", "bytes")],
        &[],
    )
    .await;
    assert!(kills > 6, "only {kills} steps were tried");
}

#[tokio::test(start_paused = true)]
async fn archiving_beside_an_older_archive_goes_on_after_a_kill_at_any_step() {
    let left = [
        ("p/archived-a/old", "older"),
        ("p/archived-a-pvc-1/deep/file", "bytes"),
    ];
    let mut sorted = left;
    sorted.sort_unstable();
    ending(
        json!({ "pathPattern": "p/${.PVC.name}" }),
        &sorted,
        &[("p/archived-a/old", "older")],
    )
    .await;
}
