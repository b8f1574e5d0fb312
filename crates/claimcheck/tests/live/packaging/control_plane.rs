//! The chart on a real control plane: what the API server takes, the life of a release, and upgrades
//! that are stopped before they do harm. Nodes are simulated here: their pods are admitted and become
//! ready, but nothing runs in them.

use serde_json::{Value, json};

use super::helm::Helm;
use super::objects::{Objects, text};
use super::rows::{least, rows};
use super::up::Up;
use crate::place::{Place, said};

/// A namespace, with the pod security standard that it enforces.
fn namespace(name: &str, standard: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": { "pod-security.kubernetes.io/enforce": standard },
        },
    })
}

fn class(name: &str, provisioner: &str) -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": { "name": name },
        "provisioner": provisioner,
    })
}

#[test]
fn the_api_server_takes_every_row_as_it_is() {
    let place = Place::new();
    let up = Up::new(&place, "up --subject idle --name chart-rows");
    let helm = Helm::on(up.state.cluster.kubeconfig.as_str());
    helm.apply(&namespace("storage", "privileged"));
    let mut problems = Vec::new();
    for row in rows().iter().filter(|row| row.is_taken()) {
        let Objects(mut objects) = helm.render(&[&least(), &row.values]).unwrap();
        // The one kind that is not the cluster's own.
        objects.remove("ServiceMonitor/claims-nfs-provisioner");
        let items: Vec<_> = objects.into_values().collect();
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
        let file = helm.file("rendered.json", &list);
        let output = helm.kubectl_says(&format!(
            "apply --server-side --dry-run=server --validate=strict --filename {}",
            file.display()
        ));
        if !output.status.success() {
            problems.push(format!("{}: {}", row.what, said(&output)));
        }
    }
    up.down();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    place.nothing_is_left();
}

#[test]
fn a_release_is_installed_upgraded_rolled_back_and_removed_under_the_restricted_standard() {
    let place = Place::new();
    let up = Up::new(&place, "up --subject idle --name chart-life");
    let helm = Helm::on(up.state.cluster.kubeconfig.as_str());
    helm.apply(&namespace("storage", "restricted"));
    let values = json!({
        "backend": "direct",
        "nfs": { "server": "nfs.example.org" },
        "storageClass": { "pathPattern": "$${.PVC.name}" },
    });
    let values = helm.file("values.json", &values);
    let release = format!(
        "claims CHART --namespace storage --values {}",
        values.display()
    );
    let told = helm.works(&format!("install {release} --wait --timeout 2m"));
    for part in [
        "cluster.local/claims-nfs-provisioner serves nfs.example.org:/nfs-storage",
        "storageClassName: nfs-client",
        "holds \"$$\"",
    ] {
        assert!(told.contains(part), "`{part}` not in: {told}");
    }
    let deployment = || helm.get("deployment/claims-nfs-provisioner --namespace storage");
    let is = |replicas: u64, strategy: &str| {
        let found = deployment();
        assert_eq!(found["spec"]["replicas"], replicas);
        assert_eq!(found["status"]["readyReplicas"], replicas);
        assert_eq!(text(&found, "spec/strategy/type"), strategy);
    };
    is(1, "Recreate");
    let uid = text(&deployment(), "metadata/uid").to_owned();

    helm.works(&format!(
        "upgrade {release} --set replicaCount=2,strategyType=RollingUpdate --wait --timeout 2m"
    ));
    is(2, "RollingUpdate");
    helm.works("rollback claims 1 --namespace storage --wait --timeout 2m");
    is(1, "Recreate");
    assert_eq!(text(&deployment(), "metadata/uid"), uid);

    helm.works("uninstall claims --namespace storage --wait --timeout 2m");
    let left = helm.kubectl(
        "get deployments,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,\
         storageclasses --all-namespaces --selector release=claims --output name",
    );
    assert_eq!(left, "");
    up.down();
    place.nothing_is_left();
}

