//! The files of a run: reports, captures, logs.

use std::collections::BTreeSet;

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use conformance::catalogue;
use conformance::report::{Report, json, junit};

use crate::failure::Failure;
use crate::options::absolute;

/// A report directory, made and emptied of what an earlier run left in it.
#[derive(Clone, Debug)]
pub(crate) struct ReportFiles {
    /// As it was given, for people to read.
    pub(crate) given: Utf8PathBuf,
    /// Absolute: the testbed's processes have other working directories.
    absolute: Utf8PathBuf,
}

impl ReportFiles {
    /// Makes the directory and removes the reports and captures of an earlier run, so that what
    /// lies there after this run is this run's.
    ///
    /// # Errors
    /// It cannot be made or written; nothing was started.
    pub(crate) fn prepare(given: &Utf8Path) -> Result<Self, Failure> {
        let files = Self {
            given: given.to_owned(),
            absolute: absolute(given)?,
        };
        let made = fs_err::create_dir_all(files.captures())
            .and_then(|()| fs_err::create_dir_all(files.logs()))
            .and_then(|()| files.remove_earlier());
        made.context("the report directory cannot be used")
            .map_err(|error| {
                Failure::usage(error).hint("choose another one with `--report-dir`")
            })?;
        Ok(files)
    }

    fn remove_earlier(&self) -> std::io::Result<()> {
        for file in [self.json(), self.junit()] {
            gone(fs_err::remove_file(file))?;
        }
        // Only what a run makes: the directory may be somebody's.
        for row in catalogue::rows() {
            gone(fs_err::remove_dir_all(self.captures().join(row.id)))?;
        }
        Ok(())
    }

    /// Where captures go.
    pub(crate) fn captures(&self) -> Utf8PathBuf {
        self.absolute.join("captures")
    }

    /// Ids of the cases whose surroundings were captured.
    pub(crate) fn captured(&self) -> BTreeSet<String> {
        catalogue::rows()
            .map(|row| row.id)
            .filter(|id| self.captures().join(id).is_dir())
            .map(str::to_owned)
            .collect()
    }

    /// Where logs go.
    pub(crate) fn logs(&self) -> Utf8PathBuf {
        self.absolute.join("logs")
    }

    fn json(&self) -> Utf8PathBuf {
        self.absolute.join("report.json")
    }

    fn junit(&self) -> Utf8PathBuf {
        self.absolute.join("junit.xml")
    }

    /// Writes both reports, each at once or not at all.
    ///
    /// # Errors
    /// They cannot be written.
    pub(crate) fn write(&self, report: &Report) -> Result<(), Failure> {
        let text = json::render(report).map_err(Failure::defect)?;
        let xml = junit::render(report).map_err(Failure::defect)?;
        for (path, text) in [(self.json(), text), (self.junit(), xml)] {
            write_at_once(&path, &text)
                .context("the report cannot be written")
                .map_err(Failure::defect)?;
        }
        Ok(())
    }
}

fn gone(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A reader sees all of the file or none of it.
pub(crate) fn write_at_once(path: &Utf8Path, text: &str) -> std::io::Result<()> {
    let partial = path.with_extension(format!("{}.partial", std::process::id()));
    fs_err::write(&partial, text)?;
    fs_err::rename(&partial, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_run_leaves_no_report_and_no_capture_behind_but_other_files_stay() {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(directory.path()).unwrap();
        for file in [
            "report.json",
            "captures/B01/objects.txt",
            "captures/mine.txt",
            "notes.txt",
        ] {
            fs_err::create_dir_all(path.join(file).parent().unwrap()).unwrap();
            fs_err::write(path.join(file), "old").unwrap();
        }
        ReportFiles::prepare(path).unwrap();
        assert!(!path.join("report.json").exists());
        assert!(!path.join("captures/B01").exists());
        assert!(path.join("captures/mine.txt").exists());
        assert!(path.join("notes.txt").exists());
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_a_mistake_of_the_caller() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = Utf8Path::from_path(file.path()).unwrap();
        let failure = ReportFiles::prepare(&path.join("report")).unwrap_err();
        assert_eq!(failure.cause, crate::exit::Cause::Usage);
    }
}
