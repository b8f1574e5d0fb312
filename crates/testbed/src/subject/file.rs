//! Subject files: their form, and the checks that make a [`Subject`] of one.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use jiff::SignedDuration;
use serde::Deserialize;

use super::builtin;
use super::error::SubjectError;
use super::model::{Class, Manifest, ProcessStart, Subject};
use super::placeholder::{Placeholder, PlaceholderError, expand};

/// How alike two words must be for one to be offered for the other: at most two of five letters
/// differ.
const ALIKE: f64 = 0.6;

/// A subject file as it is written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SubjectFile {
    name: String,
    #[serde(default)]
    version: Option<String>,
    provisioner: String,
    start: Start,
    #[serde(default)]
    manifests: Vec<Utf8PathBuf>,
    #[serde(default)]
    class: Class,
    declares: Declares,
    #[serde(default, rename = "layout")]
    _layout: Layout,
    #[serde(default)]
    limits: BTreeMap<String, String>,
}

/// How the subject is started.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Start {
    Process(ProcessStart),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Declares {
    profiles: Vec<String>,
    #[serde(default)]
    features: Vec<String>,
}

/// How a volume tells where it lies on the export.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Layout {
    #[serde(rename = "source")]
    _source: LayoutSource,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
enum LayoutSource {
    /// By its `nfs` source, whose path lies below the exported path.
    #[default]
    Nfs,
}

/// Reads the built-in subject of that name, else the file at that path.
pub(super) fn open(name_or_path: &str) -> Result<Subject, SubjectError> {
    let file = Utf8PathBuf::from(name_or_path);
    if let Some(text) = builtin::subject(name_or_path) {
        return check(file, text, |path| {
            builtin::manifest(path)
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
    check(file, &text, |path| {
        fs_err::read_to_string(directory.join(path))
    })
}

/// Makes a subject of a file's text; `manifest` reads what it names.
fn check(
    file: Utf8PathBuf,
    text: &str,
    manifest: impl Fn(&Utf8Path) -> io::Result<String>,
) -> Result<Subject, SubjectError> {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    let written: SubjectFile = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| form_error(&file, &error))?;
    let SubjectFile {
        name,
        version,
        provisioner,
        start: Start::Process(process),
        manifests,
        class,
        declares: Declares { profiles, features },
        _layout: _,
        limits,
    } = written;

    let wrong = |key: &str, message: &str| SubjectError::Value {
        file: file.clone(),
        key: key.to_owned(),
        message: message.to_owned(),
        hint: String::new(),
    };
    if name.trim().is_empty() {
        return Err(wrong(
            "name",
            "is empty: give the subject a name for reports",
        ));
    }
    if provisioner.trim().is_empty() {
        return Err(wrong(
            "provisioner",
            "is empty: give the name that classes have",
        ));
    }
    if profiles.is_empty() {
        return Err(wrong(
            "declares.profiles",
            "is empty: declare at least `core`",
        ));
    }
    check_process(&file, &process)?;
    let limits = limits
        .into_iter()
        .map(|(name, text)| match duration(&text) {
            Some(limit) => Ok((name, limit)),
            None => Err(wrong(
                &format!("limits.{name}"),
                &format!("is `{text}`, which is no time above zero: write it as `30s` or `2m`"),
            )),
        })
        .collect::<Result<_, _>>()?;
    let manifests = manifests
        .into_iter()
        .map(|path| match manifest(&path) {
            Ok(text) => Ok(Manifest { path, text }),
            Err(source) => Err(SubjectError::Read {
                file: file.clone(),
                path,
                hint: "; manifests are relative to the subject file".to_owned(),
                source,
            }),
        })
        .collect::<Result<_, _>>()?;
    Ok(Subject {
        text: text.to_owned(),
        name,
        version,
        provisioner,
        manifests,
        process,
        class,
        profiles,
        features,
        limits,
        file,
    })
}

fn check_process(file: &Utf8Path, process: &ProcessStart) -> Result<(), SubjectError> {
    let wrong = |key: String, message: String, hint: String| SubjectError::Value {
        file: file.to_owned(),
        key,
        message,
        hint,
    };
    if process.command.first().is_none_or(String::is_empty) {
        let message = "is empty: give a program and its arguments".to_owned();
        return Err(wrong(
            "start.process.command".to_owned(),
            message,
            String::new(),
        ));
    }
    if process
        .bind
        .as_ref()
        .is_some_and(|path| !path.is_absolute())
    {
        let message = "is not an absolute path".to_owned();
        return Err(wrong(
            "start.process.bind".to_owned(),
            message,
            String::new(),
        ));
    }
    let arguments = process
        .command
        .iter()
        .map(|text| ("start.process.command".to_owned(), text));
    let variables = process
        .env
        .iter()
        .map(|(name, text)| (format!("start.process.env.{name}"), text));
    for (key, text) in arguments.chain(variables) {
        if let Err(error) = expand(text, |_| String::new()) {
            let names = Placeholder::ALL.map(Placeholder::name);
            let hint = match &error {
                PlaceholderError::Unknown(name) => hint(name, &names),
                PlaceholderError::Open => String::new(),
            };
            return Err(wrong(key, error.to_string(), hint));
        }
    }
    Ok(())
}

/// A time above zero, as in `30s` or `1m 30s`.
fn duration(text: &str) -> Option<Duration> {
    let duration: SignedDuration = text.parse().ok()?;
    Duration::try_from(duration)
        .ok()
        .filter(|duration| !duration.is_zero())
}

/// The decoder's error, with its place and what may have been meant.
fn form_error(file: &Utf8Path, error: &serde_saphyr::Error) -> SubjectError {
    use serde_saphyr::Error;

    let error = error.without_snippet();
    let (message, hint) = match error {
        Error::SerdeUnknownField {
            field, expected, ..
        } => (format!("unknown key `{field}`"), hint(field, expected)),
        Error::SerdeUnknownVariant {
            variant, expected, ..
        } => (
            format!("unknown value `{variant}`"),
            hint(variant, expected),
        ),
        Error::SerdeMissingField { field, .. } => (format!("`{field}` is missing"), String::new()),
        other => (other.to_string(), String::new()),
    };
    let (line, column) = error
        .location()
        .map_or((1, 1), |place| (place.line(), place.column()));
    SubjectError::Form {
        file: file.to_owned(),
        line,
        column,
        message,
        hint,
    }
}

/// What `word` may have meant: the one of `known` that is most like it, and else all of them.
fn hint(word: &str, known: &[&str]) -> String {
    let word = word.to_lowercase();
    let likeness =
        |other: &str| strsim::normalized_damerau_levenshtein(&word, &other.to_lowercase());
    let best = known
        .iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match best {
        Some(best) if likeness(best) >= ALIKE => format!("; did you mean `{best}`?"),
        Some(_) => {
            let all: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            format!("; allowed: {}", all.join(", "))
        }
        None => String::new(),
    }
}

#[cfg(test)]
mod tests;
