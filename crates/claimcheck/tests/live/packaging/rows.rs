//! A table of values: each row says what must be in the output, or what must be said where the values
//! are refused.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::helm::{Helm, chart};
use super::objects::{Objects, at};
use crate::place::said;

/// Values, and what becomes of them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Row {
    /// What it is about.
    pub(super) what: String,
    /// Added to [`least`].
    #[serde(default = "no_values")]
    pub(super) values: Value,
    /// By `Kind/name`: what lies at paths of an object.
    #[serde(default)]
    has: BTreeMap<String, BTreeMap<String, Value>>,
    /// Objects, `Kind/name`, and things in one, `Kind/name path`, that are not there.
    #[serde(default)]
    lacks: Vec<String>,
    /// Parts of what is said where the values are refused.
    #[serde(default)]
    refused: Vec<String>,
}

fn no_values() -> Value {
    json!({})
}

impl Row {
    /// Whether the values are taken.
    pub(super) fn is_taken(&self) -> bool {
        self.refused.is_empty()
    }
}

/// All rows.
pub(super) fn rows() -> Vec<Row> {
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(include_str!("rows.yaml"), options).unwrap()
}

/// The one value that everybody has to give.
pub(super) fn least() -> Value {
    json!({ "nfs": { "server": "nfs.example.org" } })
}

#[test]
fn every_row_renders_as_it_says_or_is_refused_as_it_says() {
    let helm = Helm::alone();
    let mut problems = Vec::new();
    for row in rows() {
        let what = &row.what;
        match helm.render(&[&least(), &row.values]) {
            Ok(objects) if row.is_taken() => {
                let found = differences(&row, &objects);
                problems.extend(
                    found
                        .into_iter()
                        .map(|problem| format!("{what}: {problem}")),
                );
            }
            Ok(_) => problems.push(format!("{what}: is not refused")),
            Err(error) if row.is_taken() => problems.push(format!("{what}: is refused: {error}")),
            Err(error) => {
                let lacking = row.refused.iter().filter(|part| !error.contains(*part));
                problems.extend(lacking.map(|part| format!("{what}: `{part}` not in: {error}")));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn differences(row: &Row, objects: &Objects) -> Vec<String> {
    let mut problems = objects.problems("storage");
    for (key, wanted) in &row.has {
        let Some(object) = objects.get(key) else {
            let keys: Vec<_> = objects.0.keys().collect();
            problems.push(format!("there is no {key}, only {keys:?}"));
            continue;
        };
        for (path, value) in wanted {
            let found = at(object, path);
            if found != Some(value) {
                problems.push(format!("{key} {path} is {found:?}, not {value}"));
            }
        }
    }
    for absent in &row.lacks {
        let there = match absent.split_once(' ') {
            None => objects.get(absent).is_some(),
            Some((key, path)) => {
                let object = objects.get(key);
                if object.is_none() {
                    problems.push(format!("there is no {key}"));
                }
                object.is_some_and(|object| at(object, path).is_some_and(|found| !found.is_null()))
            }
        };
        if there {
            problems.push(format!("{absent} is there"));
        }
    }
    problems
}

#[test]
fn the_strict_linter_has_nothing_to_say() {
    let helm = Helm::alone();
    let least = helm.file("least.json", &least());
    for row in rows().iter().filter(|row| row.is_taken()) {
        let values = helm.file("values.json", &row.values);
        let output = helm.helm(&format!(
            "lint --strict CHART --values {} --values {}",
            least.display(),
            values.display()
        ));
        assert!(output.status.success(), "{}: {}", row.what, said(&output));
    }
}

#[test]
fn the_chart_has_the_version_of_the_workspace() {
    let text = fs_err::read_to_string(chart().join("Chart.yaml")).unwrap();
    let options = serde_saphyr::options! { strict_booleans: true };
    let chart: Value = serde_saphyr::from_str_with_options(&text, options).unwrap();
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

/// A default that the schema does not know would make the chart refuse itself; a schema key without a
/// default would be a value that nobody finds.
#[test]
fn the_schema_and_the_default_values_name_the_same_things() {
    let options = serde_saphyr::options! { strict_booleans: true };
    let text = fs_err::read_to_string(chart().join("values.yaml")).unwrap();
    let values: Value = serde_saphyr::from_str_with_options(&text, options).unwrap();
    let text = fs_err::read_to_string(chart().join("values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    let (mut defaults, mut known) = (Vec::new(), Vec::new());
    paths_of_values(&values, &schema, "", &mut defaults);
    paths_of_schema(&schema, "", &mut known);
    // Helm's own, for charts that hold this one.
    known.retain(|path| path != "/global");
    defaults.sort();
    known.sort();
    assert_eq!(defaults, known);
}

fn paths_of_schema(schema: &Value, prefix: &str, into: &mut Vec<String>) {
    let Some(properties) = schema["properties"].as_object() else {
        into.push(prefix.to_owned());
        return;
    };
    for (key, inner) in properties {
        paths_of_schema(inner, &format!("{prefix}/{key}"), into);
    }
}

/// As deep as the schema goes: below are free forms.
fn paths_of_values(values: &Value, schema: &Value, prefix: &str, into: &mut Vec<String>) {
    match values.as_object() {
        Some(fields) if schema["properties"].is_object() => {
            for (key, inner) in fields {
                let schema = &schema["properties"][key];
                paths_of_values(inner, schema, &format!("{prefix}/{key}"), into);
            }
        }
        _ => into.push(prefix.to_owned()),
    }
}
