//! Runs that are interrupted: their future is dropped, or their process is killed.

use std::process::Stdio;

use camino::Utf8PathBuf;
use fs_err as fs;
use testbed::tools::{NoProgress, Origin, Tool, ToolOptions, Tools};
use tokio::process::{Child, Command};

use crate::server::Answer;
use crate::support::{
    APISERVER, Bed, CONTAINERD, IN_CONTAINERD, containerd, official, options, runs, until,
};

/// What a build that never ends does: it notes itself and a child, as Go has compilers.
const ENDLESS: &str = "sleep 600 & echo $! > $CACHE/compiler; echo half > $out; \
                       echo $$ > $CACHE/go.new; mv $CACHE/go.new $CACHE/go.pid; wait";

fn endless(bed: &Bed) -> Utf8PathBuf {
    bed.go(&ENDLESS.replace("$CACHE", bed.cache.as_str()))
}

fn noted(bed: &Bed, file: &str) -> String {
    fs::read_to_string(bed.cache.join(file)).unwrap()
}

#[tokio::test]
async fn a_dropped_download_leaves_nothing() {
    let bed = Bed::new().await;
    let stall = Answer::Stall(official(Tool::KubeApiserver));
    bed.server.set(APISERVER, stall);
    let options = bed.options(&[Tool::KubeApiserver]);
    tokio::select! {
        result = Tools::resolve(&options, &NoProgress) => panic!("ended: {result:?}"),
        () = bed.server.stalled() => {}
    }
    assert_eq!(bed.contents(Tool::KubeApiserver), Vec::<String>::new());

    // And it does not stand in the way of the next.
    let body = Answer::Body(official(Tool::KubeApiserver));
    bed.server.set(APISERVER, body);
    Tools::resolve(&options, &NoProgress).await.unwrap();
}

#[tokio::test]
async fn a_dropped_build_takes_go_and_its_children_with_it() {
    let bed = Bed::new().await;
    let mut options = bed.options(&[Tool::Etcd]);
    options.download = false;
    options.go = endless(&bed);
    let started = until("the build", || bed.cache.join("go.pid").exists());
    tokio::select! {
        result = Tools::resolve(&options, &NoProgress) => panic!("ended: {result:?}"),
        () = started => {}
    }
    let (go, compiler) = (noted(&bed, "go.pid"), noted(&bed, "compiler"));
    until("the end of go", || !runs(&go)).await;
    until("the end of its child", || !runs(&compiler)).await;
    assert_eq!(bed.contents(Tool::Etcd), Vec::<String>::new());
}

#[tokio::test]
async fn a_dropped_download_of_an_archive_leaves_nothing_of_any_of_its_tools() {
    let bed = Bed::new().await;
    let stall = Answer::Stall(containerd(&IN_CONTAINERD));
    bed.server.set(CONTAINERD, stall);
    let options = bed.options(&IN_CONTAINERD);
    tokio::select! {
        result = Tools::resolve(&options, &NoProgress) => panic!("ended: {result:?}"),
        () = bed.server.stalled() => {}
    }
    for tool in IN_CONTAINERD {
        assert_eq!(bed.contents(tool), Vec::<String>::new());
    }
    bed.server
        .set(CONTAINERD, Answer::Body(containerd(&IN_CONTAINERD)));
    Tools::resolve(&options, &NoProgress).await.unwrap();
}

/// This test again, in a process of its own that may be killed.
fn in_a_process(options: &ToolOptions) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "interruption::child_process", "--ignored"])
        .env("TEST_CACHE", &options.cache)
        .env("TEST_BASE", &options.mirrors.kubernetes)
        .env("TEST_GO", &options.go)
        .env("TEST_TOOL", options.wanted[0].name())
        .env("TEST_DOWNLOAD", options.download.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[tokio::test]
#[ignore = "only as the child process of the tests below"]
async fn child_process() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let mut options = options(
        variable("TEST_CACHE").as_str().into(),
        &variable("TEST_BASE"),
        &[variable("TEST_TOOL").parse().unwrap()],
    );
    options.go = variable("TEST_GO").into();
    options.download = variable("TEST_DOWNLOAD") == "true";
    Tools::resolve(&options, &NoProgress).await.unwrap();
}

#[tokio::test]
async fn after_a_killed_download_the_next_run_cleans_up() {
    let bed = Bed::new().await;
    let stall = Answer::Stall(official(Tool::KubeApiserver));
    bed.server.set(APISERVER, stall);
    let options = bed.options(&[Tool::KubeApiserver]);
    let mut child = in_a_process(&options);
    bed.server.stalled().await;
    child.kill().await.unwrap();
    // Remains, but no entry: a reader takes nothing of it for a tool.
    let left = bed.contents(Tool::KubeApiserver);
    assert!(
        left.len() == 1 && left[0].starts_with(".staging-"),
        "{left:?}"
    );

    let body = Answer::Body(official(Tool::KubeApiserver));
    bed.server.set(APISERVER, body);
    let set = Tools::resolve(&options, &NoProgress).await.unwrap();
    let path = set.path(Tool::KubeApiserver);
    assert!(fs::read(path).unwrap() == official(Tool::KubeApiserver));
    assert_eq!(bed.contents(Tool::KubeApiserver), ["v1.36.3-linux-amd64"]);
}

#[tokio::test]
async fn after_a_killed_build_the_next_run_stops_go_and_cleans_up() {
    let bed = Bed::new().await;
    let mut options = bed.options(&[Tool::Etcd]);
    options.download = false;
    options.go = endless(&bed);
    let mut child = in_a_process(&options);
    // The stand-in starts at once; that it was noted comes a moment later.
    until("the build and its note", || {
        let noted = bed.contents(Tool::Etcd).iter().any(|name| {
            let staging = bed.cache.join("tools/etcd").join(name);
            fs::read_to_string(staging.join("worker")).is_ok_and(|text| text.ends_with('\n'))
        });
        noted && bed.cache.join("go.pid").exists()
    })
    .await;
    child.kill().await.unwrap();
    let (go, compiler) = (noted(&bed, "go.pid"), noted(&bed, "compiler"));
    assert!(runs(&go), "the stand-in for go ended by itself");

    options.go = bed.go("echo built > $out");
    let set = Tools::resolve(&options, &NoProgress).await.unwrap();
    assert_eq!(set.get(Tool::Etcd).unwrap().origin, Origin::Build);
    assert!(!runs(&go));
    until("the end of its child", || !runs(&compiler)).await;
    assert_eq!(bed.contents(Tool::Etcd), ["v3.6.8-linux-amd64"]);
}
