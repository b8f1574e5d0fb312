//! Mounted data: what pods see of a volume against what is on the server's side.

use std::collections::BTreeMap;

use testbed::nfs::view::{FileKind, Manifest};

use super::World;
use super::workload::Set;
use crate::trouble::{CaseResult, Trouble, ensure};

/// Digest of each file, by its path below the volume's directory.
type Digests = BTreeMap<String, String>;

impl World {
    /// The pod sees the files of `directory`, and no others, at `mount`, with the same bytes as the
    /// export has them, over the protocol and on the server's side. SHA-256 tells.
    ///
    /// # Errors
    /// Failed with the digests of both when they differ.
    pub async fn same_in_pod(&self, pod: &str, mount: &str, directory: &str) -> CaseResult {
        let script = format!("cd '{mount}' && find . -type f -exec sha256sum {{}} \\;");
        let seen = digests_of_text(&self.run_in(pod, &script).await?)?;
        let there = digests(&self.manifest(directory).await?);
        ensure(
            seen == there,
            format!("pod {pod} sees at {mount} the files of {directory}: {there:?}"),
            || format!("it sees {seen:?}"),
        )
    }

    /// Writes a file of this name from the pod into the volume that it has at `mount`, and finds
    /// its bytes in `directory` on the server's side. The text is the pod's alone.
    ///
    /// # Errors
    /// Failed when the pod cannot write, or the bytes are not there.
    pub async fn pod_writes(
        &self,
        pod: &str,
        mount: &str,
        directory: &str,
        file: &str,
    ) -> CaseResult {
        let text = format!("{} {pod} {}", self.namespace(), uuid::Uuid::new_v4());
        self.run_in(pod, &format!("echo '{text}' > '{mount}/{file}'"))
            .await?;
        let path = format!("{directory}/{file}");
        let expected = format!("{path} on the server's side is {text:?}");
        if self.export().stat(&path).await?.is_none() {
            return Err(Trouble::failed(expected, "there is no such file"));
        }
        let bytes = self.export().read(&path).await?;
        let found = String::from_utf8_lossy(&bytes);
        ensure(found == format!("{text}\n"), expected, || {
            format!("it is {found:?}")
        })
    }
}

impl Set<'_> {
    /// On real nodes each pod with an ordinal below `replicas` writes into its own volume of
    /// `template`, and sees there what the server has, no more and no less. On simulated nodes
    /// nothing is mounted and nothing is looked at.
    ///
    /// # Errors
    /// As [`World::pod_writes`] and [`World::same_in_pod`].
    pub async fn mounted(&self, template: &str, replicas: i32) -> CaseResult {
        if self.world.real_nodes() {
            return Box::pin(self.both_sides(template, replicas)).await;
        }
        Ok(())
    }

    async fn both_sides(&self, template: &str, replicas: i32) -> CaseResult {
        let mount = format!("/mnt/{template}");
        for (ordinal, volume) in (0..).zip(self.volumes(template, replicas).await?) {
            let pod = self.pod(ordinal);
            let directory = volume.existing_directory().await?;
            let file = format!("of-{pod}");
            self.world
                .pod_writes(&pod, &mount, &directory, &file)
                .await?;
            self.world.same_in_pod(&pod, &mount, &directory).await?;
        }
        self.world.mark(
            format!("statefulset {}", self.name),
            "mounted data is the same on both sides",
        );
        Ok(())
    }
}

fn digests(manifest: &Manifest) -> Digests {
    manifest
        .entries
        .iter()
        .filter(|entry| entry.kind == FileKind::File)
        .map(|entry| {
            (
                entry.path.clone(),
                entry.sha256.clone().unwrap_or_default().to_lowercase(),
            )
        })
        .collect()
}

/// The lines of sha256sum(1): digest, a space, a space or an asterisk, the path.
fn digests_of_text(text: &str) -> CaseResult<Digests> {
    text.lines()
        .map(|line| {
            let (digest, path) = line.split_at_checked(64)?;
            let path = path
                .strip_prefix("  ")
                .or_else(|| path.strip_prefix(" *"))?;
            let path = path.strip_prefix("./").unwrap_or(path);
            Some((path.to_owned(), digest.to_lowercase()))
        })
        .collect::<Option<_>>()
        .ok_or_else(|| Trouble::inconclusive(format!("sha256sum in a pod wrote {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_by_path() {
        let digest = "ab".repeat(32);
        let text = format!("{digest}  ./a b/data.txt\n{digest} *./x");
        let read = digests_of_text(&text).unwrap();
        assert_eq!(read["a b/data.txt"], digest);
        assert_eq!(read["x"], digest);
        assert!(digests_of_text("").unwrap().is_empty());
        assert!(digests_of_text("find: .: No such file or directory").is_err());
    }
}
