//! `bench`: its flags, and mistakes that are found before anything is started.

use crate::support::Place;

#[test]
fn help_lists_the_flags() {
    let help = Place::new().call("bench --help").stdout();
    for flag in [
        "--subject <FILE|NAME,...>",
        "--ceiling",
        "--claims <N>",
        "--rounds <N>",
        "--idle",
        "--restart",
        "--report-dir <DIR>",
        "[alias: --output]",
        "--tool <NAME=PATH>",
    ] {
        assert!(help.contains(flag), "{flag} is missing in {help}");
    }
}

#[test]
fn a_mistake_is_told_with_what_is_allowed_and_starts_nothing() {
    for (arguments, error, hint) in [
        (
            "bench --claims 0",
            "`--claims`: `0` is no number of claims; allowed is 1 to 50000",
            None,
        ),
        (
            "bench --rounds many",
            "`--rounds`: `many` is no number of rounds; allowed is 1 to 99",
            None,
        ),
        (
            "bench --subject referense",
            "referense",
            Some("did you mean `reference`"),
        ),
        (
            "bench --subject reference --subject reference-mount,reference",
            "two subjects are called `reference`",
            None,
        ),
        (
            "bench --cluster kind",
            "`--cluster`: `bench` does not run on `kind`; allowed is local",
            Some("a control plane of its own"),
        ),
        (
            "bench --subject reference-incluster",
            "start.manifests",
            Some("subject file with `start.process`"),
        ),
    ] {
        let place = Place::new();
        let call = place.call(arguments);
        assert_eq!(call.code(), 2, "{}", call.shown());
        assert_eq!(call.stdout(), "");
        assert!(call.stderr().contains(error), "{}", call.shown());
        if let Some(hint) = hint {
            assert!(call.stderr().contains(hint), "{}", call.shown());
        }
        assert!(place.nothing_was_started(), "{}", call.shown());
    }
}

#[test]
fn a_subject_whose_claims_wait_for_pods_is_refused() {
    let place = Place::with(
        "subject.yaml",
        "name: waits\nprovisioner: example.org/waits\n\
         start:\n  process:\n    command: [\"sleep\", \"1\"]\n    \
         serviceAccount: { namespace: default, name: default }\n\
         class: { volumeBindingMode: WaitForFirstConsumer }\n\
         declares:\n  profiles: [core]\n  features: []\n",
    );
    let call = place.call("bench --subject subject.yaml");
    assert_eq!(call.code(), 2, "{}", call.shown());
    assert!(
        call.stderr().contains("wait for a first consumer"),
        "{}",
        call.shown()
    );
    assert!(place.nothing_was_started(), "{}", call.shown());
}
