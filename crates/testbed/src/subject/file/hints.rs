//! Mistakes of a subject file's form, with what may have been meant.

use camino::Utf8Path;

use super::super::error::SubjectError;

/// How alike two words must be for one to be offered for the other: at most two of five letters
/// differ.
const ALIKE: f64 = 0.6;

/// The decoder's error, with its place and what may have been meant.
pub(super) fn form_error(file: &Utf8Path, error: &serde_saphyr::Error) -> SubjectError {
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
pub(super) fn hint(word: &str, known: &[&str]) -> String {
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
