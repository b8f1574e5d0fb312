//! Kubeconfig files.

use std::io;

use camino::Utf8Path;
use serde_json::{Value, json};

use super::layout::write_secret;
use super::pki::Identity;

/// Name of the one cluster, user and context of each file.
const NAME: &str = "claimcheck";

/// Writes a kubeconfig whose user shows a client certificate.
pub(super) fn with_certificate(
    path: &Utf8Path,
    server: &str,
    authority: &Utf8Path,
    identity: &Identity,
) -> io::Result<()> {
    let user = json!({
        "client-certificate": identity.certificate,
        "client-key": identity.key,
    });
    write_secret(path, &render(server, authority, &user, None))
}

/// Writes a kubeconfig whose user shows a bearer token, with `namespace` as its default.
pub(crate) fn with_token(
    path: &Utf8Path,
    server: &str,
    authority: &Utf8Path,
    token: &str,
    namespace: &str,
) -> io::Result<()> {
    write_secret(
        path,
        &render(
            server,
            authority,
            &json!({ "token": token }),
            Some(namespace),
        ),
    )
}

/// The file's text: JSON, which every reader of YAML takes, so no path needs quoting of its own.
fn render(server: &str, authority: &Utf8Path, user: &Value, namespace: Option<&str>) -> String {
    let mut context = json!({ "cluster": NAME, "user": NAME });
    if let Some(namespace) = namespace {
        context["namespace"] = namespace.into();
    }
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": NAME,
            "cluster": { "server": server, "certificate-authority": authority },
        }],
        "users": [{ "name": NAME, "user": user }],
        "contexts": [{ "name": NAME, "context": context }],
        "current-context": NAME,
    });
    format!("{config:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_file_names_its_namespace_and_is_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;

        let directory = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(directory.path())
            .unwrap()
            .join("config");
        fs_err::write(&path, "older, readable by all").unwrap();
        let authority = Utf8Path::new("/ca.crt");
        with_token(&path, "https://127.0.0.1:1", authority, "secret", "apps").unwrap();
        assert_eq!(
            fs_err::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let config = kube::config::Kubeconfig::read_from(&path).unwrap();
        let context = config.contexts[0].context.as_ref().unwrap();
        assert_eq!(context.namespace.as_deref(), Some("apps"));
        assert_eq!(
            config.clusters[0]
                .cluster
                .as_ref()
                .unwrap()
                .server
                .as_deref(),
            Some("https://127.0.0.1:1")
        );
    }
}
