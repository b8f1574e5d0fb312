//! Official downloads, good and bad.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use fs_err as fs;
use testbed::tools::{CacheRecord, NoProgress, Origin, Source, Tool, ToolError, ToolEvent, Tools};

use crate::server::Answer;
use crate::support::{
    APISERVER, Bed, CONTAINERD, COREDNS, ETCD, ETCD_SUMS, Events, HELM, IN_CONTAINERD, KIND, KWOK,
    KWOK_RELEASE, archive, containerd, containerd_sum, official, options, sha256,
};

/// A Go stand-in that makes a recognisable binary.
const BUILDS: &str = "echo built > $out";

#[tokio::test]
async fn every_tool_is_downloaded_verified_and_found_again() {
    let bed = Bed::new().await;
    let events = Events::default();
    let options = bed.options(&Tool::ALL);
    let set = Tools::resolve(&options, &events).await.unwrap();
    for tool in Tool::ALL {
        let path = set.path(tool);
        assert_eq!(path, bed.entry(tool).join(tool.name()));
        assert!(fs::read(path).unwrap() == official(tool), "{tool} differs");
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755, "{tool}");
        assert_eq!(set.get(tool).unwrap().origin, Origin::Download);
        assert_eq!(bed.contents(tool).len(), 1, "{:?}", bed.contents(tool));
        let text = fs::read_to_string(bed.entry(tool).join("origin.json")).unwrap();
        let record: CacheRecord = serde_json::from_str(&text).unwrap();
        assert_eq!(record.sha256, sha256(&official(tool)));
        assert_eq!(record.source, Source::Download);
        assert!(record.from.starts_with(bed.server.base()), "{text}");
    }
    assert_eq!(events.warnings(), Vec::<String>::new());
    let length = official(Tool::KubeApiserver).len() as u64;
    assert!(events.all().contains(&(
        "kube-apiserver".to_owned(),
        ToolEvent::Bytes {
            done: length,
            total: Some(length)
        }
    )));

    // Three tools lie in it.
    assert_eq!(bed.server.asked(CONTAINERD), 1);

    let asked = bed.server.asked_in_all();
    let again = Events::default();
    let cached = Tools::resolve(&options, &again).await.unwrap();
    assert_eq!(
        cached.iter().collect::<Vec<_>>(),
        set.iter().collect::<Vec<_>>()
    );
    assert_eq!(bed.server.asked_in_all(), asked);
    assert_eq!(again.all(), vec![]);
}

#[tokio::test]
async fn a_wrong_checksum_is_refused_by_name_and_nothing_else_is_tried() {
    let published = sha256(b"what was published");
    for (tool, url, source, text) in [
        (
            Tool::KubeApiserver,
            APISERVER,
            format!("{APISERVER}.sha256"),
            published.clone(),
        ),
        (
            Tool::Etcd,
            ETCD,
            ETCD_SUMS.to_owned(),
            format!("{published}  etcd-v3.6.8-linux-amd64.tar.gz\n"),
        ),
        (
            Tool::Coredns,
            COREDNS,
            format!("{COREDNS}.sha256"),
            format!("{published}  coredns_1.15.0_linux_amd64.tgz\n"),
        ),
        (
            Tool::Kind,
            KIND,
            format!("{KIND}.sha256sum"),
            format!("{published}  kind-linux-amd64\n"),
        ),
        (
            Tool::Ctr,
            CONTAINERD,
            format!("{CONTAINERD}.sha256sum"),
            format!("{published}  containerd-static-2.4.2-linux-amd64.tar.gz\n"),
        ),
        (
            Tool::Helm,
            HELM,
            format!("{HELM}.sha256sum"),
            format!("{published}  helm-v4.3.1-linux-amd64.tar.gz\n"),
        ),
        (
            Tool::Kwok,
            KWOK,
            KWOK_RELEASE.to_owned(),
            format!(
                r#"{{"assets":[{{"name":"kwok-linux-amd64","digest":"sha256:{published}"}}]}}"#
            ),
        ),
    ] {
        let bed = Bed::new().await;
        bed.server.set(source.clone(), Answer::Body(text.into()));
        let mut options = bed.options(&[tool]);
        options.go = bed.go(&format!("touch {}/go-ran; {BUILDS}", bed.cache));
        let error = Tools::resolve(&options, &NoProgress).await.unwrap_err();
        let ToolError::WrongChecksum {
            tool: refused,
            url: from,
            publisher,
            expected,
            got,
        } = &error
        else {
            panic!("{tool}: {error}");
        };
        assert_eq!(*refused, tool);
        assert_eq!(*from, format!("{}{url}", bed.server.base()));
        assert_eq!(*publisher, format!("{}{source}", bed.server.base()));
        assert_eq!(*expected, published);
        assert_ne!(*got, published);
        let shown = error.to_string();
        for part in [tool.name(), from, expected, got] {
            assert!(shown.contains(part), "{shown}");
        }
        assert_eq!(bed.contents(tool), Vec::<String>::new());
        assert!(!bed.cache.join("go-ran").exists(), "{tool} was built");
    }
}

