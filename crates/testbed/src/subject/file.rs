//! Subject files: their form, and the checks that make a [`Subject`] of one.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use jiff::SignedDuration;
use serde::Deserialize;

use self::hints::{form_error, hint};
use super::builtin;
use super::error::SubjectError;
use super::model::{Class, Layout, Manifest, Subject};
use super::start::{ProcessStart, Start};

mod hints;
mod in_cluster;
mod process;

/// A subject file as it is written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SubjectFile {
    name: String,
    #[serde(default)]
    version: Option<String>,
    provisioner: String,
    start: StartForm,
    #[serde(default)]
    manifests: Vec<Utf8PathBuf>,
    #[serde(default)]
    class: Class,
    declares: Declares,
    #[serde(default)]
    layout: LayoutForm,
    #[serde(default)]
    limits: BTreeMap<String, String>,
}

/// How the subject is started.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum StartForm {
    Process(ProcessStart),
    Manifests(in_cluster::Form),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Declares {
    profiles: Vec<String>,
    #[serde(default)]
    features: Vec<String>,
}

/// How a volume tells where it lies.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LayoutForm {
    source: LayoutSource,
    #[serde(default)]
    path: Option<Utf8PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
enum LayoutSource {
    /// By its `nfs` source, whose path lies below the exported path.
    #[default]
    Nfs,
    /// By its `hostPath` or `local` source and its node affinity.
    NodeDirectory,
}

/// What a subject file names, read; paths are relative to the subject file.
struct Beside<'a> {
    file: &'a Utf8Path,
    read: &'a dyn Fn(&Utf8Path) -> io::Result<String>,
}

impl Beside<'_> {
    fn text(&self, path: &Utf8Path) -> Result<String, SubjectError> {
        (self.read)(path).map_err(|source| SubjectError::Read {
            file: self.file.to_owned(),
            path: path.to_owned(),
            hint: "; paths are relative to the subject file".to_owned(),
            source,
        })
    }

    fn manifests(&self, paths: Vec<Utf8PathBuf>) -> Result<Vec<Manifest>, SubjectError> {
        let manifest = |path: Utf8PathBuf| {
            let text = self.text(&path)?;
            Ok(Manifest { path, text })
        };
        paths.into_iter().map(manifest).collect()
    }

    /// A value that cannot be.
    fn wrong(&self, key: impl Into<String>, message: impl Into<String>) -> SubjectError {
        self.wrong_with(key, message, String::new())
    }

    /// The same, with what may have been meant.
    fn wrong_with(
        &self,
        key: impl Into<String>,
        message: impl Into<String>,
        hint: String,
    ) -> SubjectError {
        SubjectError::Value {
            file: self.file.to_owned(),
            key: key.into(),
            message: message.into(),
            hint,
        }
    }
}

/// Reads the built-in subject of that name, else the file at that path.
pub(super) fn open(name_or_path: &str) -> Result<Subject, SubjectError> {
    let file = Utf8PathBuf::from(name_or_path);
    if let Some(text) = builtin::subject(name_or_path) {
        return check(&file, text, &|path| {
            builtin::beside(path)
                .map(str::to_owned)
                .ok_or_else(|| ErrorKind::NotFound.into())
        });
    }
    let text = fs_err::read_to_string(&file).map_err(|source| SubjectError::Read {
        file: file.clone(),
        path: file.clone(),
        hint: hint(name_or_path, &builtin::BUILTIN),
        source,
    })?;
    let directory = file.parent().unwrap_or(Utf8Path::new("")).to_owned();
    check(&file, &text, &|path| {
        fs_err::read_to_string(directory.join(path))
    })
}

/// Makes a subject of a file's text; `read` reads what it names.
fn check(
    file: &Utf8Path,
    text: &str,
    read: &dyn Fn(&Utf8Path) -> io::Result<String>,
) -> Result<Subject, SubjectError> {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    let written: SubjectFile = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| form_error(file, &error))?;
    let SubjectFile {
        name,
        version,
        provisioner,
        start,
        manifests,
        class,
        declares: Declares { profiles, features },
        layout,
        limits,
    } = written;

    let beside = Beside { file, read };
    if name.trim().is_empty() {
        let message = "is empty: give the subject a name for reports";
        return Err(beside.wrong("name", message));
    }
    if provisioner.trim().is_empty() {
        let message = "is empty: give the name that classes have";
        return Err(beside.wrong("provisioner", message));
    }
    if profiles.is_empty() {
        let message = "is empty: declare at least `core`";
        return Err(beside.wrong("declares.profiles", message));
    }
    let start = match start {
        StartForm::Process(start) => {
            process::check(&beside, &start)?;
            Start::Process(start)
        }
        StartForm::Manifests(form) => Start::Manifests(in_cluster::checked(&beside, form)?),
    };
    Ok(Subject {
        text: text.to_owned(),
        name,
        version,
        provisioner,
        manifests: beside.manifests(manifests)?,
        start,
        layout: checked_layout(&beside, layout)?,
        class,
        profiles,
        features,
        limits: checked_limits(&beside, limits)?,
        file: file.to_owned(),
    })
}

fn checked_layout(beside: &Beside<'_>, form: LayoutForm) -> Result<Layout, SubjectError> {
    let wrong = |message: &str| Err(beside.wrong("layout.path", message));
    match (form.source, form.path) {
        (LayoutSource::Nfs, None) => Ok(Layout::Nfs),
        (LayoutSource::Nfs, Some(_)) => {
            wrong("belongs to `source: nodeDirectory`; an `nfs` source has the export's path")
        }
        (LayoutSource::NodeDirectory, None) => {
            wrong("is missing: give the directory of the nodes in which volumes are made")
        }
        (LayoutSource::NodeDirectory, Some(path)) => {
            let clean = path.components().collect::<Utf8PathBuf>() == path
                && !path.as_str().ends_with('/')
                && !path.as_str().contains("..");
            if !path.is_absolute() || !clean || path == "/" {
                return wrong("is no absolute path below `/`, without `..` and a final `/`");
            }
            Ok(Layout::NodeDirectory { path })
        }
    }
}

fn checked_limits(
    beside: &Beside<'_>,
    limits: BTreeMap<String, String>,
) -> Result<BTreeMap<String, Duration>, SubjectError> {
    let checked = |(name, text): (String, String)| match duration(&text) {
        Some(limit) => Ok((name, limit)),
        None => Err(beside.wrong(
            format!("limits.{name}"),
            format!("is `{text}`, which is no time above zero: write it as `30s` or `2m`"),
        )),
    };
    limits.into_iter().map(checked).collect()
}

/// A time above zero, as in `30s` or `1m 30s`.
fn duration(text: &str) -> Option<Duration> {
    let duration: SignedDuration = text.parse().ok()?;
    Duration::try_from(duration)
        .ok()
        .filter(|duration| !duration.is_zero())
}

#[cfg(test)]
mod tests;
