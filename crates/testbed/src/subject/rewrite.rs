//! Putting a testbed's values into a workload that somebody else wrote.

use serde_json::Value;

use super::start::{Settings, Workload};

/// Why a workload cannot be rewritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RewriteError {
    /// The key of the subject file, below `start.manifests`.
    pub(super) key: String,
    /// What is wrong, and what there is instead.
    pub(super) message: String,
}

/// Sets what `settings` say in `workload`, one of `objects`. Nothing is added: a variable or volume
/// that the workload does not have is a mistake of the subject file.
///
/// # Errors
/// The workload is not among the objects, or lacks what is to be set.
pub(super) fn rewrite(
    objects: &mut [Value],
    workload: &Workload,
    settings: &Settings,
) -> Result<(), RewriteError> {
    let Workload {
        kind,
        namespace,
        name,
    } = workload;
    let is_workload = |object: &&mut Value| {
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str);
        text("/kind") == Some(kind.name())
            && text("/metadata/name") == Some(name)
            && text("/metadata/namespace").is_none_or(|found| found == namespace)
    };
    let Some(object) = objects.iter_mut().find(is_workload) else {
        return Err(RewriteError {
            key: "workload".to_owned(),
            message: format!("is {} {namespace}/{name}, which no file has", kind.name()),
        });
    };
    let mut none = Value::Null;
    let spec = object
        .pointer_mut("/spec/template/spec")
        .unwrap_or(&mut none);
    for (variable, value) in &settings.env {
        set_variable(spec, variable, value)?;
    }
    for (volume, source) in &settings.nfs {
        let found = named(spec, "volumes", volume).and_then(|volume| volume.get_mut("nfs"));
        let Some(nfs) = found else {
            return Err(RewriteError {
                key: format!("set.nfs.{volume}"),
                message: format!(
                    "is no `nfs` volume of the workload; it has {}",
                    listed(&names(spec, "volumes", |volume| volume
                        .get("nfs")
                        .is_some()))
                ),
            });
        };
        nfs["server"] = source.server.as_str().into();
        nfs["path"] = source.path.as_str().into();
    }
    Ok(())
}

/// Sets a variable in every container that has it.
fn set_variable(spec: &mut Value, variable: &str, value: &str) -> Result<(), RewriteError> {
    let mut found = false;
    let mut others = Vec::new();
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            others.extend(names(container, "env", |_| true));
            let Some(entry) = named(container, "env", variable).and_then(Value::as_object_mut)
            else {
                continue;
            };
            entry.remove("valueFrom");
            entry.insert("value".to_owned(), value.into());
            found = true;
        }
    }
    if found {
        return Ok(());
    }
    Err(RewriteError {
        key: format!("set.env.{variable}"),
        message: format!(
            "is no variable of the workload's containers; they have {}",
            listed(&others)
        ),
    })
}

/// The item of that name in a list of named items.
fn named<'v>(parent: &'v mut Value, list: &str, name: &str) -> Option<&'v mut Value> {
    let items = parent.get_mut(list)?.as_array_mut()?;
    items
        .iter_mut()
        .find(|item| item.get("name").and_then(Value::as_str) == Some(name))
}

