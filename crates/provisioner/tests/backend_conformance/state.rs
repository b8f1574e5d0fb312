//! Records: the direct backend knows for a moment where they are written.

use provisioner::backend::Cause;
use testbed::nfs::embedded::Procedure;

use crate::subject::{Kind, LIMIT, Subject, path, refused};

const RECORDS: &str = ".claimcheck/owner/records";
/// How often a test begins again whose two writes were more than a moment apart.
const ATTEMPTS: usize = 50;

async fn write(subject: &Subject, name: &str) {
    let record = path(&format!("{RECORDS}/{name}"));
    let written = subject.backend.write_file(&record, name.as_bytes(), LIMIT);
    written.await.unwrap();
}

/// How many LOOKUPs two writes take, of which the second may follow soon enough.
async fn lookups(subject: &Subject, file: &str) -> u64 {
    let counted = || {
        let export = subject.export.as_ref().unwrap();
        export.calls(Procedure::NFSPROC3_LOOKUP)
    };
    let (before, file) = (counted(), path(file));
    for _ in 0..2 {
        let written = subject.backend.write_file(&file, b"x", LIMIT).await;
        written.unwrap();
    }
    counted() - before
}

#[tokio::test]
async fn parents_of_records_are_looked_up_once() {
    let subject = Subject::new(Kind::Direct).await;
    subject.make(RECORDS);
    let mut known = false;
    for _ in 0..ATTEMPTS {
        known = known || lookups(&subject, &format!("{RECORDS}/one")).await <= 3;
    }
    assert!(known, "each write looked its parents up");
    // What is not a record is looked up each time: the export's id, what becomes it, volumes.
    for elsewhere in [
        "a/b/c",
        ".claimcheck/export-id",
        ".claimcheck/owner/trash",
        ".claimcheck/owner",
        "claimcheck/owner/records",
    ] {
        subject.make(elsewhere);
        let parents = elsewhere.split('/').count() as u64;
        for _ in 0..3 {
            let counted = lookups(&subject, &format!("{elsewhere}/file")).await;
            assert_eq!(counted, 2 * parents, "{elsewhere}");
        }
    }
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

/// A link in the place of a directory that is known leads nowhere: the handle is the directory's. What
/// is read or removed is looked up anew.
#[tokio::test]
async fn a_link_in_the_place_of_a_known_directory_is_not_followed() {
    let subject = Subject::new(Kind::Direct).await;
    subject.make(RECORDS);
    std::fs::write(subject.outside().join("before"), "precious").unwrap();
    write(&subject, "before").await;
    let outside = subject.outside_now();
    std::fs::rename(subject.at(RECORDS), subject.at("moved")).unwrap();
    subject.link(subject.outside(), RECORDS);
    let (before, after) = (
        path(&format!("{RECORDS}/before")),
        path(&format!("{RECORDS}/after")),
    );
    for cause in [
        refused(subject.backend.read_file(&before, LIMIT).await),
        refused(subject.backend.remove_file(&before, LIMIT).await),
    ] {
        assert_eq!(cause, Cause::NotADirectory);
    }
    // On a slow machine the moment is over and it is refused.
    match subject.backend.write_file(&after, b"x", LIMIT).await {
        Ok(()) => assert!(subject.exists("moved/after")),
        Err(error) => assert_eq!(error.cause, Cause::NotADirectory),
    }
    assert_eq!(subject.outside_now(), outside, "nothing went through it");
}
