use rstest::rstest;

use super::super::start::ImageSource;
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

/// What `text` makes, beside the files of [`IN_CLUSTER`].
fn checked(text: &str) -> Result<Subject, SubjectError> {
    check(Utf8Path::new("x.yaml"), text, &|path| match path.as_str() {
        "deployment.yaml" => Ok(DEPLOYMENT.to_owned()),
        "broken.yaml" => Ok("kind: Deployment\nmetadata: { name: x }\n".to_owned()),
        "image/go.mod" => Ok("module x\n".to_owned()),
        "image/go.sum" => Ok("x v1 h1:\n".to_owned()),
        _ => Err(ErrorKind::NotFound.into()),
    })
}

/// A subject in the cluster with nothing but what must be there.
const IN_CLUSTER: &str = "\
name: x
provisioner: example.com/x
start:
  manifests:
    files: [deployment.yaml]
    workload: { kind: Deployment, namespace: apps, name: x }
declares: { profiles: [core] }
";

const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: { name: x }
spec:
  template:
    spec:
      containers:
      - name: x
        image: example.com/x:v1
        env: [{ name: SERVER, value: nas }]
      volumes: [{ name: root, nfs: { server: nas, path: / } }]
";

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

#[test]
fn every_built_in_subject_is_sound_and_has_its_name() {
    for name in builtin::BUILTIN {
        assert_eq!(open(name).unwrap().name, name);
    }
}

#[rstest]
#[case("reference", &[])]
#[case("reference-incluster", &["nfs-provisioner"])]
#[case("reference-incluster-direct", &["nfs-provisioner"])]
#[case("local-path", &["rancher/local-path-provisioner:v0.0.30", "busybox"])]
fn built_in_subjects_say_which_images_nodes_need(#[case] name: &str, #[case] images: &[&str]) {
    let subject = open(name).unwrap();
    let names: Vec<&str> = subject
        .images()
        .iter()
        .map(|image| image.name.as_str())
        .collect();
    assert_eq!(names, images);
}

#[rstest]
#[case("reference", true, true)]
#[case("idle", true, true)]
#[case("reference-incluster", false, true)]
#[case("local-path", false, true)]
fn a_subject_says_on_which_clusters_it_runs(
    #[case] name: &str,
    #[case] local: bool,
    #[case] kind: bool,
) {
    use crate::kind::ClusterKind;

    let subject = open(name).unwrap();
    assert_eq!(subject.runs_on(ClusterKind::Local).is_ok(), local);
    assert_eq!(subject.runs_on(ClusterKind::Kind).is_ok(), kind);
}

#[test]
fn a_subject_that_cannot_run_on_a_cluster_names_the_key_and_the_way_out() {
    let refused = |text: &str| {
        let subject = checked(text).unwrap();
        let error = subject.runs_on(crate::kind::ClusterKind::Local);
        error.unwrap_err().to_string()
    };
    assert_eq!(
        refused(IN_CLUSTER),
        "subject file x.yaml: `start.manifests` runs in pods, and the nodes of a `local` cluster \
         are simulated; take `--cluster kind`"
    );
    assert_eq!(
        refused(&format!(
            "{SMALLEST}layout: {{ source: nodeDirectory, path: /opt/x }}\n"
        )),
        "subject file x.yaml: `layout` keeps volumes on nodes, and the nodes of a `local` cluster \
         are simulated; take `--cluster kind`"
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
        assert_eq!(from_file.start, built_in.start);
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
    "subject file x.yaml:8:19: unknown value `csi`; allowed: `nfs`, `nodeDirectory`"
)]
#[case(
    "layout: { source: nodeDirectory }",
    "subject file x.yaml: `layout.path` is missing: give the directory of the nodes in which \
     volumes are made"
)]
#[case(
    "layout: { source: nodeDirectory, path: /opt/../x }",
    "subject file x.yaml: `layout.path` is no absolute path below `/`, without `..` and a final `/`"
)]
#[case(
    "layout: { source: nodeDirectory, path: / }",
    "subject file x.yaml: `layout.path` is no absolute path below `/`, without `..` and a final `/`"
)]
#[case(
    "layout: { source: nfs, path: /export }",
    "subject file x.yaml: `layout.path` belongs to `source: nodeDirectory`; an `nfs` source has \
     the export's path"
)]
#[case(
    "limits: { claim-bound: 30 }",
    "subject file x.yaml: `limits.claim-bound` is `30`, which is no time above zero: write it as \
     `30s` or `2m`"
)]
#[case(
    "manifests: [missing.yaml]",
    "subject file x.yaml: cannot read missing.yaml; paths are relative to the subject file"
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

