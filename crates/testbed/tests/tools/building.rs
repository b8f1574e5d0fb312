//! Builds, with a script in Go's place.

use std::time::Duration;

use fs_err as fs;
use testbed::tools::{CacheRecord, NoProgress, Origin, Source, Stage, Tool, ToolEvent, Tools};

use crate::support::{Bed, Events};

#[tokio::test]
async fn a_build_gets_the_module_the_flags_and_a_clean_environment() {
    let bed = Bed::new().await;
    let mut options = bed.options(&[Tool::KubeScheduler, Tool::Etcd]);
    options.download = false;
    let seen = &bed.cache;
    options.go = bed.go(&format!(
        "name=$(basename $out)\n\
         echo \"$*\" > {seen}/$name.arguments\n\
         env > {seen}/$name.environment\n\
         cp go.mod {seen}/$name.mod && cp go.sum {seen}/$name.sum\n\
         test -d $GOTMPDIR && echo $name > $out"
    ));
    let events = Events::default();
    let set = Tools::resolve(&options, &events).await.unwrap();
    let scheduler = set.get(Tool::KubeScheduler).unwrap();
    assert_eq!(scheduler.origin, Origin::Build);
    assert_eq!(scheduler.version.as_deref(), Some("v1.36.3"));
    assert_eq!(fs::read(&scheduler.path).unwrap(), b"kube-scheduler\n");

    let read = |name: &str| fs::read_to_string(seen.join(name)).unwrap();
    let arguments = read("kube-scheduler.arguments");
    for part in [
        "build -mod=readonly -trimpath -ldflags",
        "-X k8s.io/component-base/version.gitVersion=v1.36.3",
        "k8s.io/kubernetes/cmd/kube-scheduler",
    ] {
        assert!(arguments.contains(part), "{arguments}");
    }
    let environment = read("kube-scheduler.environment");
    for line in [
        "CGO_ENABLED=0",
        "GOOS=linux",
        "GOARCH=amd64",
        "GOWORK=off",
        "GOFLAGS=",
    ] {
        assert!(environment.lines().any(|seen| seen == line), "{line}");
    }
    assert!(read("kube-scheduler.mod").contains("k8s.io/kubernetes v1.36.3"));
    assert!(read("etcd.mod").contains("go.etcd.io/etcd/server/v3 v3.6.8"));
    assert!(read("etcd.sum").contains("go.etcd.io/etcd/server/v3 v3.6.8 h1:"));
    let record: CacheRecord = serde_json::from_str(
        &fs::read_to_string(bed.entry(Tool::Etcd).join("origin.json")).unwrap(),
    )
    .unwrap();
    assert_eq!(record.source, Source::Build);
    assert_eq!(record.from, "go.etcd.io/etcd/server/v3@v3.6.8");
    assert_eq!(bed.contents(Tool::Etcd).len(), 1);
    assert_eq!(bed.server.asked_in_all(), 0);
    // One after the other: the second starts when the first is finished.
    let order: Vec<_> = events
        .all()
        .into_iter()
        .filter_map(|(tool, event)| match event {
            ToolEvent::Started {
                stage: Stage::Build,
                ..
            } => Some(format!("{tool} start")),
            ToolEvent::Finished { .. } => Some(format!("{tool} end")),
            _ => None,
        })
        .collect();
    assert_eq!(
        order,
        [
            "kube-scheduler start",
            "kube-scheduler end",
            "etcd start",
            "etcd end"
        ]
    );
}

#[tokio::test]
async fn a_build_that_fails_says_gos_last_words_and_leaves_nothing() {
    let bed = Bed::new().await;
    let mut options = bed.options(&[Tool::Etcd]);
    options.download = false;
    options.go = bed.go(
        "i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo \"line $i\" >&2; done\n\
         echo half > $out; echo 'verifying module: checksum mismatch' >&2; exit 1",
    );
    let text = Tools::resolve(&options, &NoProgress)
        .await
        .unwrap_err()
        .to_string();
    for part in [
        "download: switched off",
        "exit status: 1",
        "line 40 | verifying module: checksum mismatch",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("line 10 "), "{text}");
    assert_eq!(bed.contents(Tool::Etcd), Vec::<String>::new());
}

#[tokio::test]
async fn a_build_that_makes_nothing_is_no_success() {
    let bed = Bed::new().await;
    let mut options = bed.options(&[Tool::Etcd]);
    options.download = false;
    options.go = bed.go("exit 0");
    let text = Tools::resolve(&options, &NoProgress)
        .await
        .unwrap_err()
        .to_string();
    assert!(text.contains("made no binary"), "{text}");
    assert_eq!(bed.contents(Tool::Etcd), Vec::<String>::new());
}

#[tokio::test]
async fn a_long_build_gives_signs_of_life() {
    let bed = Bed::new().await;
    let mut options = bed.options(&[Tool::Etcd]);
    options.download = false;
    options.go = bed.go("echo 'go: downloading something' >&2; sleep 3.5; echo built > $out");
    let events = Events::default();
    Tools::resolve(&options, &events).await.unwrap();
    let late = events.all().into_iter().any(|(_, event)| {
        matches!(event, ToolEvent::StillAt { stage: Stage::Build, elapsed, line: Some(line) }
            if elapsed > Duration::from_secs(1) && line.contains("go: downloading something"))
    });
    assert!(late, "{:?}", events.all());
}

#[tokio::test]
async fn two_runs_at_once_build_once() {
    let bed = Bed::new().await;
    let mut options = bed.options(&[Tool::Kwok]);
    options.download = false;
    options.go = bed.go(&format!(
        "echo x >> {}/runs; sleep 0.5; echo built > $out",
        bed.cache
    ));
    let events = Events::default();
    let (first, second) = tokio::join!(
        Tools::resolve(&options, &events),
        Tools::resolve(&options, &events)
    );
    assert!(first.unwrap().iter().eq(second.unwrap().iter()));
    assert_eq!(fs::read_to_string(bed.cache.join("runs")).unwrap(), "x\n");
    let waited = events.all().into_iter().any(|(_, event)| {
        matches!(
            event,
            ToolEvent::Started {
                stage: Stage::Waiting,
                ..
            }
        )
    });
    assert!(waited);
}

#[tokio::test]
async fn tools_of_one_module_are_built_each_with_its_stamp() {
    let bed = Bed::new().await;
    let mut options = bed.options(&[Tool::Ctr, Tool::Containerd, Tool::Kind]);
    options.download = false;
    options.go = bed.go(&format!(
        "echo \"$*\" >> {}/calls; echo built > $out",
        bed.cache
    ));
    let set = Tools::resolve(&options, &NoProgress).await.unwrap();
    assert!(set.iter().all(|tool| tool.origin == Origin::Build));
    let calls = fs::read_to_string(bed.cache.join("calls")).unwrap();
    let calls: Vec<_> = calls.lines().collect();
    assert_eq!(calls.len(), 3, "{calls:?}");
    let package = "github.com/containerd/containerd/v2";
    let stamp = format!("-X {package}/version.Version=v2.4.2");
    // In the order in which they are wanted.
    for (call, end) in calls.iter().zip(["/cmd/ctr", "/cmd/containerd"]) {
        assert!(call.contains(&stamp), "{call}");
        assert!(call.ends_with(&format!("{package}{end}")), "{call}");
    }
    assert!(calls[2].ends_with(" sigs.k8s.io/kind"), "{calls:?}");
}
