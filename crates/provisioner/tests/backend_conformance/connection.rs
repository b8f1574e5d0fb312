//! The direct backend when the server is slow, gone, back, or not what it was.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use provisioner::backend::direct::{DirectBackend, DirectOptions};
use provisioner::backend::{Backend, Cause, Certainty};
use rstest::rstest;
use testbed::nfs::embedded::Passthrough;
use tokio::net::TcpListener;

use crate::proxy::{Loss, MKDIR, Proxy, REMOVE, RENAME};
use crate::subject::{Kind, LIMIT, Subject, direct, options, path, refused, serve};

#[tokio::test]
async fn a_server_that_never_answers_costs_the_limit_and_no_more() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    // The kernel accepts on its own; nothing is ever read.
    let backend = direct(port);
    let limit = Duration::from_millis(300);
    let started = Instant::now();
    let change = backend
        .make_directory(&path("new"), 0o777, limit)
        .await
        .unwrap_err();
    assert_eq!(
        (change.cause, change.certainty),
        (Cause::TimedOut, Certainty::Uncertain)
    );
    let look = backend.stat(&path("new"), limit).await.unwrap_err();
    assert_eq!(
        (look.cause, look.certainty),
        (Cause::TimedOut, Certainty::Definite)
    );
    let rename = backend
        .rename_directory(&path("a"), &path("b"), limit)
        .await
        .unwrap_err();
    assert_eq!(
        (rename.cause, rename.certainty),
        (Cause::TimedOut, Certainty::Uncertain)
    );
    let tree = backend.remove_tree(&path("a"), limit).await.unwrap_err();
    assert_eq!(
        (tree.cause, tree.certainty),
        (Cause::TimedOut, Certainty::Uncertain)
    );
    let took = started.elapsed();
    assert!(took >= limit * 4 && took < limit * 8, "{took:?}");
    assert_eq!(
        change.to_string(),
        "mkdir new: the server did not answer in time (no answer within 300ms)"
    );
}