#[test]
fn a_subject_in_the_cluster_has_its_files_images_and_settings() {
    let text = IN_CLUSTER.replace(
        "declares:",
        "    ready: { lease: x }
    images:
    - { name: 'example.com/x:v1', from: { goModule: { directory: image, package: example.com/x } } }
    set:
      env: { SERVER: '${export.server}:${export.mountPort}' }
      nfs: { root: { server: '${export.server}', path: '${export.path}' } }
declares:",
    );
    let Start::Manifests(start) = checked(&text).unwrap().start else {
        panic!("it is started by manifests");
    };
    assert_eq!(start.files[0].text, DEPLOYMENT);
    assert_eq!(
        start.set.env["SERVER"],
        "${export.server}:${export.mountPort}"
    );
    assert_eq!(start.set.nfs["root"].path, "${export.path}");
    let ImageSource::Go(program) = &start.images[0].from else {
        panic!("it is made of a Go program");
    };
    assert_eq!(
        (program.go_mod.as_str(), program.package.as_str()),
        ("module x\n", "example.com/x")
    );
}

#[rstest]
#[case(
    "files: [deployment.yaml]",
    "files: []",
    "subject file x.yaml: `start.manifests.files` is empty: give the manifests that make the subject"
)]
#[case(
    "files: [deployment.yaml]",
    "files: [broken.yaml]",
    "subject file x.yaml: `start.manifests.files` broken.yaml: document 1 of the manifest has no \
     `apiVersion`"
)]
#[case(
    "kind: Deployment",
    "kind: Deploymet",
    "subject file x.yaml:6:23: unknown value `Deploymet`; did you mean `Deployment`?"
)]
#[case(
    "name: x }",
    "name: y }",
    "subject file x.yaml: `start.manifests.workload` is Deployment apps/y, which no file has"
)]
#[case(
    "declares:",
    "    image: []\ndeclares:",
    "subject file x.yaml:7:5: unknown key `image`; did you mean `images`?"
)]
#[case(
    "declares:",
    "    images: [{ name: 'x:v2', from: busybox }]\ndeclares:",
    "subject file x.yaml: `start.manifests.images` has the image `x:v2`, which no file names"
)]
#[case(
    "declares:",
    "    images: [{ name: x, from: busibox }]\ndeclares:",
    "subject file x.yaml:7:31: unknown value `busibox`; did you mean `busybox`?"
)]
#[case(
    "declares:",
    "    images: [{ name: x, from: { goModule: { directory: no, package: x } } }]\ndeclares:",
    "subject file x.yaml: cannot read no/go.mod; paths are relative to the subject file"
)]
#[case(
    "declares:",
    "    set: { env: { SERVR: nas } }\ndeclares:",
    "subject file x.yaml: `start.manifests.set.env.SERVR` is no variable of the workload's \
     containers; they have `SERVER`"
)]
#[case(
    "declares:",
    "    set: { env: { SERVER: '${exprot.server}' } }\ndeclares:",
    "subject file x.yaml: `start.manifests.set.env.SERVER` has the unknown placeholder \
     `${exprot.server}`; did you mean `export.server`?"
)]
#[case(
    "declares:",
    "    set: { nfs: { root: { server: nas, path: '${export.directory}' } } }\ndeclares:",
    "subject file x.yaml: `start.manifests.set.nfs.root.path` has the placeholder \
     `${export.directory}`, which means nothing inside the cluster; allowed: `namespace`, \
     `provisioner`, `export.server`, `export.path`, `export.port`, `export.mountPort`"
)]
fn a_mistake_of_a_subject_in_the_cluster_is_named_before_anything_is_applied(
    #[case] sound: &str,
    #[case] mistaken: &str,
    #[case] expected: &str,
) {
    let error = checked(&IN_CLUSTER.replacen(sound, mistaken, 1)).unwrap_err();
    assert_eq!(error.to_string(), expected);
}
