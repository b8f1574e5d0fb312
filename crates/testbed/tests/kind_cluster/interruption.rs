//! Boots that end early, each in its own way, and leave nothing.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use testbed::artifacts::Home;
use testbed::cluster::kind::KindCluster;
use testbed::docker;
use testbed::state::{marked, sweep_dead};
use tokio::time::timeout;

use crate::LIMIT;
use crate::place::{NODE_IMAGE, end_of, images, in_docker, options, place};

/// The state root of the process that is killed.
const HOME_OF_THE_KILLED: &str = "CLAIMCHECK_TEST_HOME";

#[tokio::test]
async fn a_boot_that_is_dropped_leaves_what_the_end_of_its_testbed_removes() {
    let Some([node_image, _]) = images().await else {
        return;
    };
    let place = place();
    let told = |_: &str| {};
    let mut all = Vec::new();
    // Before kind made anything, while Docker makes containers, and while kubeadm runs in one. Those
    // that Docker goes on making after kind was killed are what the delays look for.
    for delay in [0, 300, 600, 900, 1200, 1600, 8000] {
        let name = format!("dropped-{delay}");
        let options = options(&place.home, &name, &node_image).await;
        let boot = Box::pin(KindCluster::up(&options, &told));
        let up = timeout(Duration::from_millis(delay), boot).await;
        assert!(up.is_err(), "up before it was interrupted");
        let removed = end_of(&place.home, &name).await;
        eprintln!("after {delay} ms: {:?}", removed.containers);
        assert_eq!(
            removed.networks,
            std::slice::from_ref(&options.network.name)
        );
        assert!(!options.directory.exists());
        assert_eq!(marked(&options.directory), []);
        all.push((options, removed));
    }
    assert_eq!(all.last().unwrap().1.containers.len(), 3);
    // Once more, for whatever came late.
    for (options, _) in all {
        assert_eq!(in_docker(&options).await, "");
    }
}

#[tokio::test]
async fn a_failed_boot_says_what_kind_says_and_removes_its_nodes() {
    let Some([_, busybox]) = images().await else {
        return;
    };
    let place = place();
    // Not a node: kind waits for a line in its log, and its container ends.
    let mut options = options(&place.home, "failed", &busybox).await;
    options.workers = 0;
    let error = KindCluster::up(&options, &|_| {}).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("kind did not create the cluster"), "{text}");
    assert!(text.contains("ERROR: "), "{text}");
    let left = in_docker(&options).await;
    assert_eq!(
        left.lines().find(|line| line.contains("control-plane")),
        None
    );
    end_of(&place.home, &options.name).await;
    assert_eq!(in_docker(&options).await, "");
}

/// Killed with SIGKILL while kubeadm runs in its nodes.
#[tokio::test]
async fn what_a_killed_owner_leaves_is_swept_by_the_next_command() {
    let Some([node_image, _]) = images().await else {
        return;
    };
    let place = place();
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "interruption::boots_until_it_is_killed",
            "--nocapture",
        ])
        .env(HOME_OF_THE_KILLED, place.home.root())
        .env(NODE_IMAGE, &node_image)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let reached = lines
        .map_while(Result::ok)
        .any(|line| line.contains("Writing configuration"));
    owner.kill().unwrap();
    owner.wait().unwrap();
    assert!(reached, "kind did not come so far");

    let directory = place.home.cluster("killed");
    let network = docker::resource_name("killed", &directory);
    // The kernel kills what it started, all but at once.
    let gone = async {
        while !marked(&directory).is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LIMIT, gone).await.unwrap();
    let home = place.home.clone();
    let swept = tokio::task::spawn_blocking(move || sweep_dead(&home))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(swept.len(), 1);
    assert_eq!(swept[0].containers.len(), 3, "{swept:?}");
    assert_eq!(swept[0].networks, std::slice::from_ref(&network));
    assert!(!directory.exists());
    let name = format!("name={network}");
    let left = docker::run(&["ps", "--all", "--quiet", "--filter", &name])
        .await
        .unwrap();
    assert_eq!(left, "");
}

#[tokio::test]
#[ignore = "a process for another test, which kills it"]
async fn boots_until_it_is_killed() {
    let Ok(home) = std::env::var(HOME_OF_THE_KILLED) else {
        eprintln!("NOT RUN: another test starts this one");
        return;
    };
    let node_image = std::env::var(NODE_IMAGE).unwrap();
    let options = options(&Home::at(home), "killed", &node_image).await;
    let told = |line: &str| writeln!(std::io::stdout(), "{line}").unwrap();
    let _cluster = Box::pin(KindCluster::up(&options, &told)).await.unwrap();
    std::future::pending::<()>().await;
}
