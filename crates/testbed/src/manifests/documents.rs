//! The documents of a manifest's text.

use serde_json::Value;
use thiserror::Error;

/// Why a text is no manifest.
#[derive(Debug, Error)]
pub enum DocumentError {
    /// The text is no YAML.
    #[error("manifest is not readable: {0}")]
    Yaml(String),
    /// A document lacks what every object has.
    #[error("document {number} of the manifest has no `{field}`")]
    Incomplete {
        /// Its place in the text, from 1.
        number: usize,
        /// What is missing.
        field: &'static str,
    },
}

/// The objects of a text of several documents, in order, without empty ones.
///
/// # Errors
/// The text is no YAML, or a document lacks `apiVersion`, `kind` or `metadata.name`.
pub fn documents(yaml: &str) -> Result<Vec<Value>, DocumentError> {
    let options = serde_saphyr::options! { strict_booleans: true };
    let all: Vec<Value> = serde_saphyr::from_multiple_with_options(yaml, options)
        .map_err(|error| DocumentError::Yaml(error.to_string()))?;
    let objects: Vec<Value> = all
        .into_iter()
        .filter(|document| !document.is_null())
        .collect();
    for (index, object) in objects.iter().enumerate() {
        head(object, index + 1)?;
    }
    Ok(objects)
}

/// What every object has.
#[cfg_attr(
    not(feature = "local"),
    expect(
        dead_code,
        reason = "without a cluster it is only looked whether they are there"
    )
)]
pub(super) struct Head<'a> {
    pub(super) api_version: &'a str,
    pub(super) kind: &'a str,
    pub(super) name: &'a str,
    pub(super) namespace: Option<&'a str>,
}

/// What `object` has of it; `number` is its place in its text.
pub(super) fn head(object: &Value, number: usize) -> Result<Head<'_>, DocumentError> {
    let text = |pointer: &str, field| {
        let value = object.pointer(pointer).and_then(Value::as_str);
        value.ok_or(DocumentError::Incomplete { number, field })
    };
    Ok(Head {
        api_version: text("/apiVersion", "apiVersion")?,
        kind: text("/kind", "kind")?,
        name: text("/metadata/name", "metadata.name")?,
        namespace: object
            .pointer("/metadata/namespace")
            .and_then(Value::as_str),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_keep_their_order_and_empty_ones_are_left_out() {
        let text = "# only a comment\n---\napiVersion: v1\nkind: A\nmetadata: {name: a}\n---\n\n---\n\
                    apiVersion: v1\nkind: B\nmetadata: {name: b}\n";
        let kinds: Vec<String> = documents(text)
            .unwrap()
            .iter()
            .map(|object| object["kind"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(kinds, ["A", "B"]);
    }

    #[test]
    fn a_word_that_is_a_boolean_in_old_yaml_stays_a_word() {
        let text = "apiVersion: v1\nkind: A\nmetadata: {name: on}\ndata: {a: no}\n";
        assert_eq!(documents(text).unwrap()[0]["data"]["a"], "no");
    }

    #[test]
    fn a_document_that_is_no_object_is_refused_with_what_it_lacks() {
        let error = documents("apiVersion: v1\nkind: A\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "document 1 of the manifest has no `metadata.name`"
        );
    }
}
