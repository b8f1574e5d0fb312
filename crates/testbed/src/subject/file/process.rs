//! Checks of subjects that are processes.

use super::super::error::SubjectError;
use super::super::placeholder::{Placeholder, PlaceholderError, expand};
use super::super::start::ProcessStart;
use super::Beside;
use super::hints::hint;

pub(super) fn check(beside: &Beside<'_>, process: &ProcessStart) -> Result<(), SubjectError> {
    if process.command.first().is_none_or(String::is_empty) {
        let message = "is empty: give a program and its arguments";
        return Err(beside.wrong("start.process.command", message));
    }
    if process
        .bind
        .as_ref()
        .is_some_and(|path| !path.is_absolute())
    {
        return Err(beside.wrong("start.process.bind", "is not an absolute path"));
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
        placeholders(beside, &key, text, |_| true)?;
    }
    Ok(())
}

/// Refuses unknown placeholders, and those that mean nothing where `text` goes.
pub(super) fn placeholders(
    beside: &Beside<'_>,
    key: &str,
    text: &str,
    allowed: impl Fn(Placeholder) -> bool,
) -> Result<(), SubjectError> {
    let refused = std::cell::Cell::new(None);
    let expanded = expand(text, |placeholder| {
        if !allowed(placeholder) {
            refused.set(Some(placeholder));
        }
        String::new()
    });
    let names: Vec<&str> = Placeholder::ALL
        .into_iter()
        .filter(|&placeholder| allowed(placeholder))
        .map(Placeholder::name)
        .collect();
    match (expanded, refused.get()) {
        (Ok(_), None) => Ok(()),
        (Ok(_), Some(placeholder)) => {
            let message = format!(
                "has the placeholder `${{{}}}`, which means nothing inside the cluster",
                placeholder.name()
            );
            let allowed: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            let hint = format!("; allowed: {}", allowed.join(", "));
            Err(beside.wrong_with(key, message, hint))
        }
        (Err(error), _) => {
            let hint = match &error {
                PlaceholderError::Unknown(name) => hint(name, &names),
                PlaceholderError::Open => String::new(),
            };
            Err(beside.wrong_with(key, error.to_string(), hint))
        }
    }
}
