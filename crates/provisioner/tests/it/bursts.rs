//! What a burst of claims does not hold up.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::world::{World, claim, class, eventually};

/// Two events each, of which only so many are written at once.
const CLAIMS: usize = 100;

/// All are Bound before their events are written, and then none is missing.
#[tokio::test(start_paused = true)]
async fn events_of_a_burst_wait_until_it_is_over() {
    let world = World::new();
    world.store.class(class("c", &json!({})));
    // As on a busy server: 0.6 s for all of them.
    world.store.slow_events(Duration::from_millis(3));
    let running = world.start();
    // What changed last counts, not when the process was started.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let begun = Instant::now();
    for number in 0..CLAIMS {
        let (name, uid) = (format!("claim-{number}"), number.to_string());
        world.store.claim(claim(&name, &uid, "c"));
    }
    eventually("all bound", || {
        (0..CLAIMS).all(|number| world.store.bound_to(&format!("claim-{number}")).is_some())
    })
    .await;
    let bound = begun.elapsed();
    eventually("all told", || world.store.events().len() == 2 * CLAIMS).await;
    let told = begun.elapsed();
    running.stop().await.unwrap();
    // A rest after each as long as anything changes, and none once it was calm for a second.
    let rested = told.checked_sub(bound).unwrap();
    assert!(rested >= Duration::from_millis(900), "{bound:?} {told:?}");
    assert!(rested <= Duration::from_secs(3), "{bound:?} {told:?}");
}