#[test]
fn what_would_orphan_volumes_or_fail_half_way_is_refused_before_anything_is_changed() {
    let place = Place::new();
    let up = Up::new(&place, "up --subject idle --name chart-refused");
    let helm = Helm::on(up.state.cluster.kubeconfig.as_str());
    helm.apply(&class("nfs-client", "other.example.org/nfs"));
    let refused = |words: &str, parts: &[&str]| {
        let output = helm.helm(words);
        assert!(!output.status.success(), "{words}: {}", said(&output));
        for part in parts {
            assert!(
                said(&output).contains(part),
                "`{part}` not in: {}",
                said(&output)
            );
        }
    };
    let chart = "claims CHART --create-namespace --set nfs.server=nfs.example.org --namespace";
    refused(
        &format!("install {chart} storage"),
        &[
            "class \"nfs-client\" names the provisioner \"other.example.org/nfs\"",
            "storageClass.provisionerName",
        ],
    );
    helm.works(&format!(
        "install {chart} storage --set storageClass.name=one"
    ));
    let before = helm.get("storageclass/one");

    let upgrade = format!("upgrade {chart} storage --set storageClass.name=one");
    refused(
        &format!("{upgrade} --set fullnameOverride=renamed"),
        &["volumes of the class would be nobody's"],
    );
    refused(
        &format!("{upgrade} --set storageClass.archiveOnDelete=false"),
        &[
            "{\"archiveOnDelete\":\"true\"}",
            "{\"archiveOnDelete\":\"false\"}",
            "kubectl delete storageclass one",
        ],
    );
    refused(
        &format!("{upgrade} --set storageClass.reclaimPolicy=Retain"),
        &["has the reclaim policy Delete"],
    );
    refused(
        &format!("{upgrade} --set storageClass.volumeBindingMode=WaitForFirstConsumer"),
        &["has the binding mode Immediate"],
    );
    // The generated name is the same in another namespace.
    let second = format!("install {chart} elsewhere --set storageClass.name=two");
    refused(
        &second,
        &["is taken by release \"claims\" in namespace \"storage\" (class \"one\")"],
    );
    helm.works(&format!(
        "{second} --set storageClass.provisionerName=example.org/two"
    ));
    assert_eq!(helm.get("storageclass/one"), before);
    up.down();
    place.nothing_is_left();
}

/// A chart with the names, labels and class of the older one, as far as an upgrade meets them.
fn older_chart(helm: &Helm) -> String {
    let name = "nfs-subdir-external-provisioner";
    let labels = json!({ "app": name, "release": "{{ .Release.Name }}" });
    let full = format!("{{{{ .Release.Name }}}}-{name}");
    let about = json!({ "apiVersion": "v2", "name": name, "version": "4.0.18" });
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": full, "labels": labels },
        "spec": {
            "replicas": 1,
            "strategy": { "type": "Recreate" },
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "serviceAccountName": full,
                    "containers": [{ "name": name, "image": "older:v4.0.2" }],
                },
            },
        },
    });
    let account = json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": { "name": full, "labels": labels },
    });
    let mut class = class("nfs-client", &format!("cluster.local/{full}"));
    class["parameters"] = json!({ "archiveOnDelete": "true" });
    class["allowVolumeExpansion"] = true.into();
    let values = json!({
        "nfs": { "server": "", "path": "/nfs-storage" },
        "image": { "repository": "registry.k8s.io/sig-storage/nfs-subdir-external-provisioner" },
    });
    let directory = helm.file("older/Chart.yaml", &about);
    helm.file("older/values.yaml", &values);
    helm.file("older/templates/deployment.yaml", &deployment);
    helm.file("older/templates/account.yaml", &account);
    helm.file("older/templates/class.yaml", &class);
    directory.parent().unwrap().display().to_string()
}

#[test]
fn a_release_of_the_older_chart_is_taken_over_in_place() {
    let place = Place::new();
    let up = Up::new(&place, "up --subject idle --name chart-over");
    let helm = Helm::on(up.state.cluster.kubeconfig.as_str());
    let older = older_chart(&helm);
    helm.works(&format!(
        "install claims {older} --set nfs.server=nfs.example.org --wait --timeout 2m"
    ));
    let name = "claims-nfs-subdir-external-provisioner";
    let deployment = || helm.get(&format!("deployment/{name}"));
    let (before, class) = (deployment(), helm.get("storageclass/nfs-client"));

    let upgrade = "upgrade claims CHART --set nameOverride=nfs-subdir-external-provisioner \
                   --wait --timeout 2m";
    // Reused without a thought they are those of the older chart, with its image.
    let output = helm.helm(&format!("{upgrade} --reuse-values"));
    assert!(!output.status.success(), "{}", said(&output));
    assert!(
        said(&output).contains("--reset-then-reuse-values"),
        "{}",
        said(&output)
    );
    helm.works(&format!("{upgrade} --reset-then-reuse-values"));

    let after = deployment();
    assert_eq!(text(&after, "metadata/uid"), text(&before, "metadata/uid"));
    let pod = "spec/template/spec";
    assert_eq!(
        text(&after, &format!("{pod}/containers/nfs-provisioner/image")),
        format!("nfs-provisioner:{}", env!("CARGO_PKG_VERSION"))
    );
    let mounted = format!("{pod}/volumes/nfs-subdir-external-provisioner-root/nfs/server");
    assert_eq!(text(&after, &mounted), "nfs.example.org");
    assert_eq!(after["status"]["readyReplicas"], 1);
    let left = helm.get("storageclass/nfs-client");
    for field in [
        "provisioner",
        "parameters",
        "reclaimPolicy",
        "volumeBindingMode",
    ] {
        assert_eq!(left[field], class[field], "{field}");
    }
    assert_eq!(text(&left, "metadata/uid"), text(&class, "metadata/uid"));
    up.down();
    place.nothing_is_left();
}
