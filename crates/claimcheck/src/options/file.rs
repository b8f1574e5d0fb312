//! `claimcheck.toml` in the current directory: strict, with the line of every mistake.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use camino::Utf8PathBuf;
use testbed::tools::Tool;
use toml::de::{DeTable, DeValue};

use super::suggested;
use crate::failure::Failure;

/// The file's name.
pub(crate) const FILE: &str = "claimcheck.toml";

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A string.
    Text,
    /// An integer.
    Number,
    /// A string with commas, or an array of strings.
    List,
}

impl Form {
    const fn name(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Number => "an integer",
            Self::List => "an array of strings",
        }
    }
}

/// Every key but the table `tools`.
pub(crate) const KEYS: [(&str, Form); 12] = [
    ("subject", Form::Text),
    ("cluster", Form::Text),
    ("workers", Form::Number),
    ("kubernetes", Form::Text),
    ("node-image", Form::Text),
    ("name", Form::Text),
    ("profile", Form::List),
    ("only", Form::List),
    ("exclude", Form::List),
    ("parallel", Form::Number),
    ("report-dir", Form::Text),
    ("keep", Form::Text),
];

/// The table of tool paths.
const TOOLS: &str = "tools";

/// What a file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Text and line by key.
    pub(crate) values: BTreeMap<&'static str, (String, usize)>,
    /// Paths of tools.
    pub(crate) tools: BTreeMap<Tool, Utf8PathBuf>,
}

/// The file's text; `None` when there is no file.
///
/// # Errors
/// The file is there but cannot be read.
pub(crate) fn read() -> Result<Option<String>, Failure> {
    match fs_err::read_to_string(FILE) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::usage(error)),
    }
}

/// Reads a file's text.
///
/// # Errors
/// The first mistake, with its line.
pub(crate) fn parse(text: &str) -> Result<Options, Failure> {
    let table = DeTable::parse(text).map_err(|error| {
        let line = line_of(text, error.span().map_or(0, |span| span.start));
        Failure::wrong(format!("{FILE}:{line}: {}", error.message()))
    })?;
    let mut options = Options::default();
    // The decoder sorts keys; the first mistake of the file is what a person wants to hear of.
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in entries {
        let line = line_of(text, key.span().start);
        let name: &str = key.get_ref();
        if name == TOOLS {
            options.tools = tools(text, value.get_ref(), line)?;
            continue;
        }
        let Some((known, form)) = KEYS.iter().find(|(known, _)| *known == name) else {
            let names: Vec<&str> = KEYS.iter().map(|(key, _)| *key).chain([TOOLS]).collect();
            return Err(unknown(line, name, &names));
        };
        let Some(value) = value_of(value.get_ref(), *form) else {
            return Err(Failure::wrong(format!(
                "{FILE}:{line}: key `{name}` must be {}",
                form.name()
            )));
        };
        options.values.insert(known, (value, line));
    }
    Ok(options)
}

fn unknown(line: usize, name: &str, known: &[&str]) -> Failure {
    let failure = Failure::wrong(format!(
        "{FILE}:{line}: unknown key `{name}`; allowed are {}",
        known.join(", ")
    ));
    suggested(failure, name, known)
}

fn tools(
    text: &str,
    value: &DeValue<'_>,
    line: usize,
) -> Result<BTreeMap<Tool, Utf8PathBuf>, Failure> {
    let Some(table) = value.as_table() else {
        return Err(Failure::wrong(format!(
            "{FILE}:{line}: key `{TOOLS}` must be a table of paths"
        )));
    };
    let names = Tool::ALL.map(Tool::name);
    table
        .iter()
        .map(|(key, path)| {
            let line = line_of(text, key.span().start);
            let name: &str = key.get_ref();
            let tool = name
                .parse::<Tool>()
                .map_err(|_| unknown(line, name, &names))?;
            let path = path.get_ref().as_str().ok_or_else(|| {
                Failure::wrong(format!(
                    "{FILE}:{line}: key `{TOOLS}.{name}` must be a string"
                ))
            })?;
            Ok((tool, path.into()))
        })
        .collect()
}

/// A value as the text that a flag would have; `None` when it has another form.
fn value_of(value: &DeValue<'_>, form: Form) -> Option<String> {
    match (form, value) {
        (Form::Text | Form::List, DeValue::String(text)) => Some(text.to_string()),
        (Form::Number, DeValue::Integer(number)) => Some(number.as_str().to_owned()),
        (Form::List, DeValue::Array(parts)) => {
            let parts: Option<Vec<&str>> =
                parts.iter().map(|part| part.get_ref().as_str()).collect();
            parts.map(|parts| parts.join(","))
        }
        _ => None,
    }
}

/// The line, from 1, of a byte of `text`.
fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()
        .iter()
        .take(at)
        .filter(|byte| **byte == b'\n')
        .count()
        + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (String, Option<String>) {
        let failure = parse(text).unwrap_err();
        (failure.error.to_string(), failure.hint)
    }

    #[test]
    fn every_form_of_value_becomes_text() {
        let options = parse(
            "subject = \"s.yaml\"\nprofile = [\"core\", \"subdir\"]\nonly = \"B01\"\nparallel = 4\n\
             [tools]\netcd = \"/opt/etcd\"\n",
        )
        .unwrap();
        assert_eq!(options.values["subject"], ("s.yaml".to_owned(), 1));
        assert_eq!(options.values["profile"], ("core,subdir".to_owned(), 2));
        assert_eq!(options.values["only"], ("B01".to_owned(), 3));
        assert_eq!(options.values["parallel"], ("4".to_owned(), 4));
        assert_eq!(options.tools[&Tool::Etcd], "/opt/etcd");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_what_was_meant() {
        let (error, hint) = refused("parallel = 4\n\nsubjct = \"x\"\n");
        assert_eq!(
            error,
            "claimcheck.toml:3: unknown key `subjct`; allowed are subject, cluster, workers, \
             kubernetes, node-image, name, profile, only, exclude, parallel, report-dir, keep, tools"
        );
        assert_eq!(hint.as_deref(), Some("did you mean `subject`?"));
        let (error, hint) = refused("[tools]\nectd = \"x\"\n");
        assert!(
            error.starts_with("claimcheck.toml:2: unknown key `ectd`"),
            "{error}"
        );
        assert_eq!(hint.as_deref(), Some("did you mean `etcd`?"));
    }

    #[test]
    fn a_value_of_another_form_is_refused() {
        assert_eq!(
            refused("parallel = \"4\"").0,
            "claimcheck.toml:1: key `parallel` must be an integer"
        );
        assert_eq!(
            refused("only = [1]").0,
            "claimcheck.toml:1: key `only` must be an array of strings"
        );
        assert_eq!(
            refused("tools = 1").0,
            "claimcheck.toml:1: key `tools` must be a table of paths"
        );
    }

    #[test]
    fn what_is_no_toml_is_refused_with_its_line() {
        assert!(
            refused("subject = \"a\"\n= 1\n")
                .0
                .starts_with("claimcheck.toml:2: ")
        );
    }
}
