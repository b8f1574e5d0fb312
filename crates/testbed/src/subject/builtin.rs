//! Subjects that come with the program, so that it needs no files beside it.

use camino::{Utf8Component, Utf8Path};

/// Names of the built-in subjects; the first is the default.
pub const BUILTIN: [&str; 6] = [
    "reference",
    "reference-mount",
    "reference-incluster",
    "reference-incluster-direct",
    "local-path",
    "idle",
];

/// Where subject files are, in the source tree.
const PLACE: [&str; 2] = ["fixtures", "subjects"];

/// Files by their path in the source tree, with their texts.
macro_rules! embedded {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../../", $path)))),*]
    };
}

/// The files of the built-in subjects.
const FILES: &[(&str, &str)] = embedded![
    "fixtures/subjects/reference.yaml",
    "fixtures/subjects/reference-mount.yaml",
    "fixtures/subjects/reference-incluster.yaml",
    "fixtures/subjects/reference-incluster-direct.yaml",
    "fixtures/subjects/local-path.yaml",
    "fixtures/subjects/local-path/namespace.yaml",
    "fixtures/subjects/local-path/rbac.yaml",
    "fixtures/subjects/local-path/config.yaml",
    "fixtures/subjects/local-path/deployment.yaml",
    "fixtures/subjects/local-path/class.yaml",
    "fixtures/subjects/idle.yaml",
    "fixtures/walkthrough/rbac.yaml",
    "fixtures/walkthrough/deployment.yaml",
    "deploy/plain/namespace.yaml",
    "deploy/plain/rbac.yaml",
    "deploy/plain/deployment.yaml",
    "kind/images/local-path-provisioner/go.mod",
    "kind/images/local-path-provisioner/go.sum",
];

/// The text of the built-in subject `name`.
pub(super) fn subject(name: &str) -> Option<&'static str> {
    let known = BUILTIN.contains(&name);
    known
        .then(|| text(&format!("{}/{name}.yaml", PLACE.join("/"))))
        .flatten()
}

/// The text of a file that a built-in subject names relative to its own file.
pub(super) fn beside(path: &Utf8Path) -> Option<&'static str> {
    let mut parts = PLACE.to_vec();
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
    text(&parts.join("/"))
}

fn text(path: &str) -> Option<&'static str> {
    FILES
        .iter()
        .find(|(name, _)| *name == path)
        .map(|(_, text)| *text)
}
