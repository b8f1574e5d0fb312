//! What a release publishes beside its images, as `scripts/package` makes it.

use std::process::Command;

use serde_json::json;

use super::helm::{Helm, deploy};
use super::objects::{Objects, text};
use crate::place::said;

const IMAGE: &str = "registry.example.org/claims/nfs-provisioner";

#[test]
fn chart_and_manifests_of_a_release_name_its_image() {
    let version = env!("CARGO_PKG_VERSION");
    let helm = Helm::alone();
    let out = tempfile::tempdir().unwrap();
    let output = helm
        .environment(&mut Command::new(deploy("../scripts/package")))
        .arg(IMAGE)
        .arg(out.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let mut files: Vec<_> = fs_err::read_dir(out.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let archive = format!("nfs-provisioner-{version}.tgz");
    let manifests = format!("nfs-provisioner-{version}.yaml");
    assert_eq!(files, [archive.clone(), manifests.clone()]);

    let image = "spec/template/spec/containers/nfs-provisioner/image";
    let wanted = format!("{IMAGE}:{version}");
    let objects = Objects::read(&[out.path().join(manifests)]);
    assert_eq!(text(objects.deployment(), image), wanted);

    let values = helm.file("values.json", &json!({ "nfs": { "server": "10.0.0.7" } }));
    let rendered = helm.works(&format!(
        "template claims {} --values {}",
        out.path().join(archive).display(),
        values.display()
    ));
    let objects = Objects::parse(&rendered);
    assert_eq!(text(objects.deployment(), image), wanted);
}
