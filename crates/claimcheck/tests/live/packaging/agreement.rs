//! The three ways to install say the same.

use serde_json::{Map, Value, json};

use super::helm::{Helm, deploy};
use super::objects::Objects;

/// The plain manifests.
fn plain() -> Objects {
    let files = [
        "namespace.yaml",
        "rbac.yaml",
        "deployment.yaml",
        "class.yaml",
    ];
    Objects::read(&files.map(|file| deploy("plain").join(file)))
}

#[test]
fn the_kustomize_base_is_the_plain_manifests() {
    let base = deploy("kustomize/base");
    let rendered = Helm::alone().kubectl(&format!("kustomize {}", base.display()));
    assert_eq!(Objects::parse(&rendered), plain());
}

/// The chart with the values that the plain manifests have, compared object by object. Not compared:
/// labels and selectors (that they fit each other is looked at in every rendering), the namespace
/// (a chart makes none), and the tag of the image.
#[test]
fn the_chart_renders_to_the_plain_manifests() {
    let values = json!({
        "backend": "direct",
        "nfs": { "server": "nfs.example.org", "path": "/export" },
        "storageClass": { "provisionerName": "example.org/nfs" },
        "resources": {
            "requests": { "cpu": "10m", "memory": "32Mi" },
            "limits": { "memory": "256Mi" },
        },
    });
    let rendered = Helm::alone()
        .render_as("nfs-provisioner", "nfs-provisioner", &[&values])
        .unwrap();
    // Names of what has no namespace hold the release's.
    let cluster_name = "nfs-provisioner.nfs-provisioner";
    let chart: Vec<_> = rendered
        .0
        .iter()
        .map(|(key, object)| {
            let key = key.replace(cluster_name, "nfs-provisioner");
            let text = object.to_string().replace(cluster_name, "nfs-provisioner");
            (key, comparable(serde_json::from_str(&text).unwrap()))
        })
        .collect();
    let plain: Vec<_> = plain()
        .0
        .into_iter()
        .filter(|(key, _)| !key.starts_with("Namespace/"))
        .map(|(key, object)| (key, comparable(object)))
        .collect();
    // Account, two roles with their bindings, Deployment and class.
    assert_eq!(plain.len(), 7);
    assert_eq!(chart, plain);
}

/// An object without what the comparison leaves out, and lists of named things in one order.
fn comparable(mut object: Value) -> Value {
    for path in ["/metadata", "/spec/template/metadata"] {
        if let Some(Value::Object(metadata)) = object.pointer_mut(path) {
            metadata.remove("labels");
        }
    }
    if let Some(Value::Object(selector)) = object.pointer_mut("/spec/selector") {
        selector.remove("matchLabels");
    }
    if let Some(image) = object.pointer_mut("/spec/template/spec/containers/0/image") {
        let name = image
            .as_str()
            .unwrap()
            .split(':')
            .next()
            .unwrap()
            .to_owned();
        *image = name.into();
    }
    if let Some(Value::Array(variables)) =
        object.pointer_mut("/spec/template/spec/containers/0/env")
    {
        variables.sort_by_key(|variable| variable["name"].to_string());
    }
    without_nulls(object)
}

/// A null takes a field away when it is applied.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key, without_nulls(value)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(elements) => elements.into_iter().map(without_nulls).collect(),
        other => other,
    }
}
