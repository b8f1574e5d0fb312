//! The form and the checks of subjects that run in the cluster.

use camino::Utf8PathBuf;
use serde::Deserialize;

use super::super::error::SubjectError;
use super::super::placeholder::Placeholder;
use super::super::rewrite::rewrite;
use super::super::start::{
    GoProgram, Image, ImageSource, ManifestsStart, Readiness, Settings, Workload,
};
use super::Beside;
use super::process::placeholders;
use crate::manifests::documents;

/// `start.manifests`, as it is written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Form {
    files: Vec<Utf8PathBuf>,
    workload: Workload,
    #[serde(default)]
    ready: Option<Readiness>,
    #[serde(default)]
    images: Vec<ImageForm>,
    #[serde(default)]
    set: Settings,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ImageForm {
    name: String,
    from: SourceForm,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum SourceForm {
    Claimcheck,
    Busybox,
    Nginx,
    GoModule(GoForm),
}

/// A Go program: the directory of its `go.mod` and `go.sum`, and the package of the command.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GoForm {
    directory: Utf8PathBuf,
    package: String,
}

/// The checked start of what is written. Its manifests are read, and are what they have to be.
pub(super) fn checked(beside: &Beside<'_>, form: Form) -> Result<ManifestsStart, SubjectError> {
    let Form {
        files,
        workload,
        ready,
        images,
        set,
    } = form;
    if files.is_empty() {
        let message = "is empty: give the manifests that make the subject";
        return Err(beside.wrong("start.manifests.files", message));
    }
    for (name, text) in &set.env {
        let key = format!("start.manifests.set.env.{name}");
        placeholders(beside, &key, text, Placeholder::in_cluster)?;
    }
    for (volume, source) in &set.nfs {
        for (field, text) in [("server", &source.server), ("path", &source.path)] {
            let key = format!("start.manifests.set.nfs.{volume}.{field}");
            placeholders(beside, &key, text, Placeholder::in_cluster)?;
        }
    }
    let files = beside.manifests(files)?;
    let mut objects = Vec::new();
    for file in &files {
        let found = documents(&file.text).map_err(|error| {
            beside.wrong("start.manifests.files", format!("{}: {error}", file.path))
        })?;
        objects.extend(found);
    }
    rewrite(&mut objects, &workload, &set)
        .map_err(|error| beside.wrong(format!("start.manifests.{}", error.key), error.message))?;
    let images = images
        .into_iter()
        .map(|image| {
            // An image may stand in a ConfigMap, for pods that the subject itself makes.
            if image.name.is_empty() || !files.iter().any(|file| file.text.contains(&image.name)) {
                let message = format!("has the image `{}`, which no file names", image.name);
                return Err(beside.wrong("start.manifests.images", message));
            }
            Ok(Image {
                from: source(beside, image.from)?,
                name: image.name,
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(ManifestsStart {
        files,
        workload,
        ready,
        images,
        set,
    })
}

fn source(beside: &Beside<'_>, form: SourceForm) -> Result<ImageSource, SubjectError> {
    Ok(match form {
        SourceForm::Claimcheck => ImageSource::Claimcheck,
        SourceForm::Busybox => ImageSource::Busybox,
        SourceForm::Nginx => ImageSource::Nginx,
        SourceForm::GoModule(GoForm { directory, package }) => ImageSource::Go(GoProgram {
            go_mod: beside.text(&directory.join("go.mod"))?,
            go_sum: beside.text(&directory.join("go.sum"))?,
            package,
        }),
    })
}
