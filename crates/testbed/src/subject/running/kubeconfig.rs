//! A kubeconfig for a subject: the testbed's server, and the subject's own token.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use camino::Utf8Path;
use kube::config::Kubeconfig;
use serde_json::json;

/// Name of the one cluster, user and context.
const NAME: &str = "claimcheck";

/// Writes a kubeconfig for the server of `testbed`, another kubeconfig, with a bearer token and a
/// default namespace. It is its owner's alone to read.
pub(super) fn with_token(
    testbed: &Utf8Path,
    path: &Utf8Path,
    token: &str,
    namespace: &str,
) -> io::Result<()> {
    let config = Kubeconfig::read_from(testbed).map_err(io::Error::other)?;
    let current = config.current_context.as_deref();
    let context = config
        .contexts
        .iter()
        .find(|context| Some(context.name.as_str()) == current)
        .and_then(|context| context.context.as_ref());
    let cluster = config
        .clusters
        .iter()
        .find(|cluster| context.is_some_and(|context| context.cluster == cluster.name))
        .and_then(|cluster| cluster.cluster.as_ref());
    let Some(cluster) = cluster else {
        return Err(io::Error::other(format!(
            "{testbed}: its current context names no cluster"
        )));
    };
    // JSON, which every reader of YAML takes, so no value needs quoting of its own.
    let text = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": NAME, "cluster": cluster }],
        "users": [{ "name": NAME, "user": { "token": token } }],
        "contexts": [{
            "name": NAME,
            "context": { "cluster": NAME, "user": NAME, "namespace": namespace },
        }],
        "current-context": NAME,
    });
    // An older file keeps its mode when it is written again.
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs_err::OpenOptions::new();
    file.options_mut().mode(0o600);
    let mut file = file.write(true).create_new(true).open(path)?;
    writeln!(file, "{text:#}")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_server_is_the_testbeds_and_the_token_the_subjects() {
        let directory = tempfile::tempdir().unwrap();
        let directory = Utf8Path::from_path(directory.path()).unwrap();
        let (testbed, path) = (directory.join("admin"), directory.join("subject"));
        let admin = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                { "name": "other", "cluster": { "server": "https://127.0.0.1:2" } },
                { "name": "kind-x", "cluster": {
                    "server": "https://127.0.0.1:1",
                    "certificate-authority-data": "Y2E=",
                } },
            ],
            "users": [{ "name": "admin", "user": { "client-key-data": "a2V5" } }],
            "contexts": [{ "name": "it", "context": { "cluster": "kind-x", "user": "admin" } }],
            "current-context": "it",
        });
        fs_err::write(&testbed, admin.to_string()).unwrap();
        fs_err::write(&path, "older, readable by all").unwrap();
        with_token(&testbed, &path, "secret", "apps").unwrap();

        let mode = fs_err::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = fs_err::read_to_string(&path).unwrap();
        assert!(!text.contains("a2V5"), "{text}");
        let config = Kubeconfig::read_from(&path).unwrap();
        let context = config.contexts[0].context.as_ref().unwrap();
        assert_eq!(context.namespace.as_deref(), Some("apps"));
        let cluster = config.clusters[0].cluster.as_ref().unwrap();
        assert_eq!(cluster.server.as_deref(), Some("https://127.0.0.1:1"));
        assert_eq!(cluster.certificate_authority_data.as_deref(), Some("Y2E="));
    }

    #[test]
    fn a_kubeconfig_without_a_current_cluster_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let directory = Utf8Path::from_path(directory.path()).unwrap();
        let testbed = directory.join("admin");
        fs_err::write(&testbed, r#"{"apiVersion": "v1", "kind": "Config"}"#).unwrap();
        let error = with_token(&testbed, &directory.join("subject"), "t", "n").unwrap_err();
        assert!(error.to_string().contains("names no cluster"), "{error}");
    }
}
