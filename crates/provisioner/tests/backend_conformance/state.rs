//! Files in the state directory, whose parents the direct backend knows for a moment.

use provisioner::backend::Cause;
use testbed::nfs::embedded::Procedure;

use crate::subject::{Kind, LIMIT, Subject, path, refused};

const RECORDS: &str = ".claimcheck/owner/records";

async fn write(subject: &Subject, name: &str) {
    let record = path(&format!("{RECORDS}/{name}"));
    let written = subject.backend.write_file(&record, name.as_bytes(), LIMIT);
    written.await.unwrap();
}

#[tokio::test]
async fn parents_are_looked_up_once() {
    let subject = Subject::new(Kind::Direct).await;
    subject.make(RECORDS);
    subject.make("a/b/c");
    let lookups = || {
        let export = subject.export.as_ref().unwrap();
        export.calls(Procedure::NFSPROC3_LOOKUP)
    };
    write(&subject, "first").await;
    let before = lookups();
    write(&subject, "second").await;
    assert_eq!(lookups(), before, "the parents are known");
    // Only there: what is not this program's own is looked up each time.
    let elsewhere = path("a/b/c/file");
    for _ in 0..2 {
        let before = lookups();
        let written = subject.backend.write_file(&elsewhere, b"x", LIMIT).await;
        written.unwrap();
        assert_eq!(lookups(), before + 3);
    }
    assert!(subject.exists(&format!("{RECORDS}/first")));
    assert!(subject.exists(&format!("{RECORDS}/second")));
}

/// As after an export was restored from a copy.
#[tokio::test]
async fn a_state_directory_that_was_made_anew_is_written_to() {
    let subject = Subject::new(Kind::Direct).await;
    subject.make(RECORDS);
    write(&subject, "old").await;
    std::fs::remove_dir_all(subject.at(".claimcheck")).unwrap();
    subject.make(RECORDS);
    write(&subject, "new").await;
    assert!(subject.exists(&format!("{RECORDS}/new")));
    std::fs::remove_dir_all(subject.at(".claimcheck")).unwrap();
    let record = path(&format!("{RECORDS}/none"));
    let cause = refused(subject.backend.write_file(&record, b"x", LIMIT).await);
    assert_eq!(cause, Cause::NotFound);
}

/// A link in the place of a directory that is known leads nowhere: the handle is the directory's.
#[tokio::test]
async fn a_link_in_the_place_of_a_known_directory_is_not_followed() {
    let subject = Subject::new(Kind::Direct).await;
    subject.make(RECORDS);
    write(&subject, "before").await;
    let outside = subject.outside_now();
    std::fs::rename(subject.at(RECORDS), subject.at("moved")).unwrap();
    subject.link(subject.outside(), RECORDS);
    write(&subject, "after").await;
    assert_eq!(subject.outside_now(), outside, "nothing went through it");
    assert!(subject.exists("moved/after"));
}
