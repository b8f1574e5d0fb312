use rstest::rstest;

use super::*;

/// A file with nothing but what must be there.
const SMALLEST: &str = "\
name: x
provisioner: example.com/x
start:
  process:
    command: [sleep, infinity]
    serviceAccount: { namespace: default, name: x }
declares: { profiles: [core] }
";

fn checked(text: &str) -> Result<Subject, SubjectError> {
    check("x.yaml".into(), text, |_| Err(ErrorKind::NotFound.into()))
}

#[test]
fn the_smallest_file_has_the_apis_defaults() {
    let subject = checked(SMALLEST).unwrap();
    assert_eq!(subject.class, Class::default());
    assert_eq!(
        subject.class.reclaim_policy,
        super::super::ReclaimPolicy::Delete
    );
    assert_eq!(subject.profiles, ["core"]);
    assert!(subject.limits.is_empty());
    assert!(subject.manifests.is_empty());
}

#[rstest]
#[case("reference", "reference")]
#[case("reference-mount", "reference-mount")]
#[case("idle", "idle")]
fn every_built_in_subject_is_sound_and_has_its_manifests(#[case] file: &str, #[case] name: &str) {
    let subject = open(file).unwrap();
    assert_eq!(subject.name, name);
    assert_eq!(subject.manifests.len(), 1);
    assert!(
        subject.manifests[0]
            .text
            .contains("run-nfs-client-provisioner")
    );
}

#[test]
fn the_built_in_subjects_are_those_of_the_fixtures() {
    let fixtures = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/subjects");
    for name in builtin::BUILTIN {
        let from_file = open(fixtures.join(format!("{name}.yaml")).as_str()).unwrap();
        let built_in = open(name).unwrap();
        assert_eq!(from_file.text, built_in.text);
        assert_eq!(from_file.manifests, built_in.manifests);
    }
}

#[test]
fn idle_declares_exactly_what_the_reference_declares() {
    let (reference, idle) = (open("reference").unwrap(), open("idle").unwrap());
    assert_eq!(idle.profiles, reference.profiles);
    assert_eq!(idle.features, reference.features);
    assert_eq!(idle.class, reference.class);
    assert_eq!(idle.provisioner, reference.provisioner);
}

#[rstest]
#[case(
    "profilse: [core]",
    "subject file x.yaml:8:1: unknown key `profilse`; allowed: `name`, `version`, `provisioner`, \
     `start`, `manifests`, `class`, `declares`, `layout`, `limits`"
)]
#[case(
    "manifest: [a]",
    "subject file x.yaml:8:1: unknown key `manifest`; did you mean `manifests`?"
)]
#[case(
    "class: { reclaimpolicy: Delete }",
    "subject file x.yaml:8:10: unknown key `reclaimpolicy`; did you mean `reclaimPolicy`?"
)]
#[case(
    "class: { reclaimPolicy: delete }",
    "subject file x.yaml:8:25: unknown value `delete`; did you mean `Delete`?"
)]
#[case(
    "class: { volumeBindingMode: WaitForConsumer }",
    "subject file x.yaml:8:29: unknown value `WaitForConsumer`; did you mean `WaitForFirstConsumer`?"
)]
#[case(
    "layout: { source: csi }",
    "subject file x.yaml:8:19: unknown value `csi`; allowed: `nfs`"
)]
#[case(
    "limits: { claim-bound: 30 }",
    "subject file x.yaml: `limits.claim-bound` is `30`, which is no time above zero: write it as \
     `30s` or `2m`"
)]
#[case(
    "manifests: [missing.yaml]",
    "subject file x.yaml: cannot read missing.yaml; manifests are relative to the subject file"
)]
fn a_mistake_is_named_with_its_place_and_what_may_have_been_meant(
    #[case] line: &str,
    #[case] expected: &str,
) {
    let error = checked(&format!("{SMALLEST}{line}\n")).unwrap_err();
    assert_eq!(error.to_string(), expected);
}

#[rstest]
#[case(
    "[sleep, infinity]",
    "[]",
    "`start.process.command` is empty: give a program and its arguments"
)]
#[case(
    "[sleep, infinity]",
    "[sleep, \"${exprot.path}\"]",
    "`start.process.command` has the unknown placeholder `${exprot.path}`; did you mean `export.path`?"
)]
#[case(
    "[sleep, infinity]",
    "[sleep]\n    env: { A: \"${log\" }",
    "`start.process.env.A` has a `${` without its `}`"
)]
#[case(
    "[sleep, infinity]",
    "[sleep]\n    bind: volumes",
    "`start.process.bind` is not an absolute path"
)]
#[case(
    "[core]",
    "[]",
    "`declares.profiles` is empty: declare at least `core`"
)]
#[case(
    "example.com/x",
    "\"\"",
    "`provisioner` is empty: give the name that classes have"
)]
fn a_value_that_cannot_be_is_refused(
    #[case] sound: &str,
    #[case] mistaken: &str,
    #[case] expected: &str,
) {
    let error = checked(&SMALLEST.replace(sound, mistaken)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("subject file x.yaml: {expected}")
    );
}

#[test]
fn a_missing_key_is_named() {
    let error = checked(&SMALLEST.replace("provisioner: example.com/x\n", "")).unwrap_err();
    assert!(
        error.to_string().contains("`provisioner` is missing"),
        "{error}"
    );
}

#[test]
fn a_key_given_twice_is_refused() {
    let error = checked(&format!("{SMALLEST}name: y\n")).unwrap_err();
    assert!(
        error.to_string().starts_with("subject file x.yaml:8:"),
        "{error}"
    );
}

#[test]
fn a_word_like_a_built_in_name_is_answered_with_it() {
    let error = open("referense").unwrap_err();
    assert_eq!(
        error.to_string(),
        "subject file referense: cannot read referense; did you mean `reference`?"
    );
}

#[test]
fn limits_are_times() {
    let subject = checked(&format!("{SMALLEST}limits: {{ claim-bound: 1m 30s }}\n")).unwrap();
    assert_eq!(subject.limits["claim-bound"], Duration::from_secs(90));
}
