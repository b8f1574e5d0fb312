//! The files of a bench.

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use testbed::artifacts::fresh_logs;

use super::report::Report;
use crate::failure::Failure;
use crate::options::absolute;
use crate::report_files::write_at_once;

/// A report directory, made, without the figures of an earlier bench.
#[derive(Clone, Debug)]
pub(crate) struct BenchFiles {
    /// As it was given, for people to read.
    given: Utf8PathBuf,
    absolute: Utf8PathBuf,
}

impl BenchFiles {
    /// Makes the directory and removes the file and the logs of an earlier bench, so that what lies
    /// there afterwards is of this one. Reports of runs stay.
    ///
    /// # Errors
    /// It cannot be made or written; nothing was started.
    pub(crate) fn prepare(given: &Utf8Path) -> Result<Self, Failure> {
        let files = Self {
            given: given.to_owned(),
            absolute: absolute(given)?,
        };
        let made = fs_err::create_dir_all(&files.absolute)
            .and_then(|()| gone(fs_err::remove_file(files.json())))
            .and_then(|()| files.remove_logs())
            .and_then(|()| fresh_logs(&files.logs()));
        made.context("the report directory cannot be used")
            .map_err(|error| {
                Failure::usage(error).hint("choose another one with `--report-dir`")
            })?;
        Ok(files)
    }

    /// Removes the directories of subjects' logs, which `fresh_logs` does not look into.
    fn remove_logs(&self) -> std::io::Result<()> {
        let Ok(entries) = fs_err::read_dir(self.logs()) else {
            return Ok(());
        };
        for entry in entries {
            let entry = entry?;
            // Only what a bench makes: the directory may be somebody's.
            if entry.file_name().to_string_lossy().starts_with("burst-") {
                gone(fs_err::remove_dir_all(entry.path()))?;
            }
        }
        Ok(())
    }

    /// Where logs go: of the control plane, and below it of each subject's bursts.
    pub(crate) fn logs(&self) -> Utf8PathBuf {
        self.absolute.join("bench-logs")
    }

    fn json(&self) -> Utf8PathBuf {
        self.absolute.join("bench.json")
    }

    /// The path of the file, for people to read.
    pub(crate) fn shown(&self) -> Utf8PathBuf {
        self.given.join("bench.json")
    }

    /// Writes the file, at once or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn write(&self, report: &Report) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(report).map_err(Failure::defect)? + "\n";
        write_at_once(&self.json(), &text)
            .context("the figures cannot be written")
            .map_err(Failure::defect)
    }
}

fn gone(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_an_earlier_bench_go_and_reports_of_runs_stay() {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(directory.path()).unwrap();
        for file in [
            "bench.json",
            "report.json",
            "bench-logs/etcd.log",
            "bench-logs/burst-2/subject.log",
            "bench-logs/mine/notes.txt",
        ] {
            fs_err::create_dir_all(path.join(file).parent().unwrap()).unwrap();
            fs_err::write(path.join(file), "old").unwrap();
        }
        let files = BenchFiles::prepare(path).unwrap();
        assert!(!path.join("bench.json").exists());
        assert!(!path.join("bench-logs/etcd.log").exists());
        assert!(!path.join("bench-logs/burst-2").exists());
        assert!(path.join("report.json").exists());
        assert!(path.join("bench-logs/mine/notes.txt").exists());
        files
            .write(&super::super::report::tests::report(true))
            .unwrap();
        let text = fs_err::read_to_string(path.join("bench.json")).unwrap();
        assert!(text.contains("\"claimcheck/bench/v1\""), "{text}");
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_a_mistake_of_the_caller() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = Utf8Path::from_path(file.path()).unwrap();
        let failure = BenchFiles::prepare(&path.join("report")).unwrap_err();
        assert_eq!(failure.cause, crate::exit::Cause::Usage);
    }
}
