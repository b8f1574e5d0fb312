//! One row of the catalogue in full.

use insta::assert_snapshot;

use crate::support::Place;

#[test]
fn a_case_is_explained_by_id() {
    assert_snapshot!(Place::new().call("explain B01").shown());
}

#[test]
fn a_case_is_explained_by_name_with_what_it_needs_of_the_subject() {
    let call = Place::new().call("explain archive-renames");
    assert_eq!(call.code(), 0);
    assert!(
        call.stdout().starts_with("R03 archive-renames\n"),
        "{}",
        call.shown()
    );
    assert!(
        call.stdout().contains("a subject that declares archive"),
        "{}",
        call.shown()
    );
}

#[test]
fn a_row_without_a_case_says_so() {
    let call = Place::new().call("explain F01");
    assert!(
        call.stdout().contains("not implemented yet"),
        "{}",
        call.shown()
    );
    assert!(call.stdout().contains("skipped, "), "{}", call.shown());
}
