//! The chart on real nodes, with the image made of this program: claims are served before an upgrade,
//! after it and after the way back.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::inventory;
use crate::packaging::helm::Helm;
use crate::packaging::objects::{at, text};
use crate::packaging::up::Up;
use crate::place::Place;

/// The volume that a claim got, once it is bound.
struct Bound {
    claim: String,
    volume: String,
    directory: PathBuf,
}

/// Makes claims in the namespace `default` and looks at what they got.
struct Claims<'a> {
    helm: &'a Helm,
    up: &'a Up<'a>,
}

impl Claims<'_> {
    fn bind(&self, claim: &str, class: &str) -> Bound {
        self.helm.apply(&json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": { "name": claim, "namespace": "default" },
            "spec": {
                "storageClassName": class,
                "accessModes": ["ReadWriteMany"],
                "resources": { "requests": { "storage": "1Mi" } },
            },
        }));
        self.helm.kubectl(&format!(
            "wait --for=jsonpath={{.status.phase}}=Bound --timeout=60s pvc/{claim}"
        ));
        let volume = text(&self.helm.get(&format!("pvc/{claim}")), "spec/volumeName").to_owned();
        let source = self.helm.get(&format!("pv/{volume}"));
        let export = &self.up.state.export;
        assert_eq!(text(&source, "spec/nfs/server"), export.server);
        let below = text(&source, "spec/nfs/path")
            .strip_prefix(&export.path)
            .unwrap()
            .trim_start_matches('/');
        let directory = export.directory.join(below).into_std_path_buf();
        assert!(directory.is_dir(), "{} is not there", directory.display());
        Bound {
            claim: claim.to_owned(),
            volume,
            directory,
        }
    }

    fn is_still_bound(&self, bound: &Bound) {
        let claim = self.helm.get(&format!("pvc/{}", bound.claim));
        assert_eq!(text(&claim, "status/phase"), "Bound");
        assert_eq!(text(&claim, "spec/volumeName"), bound.volume);
        assert!(bound.directory.is_dir());
    }

    /// Deletes the claim; its volume and directory go with it.
    fn delete(&self, bound: &Bound) {
        self.helm.kubectl(&format!("delete pvc/{}", bound.claim));
        self.helm.kubectl(&format!(
            "wait --for=delete --timeout=60s pv/{}",
            bound.volume
        ));
        assert!(!bound.directory.exists());
    }
}

fn values(up: &Up<'_>, name: &str, backend: &str) -> Value {
    json!({
        "backend": backend,
        // As the nodes have it.
        "image": { "repository": "nfs-provisioner", "tag": "latest" },
        "nfs": { "server": up.state.export.server, "path": up.state.export.path },
        "storageClass": {
            "name": name,
            "provisionerName": format!("example.org/{name}"),
            "archiveOnDelete": false,
        },
    })
}

#[test]
fn the_chart_serves_claims_through_upgrade_and_rollback_with_both_backends() {
    let place = Place::new();
    let before = inventory();
    // The subject brings the image, and another deployment on the same export.
    let up = Up::new(
        &place,
        "up --cluster kind --subject reference-incluster-direct --name chart",
    );
    let helm = Helm::on(up.state.cluster.kubeconfig.as_str());
    let claims = Claims {
        helm: &helm,
        up: &up,
    };
    for (name, backend, standard) in [
        ("direct", "direct", "restricted"),
        ("mounted", "mount", "baseline"),
    ] {
        helm.apply(&json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": name,
                "labels": { "pod-security.kubernetes.io/enforce": standard },
            },
        }));
        let file = helm.file(&format!("{name}.json"), &values(&up, name, backend));
        let release = format!(
            "{name} CHART --namespace {name} --values {} --wait --timeout 3m",
            file.display()
        );
        let deployment = || {
            helm.get(&format!(
                "deployment/{name}-nfs-provisioner --namespace {name}"
            ))
        };
        helm.works(&format!("install {release}"));
        let first = claims.bind(&format!("{name}-installed"), name);

        helm.works(&format!(
            "upgrade {release} --set replicaCount=2,strategyType=RollingUpdate,log.verbosity=4"
        ));
        let upgraded = deployment();
        assert_eq!(upgraded["status"]["readyReplicas"], 2);
        assert_eq!(
            at(
                &upgraded,
                "spec/template/spec/containers/nfs-provisioner/args"
            ),
            Some(&json!(["-v=4"]))
        );
        claims.is_still_bound(&first);
        let second = claims.bind(&format!("{name}-upgraded"), name);

        helm.works(&format!(
            "rollback {name} 1 --namespace {name} --wait --timeout 3m"
        ));
        let back = deployment();
        assert_eq!(back["status"]["readyReplicas"], 1);
        assert_eq!(text(&back, "spec/strategy/type"), "Recreate");
        for bound in [&first, &second] {
            claims.is_still_bound(bound);
        }
        let third = claims.bind(&format!("{name}-rolled-back"), name);
        for bound in [&first, &second, &third] {
            claims.delete(bound);
        }
        helm.works(&format!(
            "uninstall {name} --namespace {name} --wait --timeout 3m"
        ));
    }
    up.down();
    assert_eq!(inventory(), before);
    place.nothing_is_left();
}
