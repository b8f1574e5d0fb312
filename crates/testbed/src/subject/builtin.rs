//! Subjects that come with the program, so that it needs no files beside it.

use camino::{Utf8Component, Utf8Path};

/// Names of the built-in subjects.
pub const BUILTIN: [&str; 3] = ["reference", "reference-mount", "idle"];

/// The files of the built-in subjects, by their path below `fixtures/`.
const FILES: [(&str, &str); 4] = [
    (
        "subjects/reference.yaml",
        include_str!("../../../../fixtures/subjects/reference.yaml"),
    ),
    (
        "subjects/reference-mount.yaml",
        include_str!("../../../../fixtures/subjects/reference-mount.yaml"),
    ),
    (
        "subjects/idle.yaml",
        include_str!("../../../../fixtures/subjects/idle.yaml"),
    ),
    (
        "walkthrough/rbac.yaml",
        include_str!("../../../../fixtures/walkthrough/rbac.yaml"),
    ),
];

/// The text of the built-in subject `name`.
pub(super) fn subject(name: &str) -> Option<&'static str> {
    let known = BUILTIN.contains(&name);
    known
        .then(|| embedded(&format!("subjects/{name}.yaml")))
        .flatten()
}

/// The text of a manifest that a built-in subject names relative to its own file.
pub(super) fn manifest(path: &Utf8Path) -> Option<&'static str> {
    let mut parts = vec!["subjects"];
    for component in path.components() {
        match component {
            Utf8Component::ParentDir => {
                parts.pop()?;
            }
            Utf8Component::Normal(name) => parts.push(name),
            Utf8Component::CurDir => {}
            Utf8Component::RootDir | Utf8Component::Prefix(_) => return None,
        }
    }
    embedded(&parts.join("/"))
}

fn embedded(path: &str) -> Option<&'static str> {
    FILES
        .iter()
        .find(|(name, _)| *name == path)
        .map(|(_, text)| *text)
}
