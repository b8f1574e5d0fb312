//! The environment of programs that talk to Docker.

use std::collections::BTreeMap;

use camino::Utf8Path;

use crate::state::MARK;

/// Variables that reach a child, beside those that begin with `DOCKER_`: nodes behind a proxy pull
/// through it.
const PASSED: [&str; 6] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// What a child of the testbed in `directory` needs to reach the same Docker as this process, with
/// the testbed's mark.
pub(super) fn for_docker(directory: &Utf8Path) -> BTreeMap<String, String> {
    std::env::vars()
        .filter(|(name, _)| name.starts_with("DOCKER_") || PASSED.contains(&name.as_str()))
        .chain([(MARK.to_owned(), directory.to_string())])
        .collect()
}
