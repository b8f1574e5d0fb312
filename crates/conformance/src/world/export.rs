//! The export, from both sides: over the protocol, as a client sees it, and in the directory
//! itself, as the server has it.

use std::time::Duration;

use testbed::nfs::view::{ExportView, FileKind, Manifest, ViewError};

use super::World;
use crate::limits::Limit;
use crate::tracker::Tracked;
use crate::trouble::{CaseResult, Trouble};

/// How often the export is asked, where nothing else shows a change.
const POLL: Duration = Duration::from_millis(20);

/// Where feature `archive` moves `directory` to: beside itself, its last component prefixed.
pub fn archive_of(directory: &str) -> String {
    match directory.rsplit_once('/') {
        Some((parent, base)) => format!("{parent}/archived-{base}"),
        None => format!("archived-{directory}"),
    }
}

/// A refusal for what a directory is, is about the subject that keeps it; anything else is not.
fn of_volume(directory: &str, error: ViewError) -> Trouble {
    if error.is_missing() || error.is_permission_denied() {
        let expected = format!("{directory} is there, and user 0 may read and write in it");
        return Trouble::failed(expected, error.to_string());
    }
    error.into()
}

impl World {
    /// The export; paths are relative to its root.
    pub fn export(&self) -> &ExportView {
        &self.ground.export
    }

    /// `path` is a directory, on both sides.
    ///
    /// # Errors
    /// Failed when it is not, or when the two sides differ.
    pub async fn directory_exists(&self, path: &str) -> CaseResult {
        let expected = format!("{path} is a directory on the export");
        match self.export().stat(path).await? {
            Some(stat) if stat.kind == FileKind::Directory => {}
            Some(stat) => {
                return Err(Trouble::failed(
                    expected,
                    format!("it is a {:?}", stat.kind),
                ));
            }
            None => return Err(self.missing(expected, path).await),
        }
        match self.export().local_exists(path) {
            Some(false) => Err(Trouble::failed(
                expected,
                "the server's side has no such directory",
            )),
            Some(true) | None => Ok(()),
        }
    }

    /// Nothing has the name `path`, on both sides.
    ///
    /// # Errors
    /// Failed when something has.
    pub async fn nothing_at(&self, path: &str) -> CaseResult {
        let expected = format!("{path} does not exist on the export");
        if let Some(stat) = self.export().stat(path).await? {
            return Err(Trouble::failed(
                expected,
                format!("it is a {:?}", stat.kind),
            ));
        }
        match self.export().local_exists(path) {
            Some(true) => Err(Trouble::failed(expected, "the server's side still has it")),
            Some(false) | None => Ok(()),
        }
    }

    /// Waits until nothing has the name `path`, on both sides, within `limit`. Only for what no
    /// object of the API shows: an export cannot be watched, so it is asked again and again.
    ///
    /// # Errors
    /// Failed when something still has it.
    pub async fn removed(&self, path: &str, limit: Limit) -> CaseResult {
        let wait = self.wait(format!("{path} is gone from the export"), limit);
        let deadline = tokio::time::Instant::now() + wait.duration;
        let mut ticks = tokio::time::interval(POLL);
        loop {
            ticks.tick().await;
            match self.nothing_at(path).await {
                Err(Trouble::Failed(finding)) if tokio::time::Instant::now() >= deadline => {
                    return Err(Trouble::failed(
                        format!(
                            "{} within {} s (limit {})",
                            wait.what,
                            wait.duration.as_secs(),
                            wait.limit
                        ),
                        finding.observed,
                    ));
                }
                Err(Trouble::Failed(_)) => {}
                settled => return settled,
            }
        }
    }

    /// Fills `directory` with a small tree of known content and returns its manifest, which holds
    /// on both sides.
    ///
    /// # Errors
    /// Failed when the directory is gone or may not be written to, which is the subject's doing;
    /// inconclusive when the export does not answer.
    pub async fn fill(&self, directory: &str) -> CaseResult<Manifest> {
        self.write_tree(directory)
            .await
            .map_err(|error| of_volume(directory, error))?;
        self.manifest(directory).await
    }

    async fn write_tree(&self, directory: &str) -> Result<(), ViewError> {
        let export = self.export();
        let content = format!("{} {directory}\n", self.case);
        export
            .write(&format!("{directory}/data.txt"), content.as_bytes())
            .await?;
        export.mkdir(&format!("{directory}/nested"), 0o750).await?;
        export
            .write(&format!("{directory}/nested/bytes.bin"), &[0, 255, 10, 13])
            .await?;
        export
            .symlink(&format!("{directory}/link"), "data.txt")
            .await
    }

    /// What is in `directory`, the same on both sides.
    ///
    /// # Errors
    /// Failed when the directory is gone or may not be read, which is the subject's doing;
    /// inconclusive when the two sides differ, which no subject can bring about.
    pub async fn manifest(&self, directory: &str) -> CaseResult<Manifest> {
        let over_protocol = self.export().manifest(directory).await;
        let over_protocol = over_protocol.map_err(|error| of_volume(directory, error))?;
        if let Some(behind) = self.export().local_manifest(directory)? {
            let differences = over_protocol.differences(&behind);
            if !differences.is_empty() {
                return Err(Trouble::inconclusive(format!(
                    "the two sides of the export differ in {directory}: {}",
                    differences.join("; ")
                )));
            }
        }
        Ok(over_protocol)
    }

    /// `directory` holds exactly what `before` says, on both sides.
    ///
    /// # Errors
    /// Failed with the differences.
    pub async fn unchanged(&self, directory: &str, before: &Manifest) -> CaseResult {
        self.directory_exists(directory).await?;
        let differences = before.differences(&self.manifest(directory).await?);
        if differences.is_empty() {
            return Ok(());
        }
        Err(Trouble::failed(
            format!("the content of {directory} is as it was"),
            differences.join("; "),
        ))
    }

    /// The case expects `path` to be left on the export: the tracker removes it over the protocol.
    pub fn expect_directory_left(&self, path: &str) {
        self.tracker.track(Tracked::Directory(path.to_owned()));
    }

    async fn missing(&self, expected: String, path: &str) -> Trouble {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let listing = match self.export().list(parent).await {
            Ok(names) => names.join(", "),
            Err(error) => format!("cannot be listed: {error}"),
        };
        Trouble::failed(expected, "there is no such thing")
            .with_evidence(format!("entries of /{parent}: {listing}"))
    }
}
