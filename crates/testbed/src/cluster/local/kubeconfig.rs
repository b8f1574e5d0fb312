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
    write_secret(path, &render(server, authority, &user))
}

/// The file's text: JSON, which every reader of YAML takes, so no path needs quoting of its own.
fn render(server: &str, authority: &Utf8Path, user: &Value) -> String {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": NAME,
            "cluster": { "server": server, "certificate-authority": authority },
        }],
        "users": [{ "name": NAME, "user": user }],
        "contexts": [{ "name": NAME, "context": { "cluster": NAME, "user": NAME } }],
        "current-context": NAME,
    });
    format!("{config:#}\n")
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    #[test]
    fn a_file_names_its_server_and_is_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;

        let directory = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(directory.path())
            .unwrap()
            .join("config");
        fs_err::write(&path, "older, readable by all").unwrap();
        let identity = Identity {
            certificate: Utf8PathBuf::from("/admin.crt"),
            key: Utf8PathBuf::from("/admin.key"),
        };
        let authority = Utf8Path::new("/ca.crt");
        with_certificate(&path, "https://127.0.0.1:1", authority, &identity).unwrap();
        assert_eq!(
            fs_err::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let config = kube::config::Kubeconfig::read_from(&path).unwrap();
        let cluster = config.clusters[0].cluster.as_ref().unwrap();
        assert_eq!(cluster.server.as_deref(), Some("https://127.0.0.1:1"));
    }
}
