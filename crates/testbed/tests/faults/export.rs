//! An embedded export behind the proxy.

use std::net::SocketAddr;
use std::time::Duration;

use camino::Utf8PathBuf;
use testbed::faults::nfs::{NfsCall, NfsProxy, Refusal, Status};
use testbed::faults::{Fate, Fault, Moment, When};
use testbed::nfs::{EmbeddedExport, ExportOptions, ExportTarget, ExportView};

/// Limit of a call that hangs, and of one that must not.
const SHORT: Duration = Duration::from_millis(500);
const LONG: Duration = Duration::from_secs(20);

struct Place {
    directory: tempfile::TempDir,
    proxy: NfsProxy,
    _export: EmbeddedExport,
}

impl Place {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let export = EmbeddedExport::start(ExportOptions {
            directory: Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap(),
            export_path: "/export".to_owned(),
            bind: SocketAddr::from(([127, 0, 0, 1], 0)),
            root_squash: false,
        })
        .await
        .unwrap();
        let server = SocketAddr::from(([127, 0, 0, 1], export.port()));
        Self {
            directory,
            proxy: NfsProxy::start(server).await.unwrap(),
            _export: export,
        }
    }

    fn view(&self, limit: Duration) -> ExportView {
        let port = self.proxy.port();
        let target = ExportTarget {
            host: "127.0.0.1".to_owned(),
            port,
            mount_port: port,
            path: "/export".to_owned(),
            directory: None,
        };
        ExportView::new(target).with_limit(limit)
    }

    fn has(&self, path: &str) -> bool {
        self.directory.path().join(path).exists()
    }

    fn log(&self) -> Vec<String> {
        let log = self.proxy.plan().since(0);
        log.iter().map(|entry| entry.call.to_string()).collect()
    }
}

fn mkdir(path: &'static str) -> impl Fn(&NfsCall) -> bool + Send + Sync {
    move |call| call.procedure == "MKDIR" && call.path == path
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_pass_and_are_named_by_their_paths() {
    let place = Place::new().await;
    let view = place.view(LONG);
    view.mkdir("a", 0o755).await.unwrap();
    view.write("a/file", b"bytes").await.unwrap();
    view.rename("a", "b").await.unwrap();
    assert_eq!(view.read("b/file").await.unwrap(), b"bytes");
    let log = place.log();
    for name in [
        "MNT //export",
        "MKDIR /a",
        "CREATE /a/file",
        "WRITE /a/file",
        "RENAME /a -> /b",
        "READ /b/file",
    ] {
        assert!(log.iter().any(|call| call == name), "{name}: {log:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_the_servers_to_the_client_and_the_server_never_sees_it() {
    let place = Place::new().await;
    let view = place.view(LONG);
    for status in [
        Status::NFS3ERR_NOSPC,
        Status::NFS3ERR_ROFS,
        Status::NFS3ERR_ACCES,
        Status::NFS3ERR_STALE,
        Status::NFS3ERR_IO,
        Status::NFS3ERR_DQUOT,
    ] {
        let rule = place.proxy.plan().set(
            When::every(|call: &NfsCall| call.changes()),
            Fault::Answer(Refusal(status)),
        );
        let error = view.mkdir("refused", 0o755).await.unwrap_err();
        assert_eq!(error.status(), Some(status), "{error}");
        assert!(!place.has("refused"));
        assert!(rule.hits() >= 1);
    }
    view.mkdir("refused", 0o755).await.unwrap();
}

/// Every procedure's refusal has the form that a client reads.
#[tokio::test(flavor = "multi_thread")]
async fn each_procedure_can_be_refused() {
    let place = Place::new().await;
    let view = place.view(LONG);
    view.mkdir("d", 0o755).await.unwrap();
    view.write("f", b"bytes").await.unwrap();
    let refuse = |procedure: &'static str| {
        place.proxy.plan().set(
            When::every(move |call: &NfsCall| call.procedure == procedure),
            Fault::Answer(Refusal(Status::NFS3ERR_IO)),
        )
    };
    for procedure in [
        "LOOKUP", "READ", "RENAME", "LINK", "SETATTR", "SYMLINK", "CREATE",
    ] {
        let rule = refuse(procedure);
        let error = match procedure {
            "LOOKUP" => view.stat("f").await.map(drop),
            "READ" => view.read("f").await.map(drop),
            "RENAME" => view.rename("f", "g").await,
            "LINK" => view.link("f", "g").await,
            "SETATTR" => view.chmod("f", 0o600).await,
            "SYMLINK" => view.symlink("s", "f").await,
            _ => view.write("new", b"x").await,
        }
        .unwrap_err();
        assert_eq!(
            error.status(),
            Some(Status::NFS3ERR_IO),
            "{procedure}: {error}"
        );
        assert!(rule.hits() >= 1, "{procedure} was not called");
    }
    assert!(place.has("f") && !place.has("g") && !place.has("s") && !place.has("new"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_is_not_done_and_what_is_committed_is() {
    for (fault, done) in [(Fault::Cut, false), (Fault::CommitThenCut, true)] {
        let place = Place::new().await;
        let rule = place.proxy.plan().set(When::nth(1, mkdir("new")), fault);
        // A client may repeat the call by itself on a new connection.
        let _ = place.view(LONG).mkdir("new", 0o755).await;
        assert_eq!(rule.hits(), 1);
        let log = place.proxy.plan().since(0);
        let first = log.iter().find(|entry| entry.call.procedure == "MKDIR");
        let fate = if done { Fate::AnswerLost } else { Fate::Lost };
        assert_eq!(first.unwrap().fate, fate);
        if done {
            assert!(place.has("new"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_hangs_holds_nobody_else_and_goes_on_when_it_may() {
    let place = Place::new().await;
    let rule = place
        .proxy
        .plan()
        .set(When::every(mkdir("held")), Fault::Hang);
    let held = {
        let view = place.view(LONG);
        tokio::spawn(async move { view.mkdir("held", 0o755).await })
    };
    rule.hit(1).await;
    place.view(LONG).mkdir("other", 0o755).await.unwrap();
    assert!(place.has("other") && !place.has("held"));
    rule.lift();
    held.await.unwrap().unwrap();
    assert!(place.has("held"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_arrested_call_is_done_or_not_by_its_moment() {
    for (moment, done) in [(Moment::Before, false), (Moment::After, true)] {
        let place = Place::new().await;
        let arrest = place.proxy.plan().arrest(moment, 1, mkdir("new"));
        let view = place.view(LONG);
        let call = tokio::spawn(async move { view.mkdir("new", 0o755).await });
        arrest.reached().await;
        assert_eq!(place.has("new"), done, "{moment}");
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
        arrest.lose();
        assert_eq!(place.has("new"), done, "{moment}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_vanishes_and_comes_back() {
    let place = Place::new().await;
    place.view(LONG).mkdir("one", 0o755).await.unwrap();
    place.proxy.set_away(true);
    place.view(SHORT).mkdir("two", 0o755).await.unwrap_err();
    place.proxy.set_away(false);
    place.view(LONG).mkdir("two", 0o755).await.unwrap();
    assert!(place.has("one") && place.has("two"));
}