#[tokio::test]
async fn a_download_that_breaks_off_gives_way_to_the_build_and_is_not_kept() {
    let bed = Bed::new().await;
    let half = Answer::Half(official(Tool::KubeApiserver));
    bed.server.set(APISERVER, half);
    let mut options = bed.options(&[Tool::KubeApiserver]);
    options.go = bed.go(BUILDS);
    let events = Events::default();
    let set = Tools::resolve(&options, &events).await.unwrap();
    let apiserver = set.get(Tool::KubeApiserver).unwrap();
    assert_eq!(apiserver.origin, Origin::Build);
    assert_eq!(fs::read(&apiserver.path).unwrap(), b"built\n");
    let warnings = events.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("broke off after"), "{warnings:?}");
    assert_eq!(bed.contents(Tool::KubeApiserver).len(), 1);
}

#[tokio::test]
async fn a_download_that_stands_still_gives_way_to_the_build() {
    let bed = Bed::new().await;
    let stall = Answer::Stall(official(Tool::KubeApiserver));
    bed.server.set(APISERVER, stall);
    let mut options = bed.options(&[Tool::KubeApiserver]);
    options.go = bed.go(BUILDS);
    options.stall_limit = Duration::from_millis(200);
    let set = Tools::resolve(&options, &NoProgress).await.unwrap();
    assert_eq!(set.get(Tool::KubeApiserver).unwrap().origin, Origin::Build);
}