/// The names in a list of named items.
fn names(parent: &Value, list: &str, wanted: impl Fn(&Value) -> bool) -> Vec<String> {
    let items = parent.get(list).and_then(Value::as_array);
    items
        .into_iter()
        .flatten()
        .filter(|item| wanted(item))
        .filter_map(|item| Some(item.get("name")?.as_str()?.to_owned()))
        .collect()
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let all: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::super::start::{NfsSource, WorkloadKind};
    use super::*;
    use crate::manifests::documents;

    fn workload() -> Workload {
        Workload {
            kind: WorkloadKind::Deployment,
            namespace: "default".to_owned(),
            name: "nfs-client-provisioner".to_owned(),
        }
    }

    fn settings(env: &[(&str, &str)], nfs: &[(&str, &str, &str)]) -> Settings {
        Settings {
            env: env
                .iter()
                .map(|&(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            nfs: nfs
                .iter()
                .map(|&(name, server, path)| {
                    let (server, path) = (server.to_owned(), path.to_owned());
                    (name.to_owned(), NfsSource { server, path })
                })
                .collect(),
        }
    }

    /// The walkthrough's Deployment is changed in the four places that name the export, and nowhere
    /// else.
    #[test]
    fn the_walkthroughs_deployment_gets_the_testbeds_export_and_nothing_else() {
        let text = include_str!("../../../../fixtures/walkthrough/deployment.yaml");
        let before = documents(text).unwrap();
        let mut after = before.clone();
        let settings = settings(
            &[("NFS_SERVER", "172.19.0.250"), ("NFS_PATH", "/srv")],
            &[("nfs-client-root", "172.19.0.250", "/srv")],
        );
        rewrite(&mut after, &workload(), &settings).unwrap();

        let mut expected = before[0].clone();
        let spec = expected.pointer_mut("/spec/template/spec").unwrap();
        spec["containers"][0]["env"] = json!([
            {"name": "PROVISIONER_NAME", "value": "westos.org/nfs"},
            {"name": "NFS_SERVER", "value": "172.19.0.250"},
            {"name": "NFS_PATH", "value": "/srv"},
        ]);
        spec["volumes"] = json!([
            {"name": "nfs-client-root", "nfs": {"server": "172.19.0.250", "path": "/srv"}},
        ]);
        assert_eq!(after, [expected]);
    }

    #[test]
    fn a_variable_is_set_in_every_container_that_has_it_in_place_of_a_reference() {
        let mut objects = [json!({
            "kind": "Deployment",
            "metadata": {"name": "nfs-client-provisioner"},
            "spec": {"template": {"spec": {
                "initContainers": [{"name": "a", "env": [{"name": "X", "value": "1"}]}],
                "containers": [
                    {"name": "b", "env": [{"name": "X", "valueFrom": {"fieldRef": {}}}]},
                    {"name": "c", "env": [{"name": "Y", "value": "1"}]},
                    {"name": "d"},
                ],
            }}},
        })];
        rewrite(&mut objects, &workload(), &settings(&[("X", "2")], &[])).unwrap();
        let spec = &objects[0]["spec"]["template"]["spec"];
        let set = json!([{"name": "X", "value": "2"}]);
        assert_eq!(spec["initContainers"][0]["env"], set);
        assert_eq!(spec["containers"][0]["env"], set);
        assert_eq!(spec["containers"][1]["env"][0]["value"], "1");
        assert_eq!(spec["containers"][2], json!({"name": "d"}));
    }

    #[rstest]
    #[case(
        settings(&[("NFS_HOST", "x")], &[]),
        "set.env.NFS_HOST",
        "is no variable of the workload's containers; they have `PROVISIONER_NAME`, `NFS_SERVER`, \
         `NFS_PATH`"
    )]
    #[case(
        settings(&[], &[("root", "x", "/")]),
        "set.nfs.root",
        "is no `nfs` volume of the workload; it has `nfs-client-root`"
    )]
    fn what_the_workload_does_not_have_is_a_mistake(
        #[case] settings: Settings,
        #[case] key: &str,
        #[case] message: &str,
    ) {
        let text = include_str!("../../../../fixtures/walkthrough/deployment.yaml");
        let mut objects = documents(text).unwrap();
        let error = rewrite(&mut objects, &workload(), &settings).unwrap_err();
        assert_eq!((error.key.as_str(), error.message.as_str()), (key, message));
    }

    #[test]
    fn a_workload_of_another_namespace_is_another_one() {
        let text = include_str!("../../../../fixtures/walkthrough/deployment.yaml");
        let mut objects = documents(text).unwrap();
        let elsewhere = Workload {
            namespace: "apps".to_owned(),
            ..workload()
        };
        let error = rewrite(&mut objects, &elsewhere, &Settings::default()).unwrap_err();
        assert_eq!(error.key, "workload");
        assert_eq!(
            error.message,
            "is Deployment apps/nfs-client-provisioner, which no file has"
        );
    }
}
