//! Mistakes of the caller: said clearly, with a suggestion, before anything is started.

use insta::assert_snapshot;

use crate::support::{Call, Place};

fn refused(place: &Place, call: &Call) -> String {
    assert_eq!(call.code(), 2, "{}", call.shown());
    assert_eq!(call.stdout(), "");
    assert!(
        place.nothing_was_started(),
        "something was started: {}",
        call.shown()
    );
    call.shown()
}

#[test]
fn a_typo_in_a_flag() {
    let place = Place::new();
    assert_snapshot!(refused(&place, &place.call("run --subjct reference")));
}

#[test]
fn a_typo_in_a_command() {
    let place = Place::new();
    assert_snapshot!(refused(&place, &place.call("statsu")));
}

#[test]
fn a_typo_in_a_key_of_the_options_file() {
    let place = Place::with("claimcheck.toml", "parallel = 4\nreport-dri = \"out\"\n");
    assert_snapshot!(refused(&place, &place.call("run")));
}

#[test]
fn a_typo_in_a_variable() {
    let place = Place::new();
    assert_snapshot!(refused(
        &place,
        &place.call_with("run", &[("CLAIMCHECK_PARALEL", "4")])
    ));
}

#[test]
fn a_typo_in_a_key_of_the_subject_file() {
    let place = Place::with(
        "subject.yaml",
        "name: probe\nprovisioner: example.org/probe\nstart:\n  process:\n    comand: [\"x\"]\n",
    );
    assert_snapshot!(refused(&place, &place.call("run --subject subject.yaml")));
}

#[test]
fn a_typo_in_a_feature_that_the_subject_declares() {
    let place = Place::with(
        "subject.yaml",
        "name: probe\nprovisioner: example.org/probe\n\
         start:\n  process:\n    command: [\"sleep\", \"1\"]\n    \
         serviceAccount: { namespace: default, name: default }\n\
         declares:\n  profiles: [core]\n  features: [archve]\n",
    );
    assert_snapshot!(refused(&place, &place.call("run --subject subject.yaml")));
}

#[test]
fn a_subject_that_does_not_exist() {
    let place = Place::new();
    assert_snapshot!(refused(&place, &place.call("up --subject referense")));
}

#[test]
fn a_case_that_does_not_exist() {
    let place = Place::new();
    assert_snapshot!(refused(&place, &place.call("run --only B01,claimref-id")));
}

#[test]
fn a_profile_that_does_not_exist() {
    let place = Place::new();
    assert_snapshot!(refused(&place, &place.call("run --profile walktrough")));
}

#[test]
fn a_kind_of_cluster_that_is_not_built_yet() {
    let place = Place::new();
    assert_snapshot!(refused(&place, &place.call("run --cluster existing")));
}

#[test]
fn a_name_that_is_none() {
    let place = Place::new();
    assert_snapshot!(refused(&place, &place.call("up --name My_Cluster")));
}

#[test]
fn a_typo_in_a_tool() {
    let place = Place::new();
    assert_snapshot!(refused(
        &place,
        &place.call("run --tool ectd=/usr/bin/etcd")
    ));
}

#[test]
fn nothing_to_run_has_a_code_of_its_own_and_starts_nothing() {
    let place = Place::new();
    let call = place.call("run --only F01");
    assert_eq!(call.code(), 4);
    assert!(place.nothing_was_started());
    assert_snapshot!(call.shown());
}

#[test]
fn taking_down_what_is_not_up_is_no_error() {
    let place = Place::new();
    let call = place.call("down --name other");
    assert_eq!(call.code(), 0);
    assert_eq!(call.stderr(), "no testbed `other` is up\n");
    assert_eq!(place.call("status").stderr(), "no testbed is up\n");
    assert!(place.nothing_was_started());
}
