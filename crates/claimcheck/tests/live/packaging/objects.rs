//! Rendered objects, and what must hold of them all.

use std::collections::BTreeMap;

use serde_json::Value;
use testbed::manifests::documents;

/// Kinds without a namespace, of those that are rendered.
const CLUSTER_SCOPED: [&str; 5] = [
    "ClusterRole",
    "ClusterRoleBinding",
    "Namespace",
    "PersistentVolume",
    "StorageClass",
];

/// Objects by `Kind/name`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Objects(pub(crate) BTreeMap<String, Value>);

impl Objects {
    /// Reads YAML documents; no two may have the same kind and name.
    pub(crate) fn parse(yaml: &str) -> Self {
        let mut objects = BTreeMap::new();
        for object in documents(yaml).unwrap_or_else(|error| panic!("{error} in {yaml}")) {
            let key = format!(
                "{}/{}",
                text(&object, "kind"),
                text(&object, "metadata/name")
            );
            assert!(
                objects.insert(key.clone(), object).is_none(),
                "{key} is rendered twice"
            );
        }
        Self(objects)
    }

    /// Those of several files, read as [`Self::parse`] does.
    pub(crate) fn read(files: &[std::path::PathBuf]) -> Self {
        let texts: Vec<String> = files
            .iter()
            .map(|file| fs_err::read_to_string(file).unwrap())
            .collect();
        Self::parse(&texts.join("\n---\n"))
    }

    /// The object with this key.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// The only Deployment.
    pub(crate) fn deployment(&self) -> &Value {
        let mut found = self.of_kind("Deployment");
        let deployment = found.next().expect("there is a Deployment");
        assert!(found.next().is_none(), "there are two Deployments");
        deployment
    }

    fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.0
            .values()
            .filter(move |object| text(object, "kind") == kind)
    }

    /// What holds of every rendering: namespaces where they belong, selectors that find the pods,
    /// and bindings of a role and an account that are there.
    pub(crate) fn problems(&self, namespace: &str) -> Vec<String> {
        let mut problems = Vec::new();
        let mut must = |holds: bool, what: String| {
            if !holds {
                problems.push(what);
            }
        };
        let deployment = self.deployment();
        let pod_labels = at(deployment, "spec/template/metadata/labels").unwrap_or(&Value::Null);
        let finds_pods = |selector: Option<&Value>| {
            let selector = selector.and_then(Value::as_object);
            selector.is_some_and(|selector| {
                !selector.is_empty()
                    && selector
                        .iter()
                        .all(|(key, value)| pod_labels.get(key) == Some(value))
            })
        };
        for (key, object) in &self.0 {
            let kind = text(object, "kind");
            let found = at(object, "metadata/namespace").and_then(Value::as_str);
            let wanted = (!CLUSTER_SCOPED.contains(&kind)).then_some(namespace);
            must(
                found == wanted,
                format!("{key} is in namespace {found:?}, not {wanted:?}"),
            );
            match kind {
                "Deployment" | "PodDisruptionBudget" => must(
                    finds_pods(at(object, "spec/selector/matchLabels")),
                    format!("the selector of {key} does not find the pods"),
                ),
                "Service" => must(
                    finds_pods(at(object, "spec/selector")),
                    format!("the selector of {key} does not find the pods"),
                ),
                "RoleBinding" | "ClusterRoleBinding" => {
                    let role = format!(
                        "{}/{}",
                        text(object, "roleRef/kind"),
                        text(object, "roleRef/name")
                    );
                    must(
                        self.0.contains_key(&role),
                        format!("{key} names {role}, which is not there"),
                    );
                    let account = at(deployment, "spec/template/spec/serviceAccountName");
                    must(
                        at(object, "subjects/0/name") == account
                            && text(object, "subjects/0/namespace") == namespace,
                        format!("{key} is not for the account of the pods"),
                    );
                }
                _ => {}
            }
        }
        problems
    }
}

/// What lies at a path of an object: keys, and in lists an index or the `name` of an element,
/// separated by `/`; a `/` within a key is written `~1`, as in JSON pointers.
pub(crate) fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('/').try_fold(object, |value, step| {
        let step = step.replace("~1", "/");
        match value {
            Value::Object(fields) => fields.get(&step),
            Value::Array(elements) => match step.parse::<usize>() {
                Ok(index) => elements.get(index),
                Err(_) => elements
                    .iter()
                    .find(|element| element["name"] == step.as_str()),
            },
            _ => None,
        }
    })
}

/// The text at a path; empty where there is none.
pub(crate) fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    at(object, path).and_then(Value::as_str).unwrap_or_default()
}