#[tokio::test]
async fn what_the_server_lacks_is_built_and_the_rest_downloaded() {
    let bed = Bed::new().await;
    bed.server.set(APISERVER, Answer::Status(404));
    bed.server
        .set(format!("{COREDNS}.sha256"), Answer::Status(503));
    // Uploaded before GitHub computed digests.
    bed.server.set(
        KWOK_RELEASE,
        Answer::Body(br#"{"assets":[{"name":"kwok-linux-amd64","digest":null}]}"#.to_vec()),
    );
    let mut options = bed.options(&Tool::ALL);
    options.go = bed.go(BUILDS);
    let events = Events::default();
    let set = Tools::resolve(&options, &events).await.unwrap();
    let built: Vec<_> = set
        .iter()
        .filter(|tool| tool.origin == Origin::Build)
        .map(|tool| tool.tool)
        .collect();
    assert_eq!(built, [Tool::KubeApiserver, Tool::Kwok, Tool::Coredns]);
    let warnings = events.warnings().join("\n");
    for part in ["404", "503", "publishes no sha256 for kwok-linux-amd64"] {
        assert!(warnings.contains(part), "{warnings}");
    }
    // Without a published checksum nothing is downloaded.
    assert_eq!((bed.server.asked(KWOK), bed.server.asked(COREDNS)), (0, 0));
}

#[tokio::test]
async fn an_archive_without_the_binary_gives_way_to_the_build() {
    let bed = Bed::new().await;
    let other = archive(&[("etcd-v3.6.8-linux-amd64/etcdctl", b"not this one")]);
    let sums = format!("{}  etcd-v3.6.8-linux-amd64.tar.gz\n", sha256(&other));
    bed.server.set(ETCD, Answer::Body(other));
    bed.server.set(ETCD_SUMS, Answer::Body(sums.into()));
    let mut options = bed.options(&[Tool::Etcd]);
    options.go = bed.go(BUILDS);
    let events = Events::default();
    let set = Tools::resolve(&options, &events).await.unwrap();
    assert_eq!(set.get(Tool::Etcd).unwrap().origin, Origin::Build);
    let warnings = events.warnings().join("\n");
    assert!(
        warnings.contains("has no file `etcd-v3.6.8-linux-amd64/etcd`")
            && warnings.contains("etcdctl"),
        "{warnings}"
    );
}

#[tokio::test]
async fn a_host_that_is_not_reachable_is_asked_once_and_the_error_says_all() {
    let bed = Bed::new().await;
    // Nobody listens there any more.
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let options = options(&bed.cache, &closed, &[Tool::KubeApiserver]);
    let error = Tools::resolve(&options, &NoProgress).await.unwrap_err();
    let ToolError::Unavailable { attempts, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(attempts.len(), 2, "{attempts:?}");
    let text = error.to_string();
    for part in [
        "kube-apiserver v1.36.3",
        &closed,
        "refused",
        "no such command",
        "CLAIMCHECK_TOOL_KUBE_APISERVER",
        "CLAIMCHECK_MIRROR_KUBERNETES",
        "install Go",
    ] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    assert_eq!(bed.contents(Tool::KubeApiserver), Vec::<String>::new());
}

#[tokio::test]
async fn a_silent_host_costs_its_limit_once_for_all_tools() {
    let bed = Bed::new().await;
    for tool in Tool::ALL {
        let path = APISERVER.replace("kube-apiserver", tool.name());
        bed.server.set(format!("{path}.sha256"), Answer::Silence);
    }
    for path in [
        ETCD_SUMS,
        KWOK_RELEASE,
        &format!("{COREDNS}.sha256"),
        &format!("{KIND}.sha256sum"),
        &format!("{CONTAINERD}.sha256sum"),
        &format!("{HELM}.sha256sum"),
    ] {
        bed.server.set(path, Answer::Silence);
    }
    let mut options = bed.options(&Tool::ALL);
    options.go = bed.go(BUILDS);
    options.answer_limit = Duration::from_millis(300);
    let events = Events::default();
    let set = Tools::resolve(&options, &events).await.unwrap();
    assert!(set.iter().all(|tool| tool.origin == Origin::Build));
    // All tools are on four hosts: each host is asked once and complained of once.
    assert_eq!(bed.server.asked_in_all(), 4);
    let warnings = events.warnings();
    assert_eq!(warnings.len(), 4, "{warnings:?}");
    for warning in warnings {
        assert!(warning.contains("no answer within 300ms"), "{warning}");
    }
}

#[tokio::test]
async fn two_runs_at_once_download_once() {
    let bed = Bed::new().await;
    let options = bed.options(&[Tool::KubeApiserver, Tool::Etcd]);
    // Another order, as another command might have it.
    let reverse = bed.options(&[Tool::Etcd, Tool::KubeApiserver]);
    let (first, second) = tokio::join!(
        Tools::resolve(&options, &NoProgress),
        Tools::resolve(&reverse, &NoProgress)
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(first.iter().eq(second.iter()));
    assert_eq!(
        (bed.server.asked(APISERVER), bed.server.asked(ETCD)),
        (1, 1)
    );
    assert_eq!(bed.contents(Tool::Etcd).len(), 1);
}

#[tokio::test]
async fn a_damaged_entry_is_replaced() {
    let bed = Bed::new().await;
    let options = bed.options(&[Tool::Kubectl]);
    let set = Tools::resolve(&options, &NoProgress).await.unwrap();
    for harm in ["truncate", "unrecorded", "unexecutable"] {
        match harm {
            "truncate" => fs::write(set.path(Tool::Kubectl), "half").unwrap(),
            "unrecorded" => fs::remove_file(bed.entry(Tool::Kubectl).join("origin.json")).unwrap(),
            _ => fs::set_permissions(
                set.path(Tool::Kubectl),
                std::fs::Permissions::from_mode(0o600),
            )
            .unwrap(),
        }
        let events = Events::default();
        Tools::resolve(&options, &events).await.unwrap();
        assert_eq!(events.warnings().len(), 1, "{harm}");
        assert!(fs::read(set.path(Tool::Kubectl)).unwrap() == official(Tool::Kubectl));
        assert_eq!(bed.contents(Tool::Kubectl).len(), 1, "{harm}");
    }
}

#[tokio::test]
async fn an_archive_without_one_of_its_tools_gives_way_to_the_build_of_all() {
    let bed = Bed::new().await;
    let lacking = containerd(&[Tool::Containerd, Tool::ContainerdShim]);
    bed.server.set(
        format!("{CONTAINERD}.sha256sum"),
        Answer::Body(containerd_sum(&lacking)),
    );
    bed.server.set(CONTAINERD, Answer::Body(lacking));
    let mut options = bed.options(&IN_CONTAINERD);
    options.go = bed.go(BUILDS);
    let events = Events::default();
    let set = Tools::resolve(&options, &events).await.unwrap();
    assert!(set.iter().all(|tool| tool.origin == Origin::Build));
    let warnings = events.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("has no file `bin/ctr`"),
        "{warnings:?}"
    );
    for tool in IN_CONTAINERD {
        assert_eq!(bed.contents(tool), ["v2.4.2-linux-amd64"]);
    }
}

#[tokio::test]
async fn of_an_archive_only_what_is_wanted_and_absent_is_taken() {
    let bed = Bed::new().await;
    Tools::resolve(&bed.options(&[Tool::Ctr]), &NoProgress)
        .await
        .unwrap();
    assert_eq!(bed.contents(Tool::Containerd), Vec::<String>::new());
    let made = || {
        fs::metadata(bed.entry(Tool::Ctr).join("ctr"))
            .unwrap()
            .modified()
            .unwrap()
    };
    let before = made();
    // The same tool twice is one tool.
    let options = bed.options(&[Tool::Ctr, Tool::Containerd, Tool::Ctr, Tool::Containerd]);
    let set = Tools::resolve(&options, &NoProgress).await.unwrap();
    assert!(fs::read(set.path(Tool::Containerd)).unwrap() == official(Tool::Containerd));
    assert_eq!(made(), before);
    assert_eq!(bed.server.asked(CONTAINERD), 2);
}

#[tokio::test]
async fn runs_that_want_tools_of_one_archive_in_another_order_end_both() {
    let bed = Bed::new().await;
    let options = bed.options(&IN_CONTAINERD);
    let reverse = bed.options(&[Tool::Ctr, Tool::ContainerdShim, Tool::Containerd]);
    let one = bed.options(&[Tool::ContainerdShim]);
    let (first, second, third) = tokio::join!(
        Tools::resolve(&options, &NoProgress),
        Tools::resolve(&reverse, &NoProgress),
        Tools::resolve(&one, &NoProgress),
    );
    assert!(first.unwrap().iter().eq(second.unwrap().iter()));
    assert_eq!(third.unwrap().iter().count(), 1);
    for tool in options.wanted {
        assert_eq!(bed.contents(tool), ["v2.4.2-linux-amd64"]);
    }
}
