//! Renaming replaces nothing, whoever else is at the same name.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;

use provisioner::backend::Cause;
use rstest::rstest;
use testbed::nfs::embedded::{Call, CallHook, Procedure, Verdict};

use crate::subject::{Kind, LIMIT, Subject, path, refused};

#[rstest]
#[tokio::test]
async fn a_directory_keeps_its_identity_and_content(
    #[values(Kind::Mount, Kind::Direct)] kind: Kind,
) {
    let subject = Subject::new(kind).await;
    subject.make("volume");
    subject.make("trash");
    subject.write("volume/data", "data");
    let before = subject
        .backend
        .stat(&path("volume"), LIMIT)
        .await
        .unwrap()
        .unwrap();
    let (from, to) = (path("volume"), path("trash/pvc-1"));
    subject
        .backend
        .rename_directory(&from, &to, LIMIT)
        .await
        .unwrap();
    let after = subject.backend.stat(&to, LIMIT).await.unwrap().unwrap();
    assert_eq!((after.identity, after.mode), (before.identity, before.mode));
    assert!(!subject.exists("volume"));
    assert_eq!(
        std::fs::read_to_string(subject.at("trash/pvc-1/data")).unwrap(),
        "data"
    );
}

#[rstest]
#[tokio::test]
async fn a_target_that_is_taken_stays(
    #[values(Kind::Mount, Kind::Direct)] kind: Kind,
    #[values("empty", "full", "file", "link", "volume")] target: &str,
) {
    let subject = Subject::new(kind).await;
    subject.make("volume");
    subject.write("volume/data", "data");
    subject.make("empty");
    subject.make("full/sub");
    subject.write("file", "mine");
    subject.link("empty", "link");
    let before = subject.inside_now();
    let result = subject
        .backend
        .rename_directory(&path("volume"), &path(target), LIMIT)
        .await;
    assert_eq!(refused(result), Cause::AlreadyExists);
    assert_eq!(subject.inside_now(), before);
}

#[rstest]
#[case("none", "new", Cause::NotFound)]
#[case("file", "new", Cause::NotADirectory)]
#[case("link", "new", Cause::NotADirectory)]
#[case("volume", "none/new", Cause::NotFound)]
#[case("volume", "file/new", Cause::NotADirectory)]
#[case("volume", "volume/sub/new", Cause::Io)]
#[case("volume", "", Cause::PermissionDenied)]
#[case("", "new", Cause::Io)]
#[tokio::test]
async fn what_cannot_be_renamed_leaves_no_reservation(
    #[values(Kind::Mount, Kind::Direct)] kind: Kind,
    #[case] from: &str,
    #[case] to: &str,
    #[case] cause: Cause,
) {
    let subject = Subject::new(kind).await;
    subject.make("volume/sub");
    subject.write("file", "");
    subject.link("volume", "link");
    let before = subject.inside_now();
    let result = subject
        .backend
        .rename_directory(&path(from), &path(to), LIMIT)
        .await;
    assert_eq!(refused(result), cause);
    assert_eq!(subject.inside_now(), before);
}

#[rstest]
#[tokio::test]
async fn one_of_two_gets_the_target(#[values(Kind::Mount, Kind::Direct)] kind: Kind) {
    let subject = Subject::new(kind).await;
    for round in 0..20 {
        let names = [format!("one-{round}"), format!("two-{round}")];
        let target = format!("target-{round}");
        for name in &names {
            subject.make(name);
            subject.write(&format!("{name}/data"), name);
        }
        let tasks = names.clone().map(|name| {
            let (backend, target) = (Arc::clone(&subject.backend), path(&target));
            tokio::spawn(
                async move { backend.rename_directory(&path(&name), &target, LIMIT).await },
            )
        });
        let mut winner = None;
        for (task, name) in tasks.into_iter().zip(&names) {
            match task.await.unwrap() {
                Ok(()) => assert!(winner.replace(name).is_none(), "both won"),
                error => {
                    assert_eq!(refused(error), Cause::AlreadyExists);
                    assert_eq!(
                        &std::fs::read_to_string(subject.at(&format!("{name}/data"))).unwrap(),
                        name,
                        "the loser keeps what it has"
                    );
                }
            }
        }
        let content = std::fs::read_to_string(subject.at(&format!("{target}/data"))).unwrap();
        assert_eq!(&content, winner.expect("one wins"));
    }
}

/// Does something behind everybody's back, once, right before the first RENAME.
struct BeforeRename(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl CallHook for BeforeRename {
    fn before(&self, call: &Call<'_>) -> Verdict {
        if call.procedure == Procedure::NFSPROC3_RENAME
            && let Some(act) = self.0.lock().unwrap().take()
        {
            act();
        }
        Verdict::Proceed
    }
}

/// The target was reserved, and somebody puts a file into the reservation.
#[tokio::test]
async fn a_reservation_that_was_filled_is_not_replaced() {
    let hook = Arc::new(BeforeRename(Mutex::new(None)));
    let subject = Subject::with_hook(Kind::Direct, Arc::<BeforeRename>::clone(&hook)).await;
    subject.make("volume");
    let intruder: PathBuf = subject.at("target/intruder");
    *hook.0.lock().unwrap() = Some(Box::new(move || std::fs::write(intruder, "mine").unwrap()));
    let result = subject
        .backend
        .rename_directory(&path("volume"), &path("target"), LIMIT)
        .await;
    assert_eq!(refused(result), Cause::AlreadyExists);
    assert!(subject.exists("volume") && subject.exists("target/intruder"));
}

/// The source goes, or is swapped for a link, after it was looked at.
#[rstest]
#[tokio::test]
async fn a_source_that_changed_does_not_arrive_and_leaves_no_reservation(
    #[values(false, true)] becomes_a_link: bool,
) {
    let hook = Arc::new(BeforeRename(Mutex::new(None)));
    let subject = Subject::with_hook(Kind::Direct, Arc::<BeforeRename>::clone(&hook)).await;
    subject.make("volume");
    let (volume, outside) = (subject.at("volume"), subject.outside().to_owned());
    *hook.0.lock().unwrap() = Some(Box::new(move || {
        std::fs::remove_dir(&volume).unwrap();
        if becomes_a_link {
            std::os::unix::fs::symlink(outside, volume).unwrap();
        }
    }));
    let before = subject.outside_now();
    let result = subject
        .backend
        .rename_directory(&path("volume"), &path("target"), LIMIT)
        .await;
    let cause = refused(result);
    assert!(becomes_a_link || cause == Cause::NotFound, "{cause:?}");
    assert!(
        !subject.exists("target"),
        "neither the link nor the reservation is there"
    );
    assert_eq!(subject.outside_now(), before);
}