#[tokio::test]
async fn nobody_there_is_unreachable_and_nothing_was_changed() {
    let port = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let backend = direct(port);
    assert_eq!(
        refused(backend.stat(&path("x"), LIMIT).await),
        Cause::Unreachable
    );
    let change = backend.make_directory(&path("x"), 0o777, LIMIT).await;
    assert_eq!(refused(change), Cause::Unreachable);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_told() {
    let options = DirectOptions {
        server: "nas.invalid".to_owned(),
        ..options(2049)
    };
    let backend = DirectBackend::connect(options).unwrap();
    let error = backend.stat(&path(""), LIMIT).await.unwrap_err();
    assert_eq!(error.cause, Cause::Unreachable);
    assert!(error.to_string().contains("`nas.invalid`"), "{error}");
}

#[tokio::test]
async fn an_export_that_does_not_exist_is_no_empty_export() {
    let subject = Subject::new(Kind::Direct).await;
    let port = subject.export.as_ref().unwrap().port();
    let options = DirectOptions {
        export: "/other".to_owned(),
        ..options(port)
    };
    let backend = DirectBackend::connect(options).unwrap();
    let error = backend.stat(&path("x"), LIMIT).await.unwrap_err();
    assert!(
        matches!(error.cause, Cause::Unreachable | Cause::PermissionDenied),
        "{error}"
    );
    assert!(error.to_string().contains("127.0.0.1:/other"), "{error}");
}

#[tokio::test]
async fn a_user_without_rights_is_refused() {
    let subject = Subject::new(Kind::Direct).await;
    subject.make("volume");
    subject.write("volume/file", "");
    // The temporary directory itself is its owner's alone.
    std::fs::set_permissions(
        subject.root(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let port = subject.export.as_ref().unwrap().port();
    let options = DirectOptions {
        uid: 4711,
        gid: 4711,
        ..options(port)
    };
    let backend = DirectBackend::connect(options).unwrap();
    assert!(
        backend
            .stat(&path("volume"), LIMIT)
            .await
            .unwrap()
            .is_some()
    );
    let (volume, new, file) = (path("volume"), path("new"), path("volume/file"));
    assert_eq!(
        [
            refused(backend.make_directory(&new, 0o777, LIMIT).await),
            refused(backend.remove_tree(&volume, LIMIT).await),
            refused(backend.rename_directory(&volume, &new, LIMIT).await),
            refused(backend.write_file(&path("record"), b"", LIMIT).await),
            refused(backend.remove_file(&file, LIMIT).await),
        ],
        [Cause::PermissionDenied; 5]
    );
    assert!(subject.exists("volume/file") && !subject.exists("new"));
}

#[tokio::test]
async fn a_server_that_restarts_is_found_again() {
    let subject = Subject::new(Kind::Direct).await;
    let mut export = subject.export.unwrap();
    let backend = subject.backend;
    let (port, directory) = (&subject.port, export_directory(&export));
    for round in 0..3 {
        let name = path(&format!("volume-{round}"));
        backend.make_directory(&name, 0o777, LIMIT).await.unwrap();
        export.stop().await;
        let down = backend.stat(&name, LIMIT).await.unwrap_err();
        assert_eq!(down.cause, Cause::Unreachable, "{down}");
        export = serve(&directory, port, Arc::new(Passthrough)).await;
        // The very next call, and one that changes something, works.
        let record = path(&format!("volume-{round}/record"));
        backend
            .write_file(&record, b"content", LIMIT)
            .await
            .unwrap();
        assert!(backend.stat(&name, LIMIT).await.unwrap().is_some());
    }
}

/// A restart nobody noticed: the first call afterwards changes something.
#[tokio::test]
async fn a_change_right_after_a_restart_is_done_once_or_uncertain() {
    let subject = Subject::new(Kind::Direct).await;
    let export = subject.export.unwrap();
    let backend = subject.backend;
    backend
        .make_directory(&path("before"), 0o777, LIMIT)
        .await
        .unwrap();
    let (port, directory) = (&subject.port, export_directory(&export));
    export.stop().await;
    let _export = serve(&directory, port, Arc::new(Passthrough)).await;
    match backend.make_directory(&path("after"), 0o777, LIMIT).await {
        Ok(_) => {}
        Err(error) => {
            assert_eq!(error.certainty, Certainty::Uncertain, "{error}");
            assert_eq!(error.cause, Cause::Unreachable, "{error}");
        }
    }
    backend
        .make_directory(&path("then"), 0o777, LIMIT)
        .await
        .unwrap();
}

/// Handles of the export that was there before mean nothing to the one that is there now.
#[tokio::test]
async fn an_export_that_was_replaced_is_looked_up_anew() {
    let mut subject = Subject::new(Kind::Direct).await;
    subject.make("volume");
    let export = subject.export.take().unwrap();
    let before = subject
        .backend
        .stat(&path("volume"), LIMIT)
        .await
        .unwrap()
        .unwrap();
    export.stop().await;
    let other = tempfile::tempdir().unwrap();
    std::fs::create_dir(other.path().join("volume")).unwrap();
    let _export = serve(other.path(), &subject.port, Arc::new(Passthrough)).await;
    let after = subject
        .backend
        .stat(&path("volume"), LIMIT)
        .await
        .unwrap()
        .unwrap();
    assert_ne!(after.identity, before.identity);
    subject
        .backend
        .make_directory(&path("new"), 0o777, LIMIT)
        .await
        .unwrap();
    assert!(other.path().join("new").is_dir() && !subject.exists("new"));
}

async fn behind_proxy() -> (Subject, Proxy, DirectBackend) {
    let subject = Subject::new(Kind::Direct).await;
    let server = ([127, 0, 0, 1], subject.export.as_ref().unwrap().port()).into();
    let proxy = Proxy::start(server).await;
    let backend = direct(proxy.port);
    (subject, proxy, backend)
}

#[rstest]
#[case(Loss::Answer(MKDIR), true)]
#[case(Loss::Request(MKDIR), false)]
#[tokio::test]
async fn a_mkdir_without_an_answer_is_uncertain_and_not_repeated(
    #[case] loss: Loss,
    #[case] done: bool,
) {
    let (subject, proxy, backend) = behind_proxy().await;
    proxy.lose(loss);
    let error = backend
        .make_directory(&path("new"), 0o777, LIMIT)
        .await
        .unwrap_err();
    assert!(proxy.lost());
    assert_eq!(
        (error.cause, error.certainty),
        (Cause::Unreachable, Certainty::Uncertain)
    );
    // The next call runs on a new connection and tells what became of it.
    assert_eq!(
        backend.stat(&path("new"), LIMIT).await.unwrap().is_some(),
        done
    );
    assert_eq!(subject.exists("new"), done);
}

#[tokio::test]
async fn a_rename_without_an_answer_is_settled_by_looking() {
    let (subject, proxy, backend) = behind_proxy().await;
    subject.make("volume");
    proxy.lose(Loss::Answer(RENAME));
    backend
        .rename_directory(&path("volume"), &path("target"), LIMIT)
        .await
        .unwrap();
    assert!(proxy.lost());
    assert!(subject.exists("target") && !subject.exists("volume"));
}

#[tokio::test]
async fn a_rename_that_did_not_arrive_is_uncertain_and_leaves_nothing() {
    let (subject, proxy, backend) = behind_proxy().await;
    subject.make("volume");
    proxy.lose(Loss::Request(RENAME));
    let (from, to) = (path("volume"), path("target"));
    let error = backend
        .rename_directory(&from, &to, LIMIT)
        .await
        .unwrap_err();
    assert_eq!(
        (error.cause, error.certainty),
        (Cause::Unreachable, Certainty::Uncertain)
    );
    assert!(
        subject.exists("volume") && !subject.exists("target"),
        "the reservation is gone"
    );
    backend.rename_directory(&from, &to, LIMIT).await.unwrap();
}

#[rstest]
#[case(Loss::Answer(RENAME), true)]
#[case(Loss::Request(RENAME), false)]
#[tokio::test]
async fn a_write_without_an_answer_is_settled_by_looking(#[case] loss: Loss, #[case] done: bool) {
    let (_subject, proxy, backend) = behind_proxy().await;
    let record = path("record");
    backend.write_file(&record, b"first", LIMIT).await.unwrap();
    proxy.lose(loss);
    let result = backend.write_file(&record, b"second", LIMIT).await;
    assert!(proxy.lost());
    let content = backend.read_file(&record, LIMIT).await.unwrap().unwrap();
    if done {
        result.unwrap();
        assert_eq!(content, b"second");
    } else {
        assert_eq!(result.unwrap_err().certainty, Certainty::Uncertain);
        assert_eq!(content, b"first");
    }
}

#[rstest]
#[case(Loss::Answer(REMOVE))]
#[case(Loss::Request(REMOVE))]
#[tokio::test]
async fn a_removal_goes_on_after_a_lost_connection(#[case] loss: Loss) {
    let (subject, proxy, backend) = behind_proxy().await;
    subject.make("volume/a/b");
    for number in 0..100 {
        subject.write(&format!("volume/a/b/{number}"), "");
    }
    proxy.lose(loss);
    backend.remove_tree(&path("volume"), LIMIT).await.unwrap();
    assert!(proxy.lost());
    assert!(!subject.exists("volume"));
}

#[tokio::test]
async fn disconnecting_is_followed_by_connecting() {
    let subject = Subject::new(Kind::Direct).await;
    let backend = direct(subject.export.as_ref().unwrap().port());
    backend
        .make_directory(&path("one"), 0o777, LIMIT)
        .await
        .unwrap();
    backend.disconnect().await;
    backend.disconnect().await;
    backend
        .make_directory(&path("two"), 0o777, LIMIT)
        .await
        .unwrap();
}

fn export_directory(export: &testbed::nfs::EmbeddedExport) -> std::path::PathBuf {
    export.directory().as_std_path().to_owned()
}
