//! What lies on an export, seen from behind the server.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use camino::Utf8Path;
use serde_json::Value;

/// The provisioner's own directory.
const STATE: &str = ".claimcheck";

/// Everything below a directory: path to mode and, of a file, its bytes.
pub(crate) type Tree = BTreeMap<String, (u32, Option<Vec<u8>>)>;

/// What lies below `directory`.
pub(crate) fn tree(directory: &Utf8Path) -> Tree {
    let mut found = Tree::new();
    walk(directory, "", &mut found);
    found
}

fn walk(directory: &Utf8Path, prefix: &str, found: &mut Tree) {
    // What is removed while this looks is looked at again by the next wait.
    let Ok(entries) = directory.read_dir_utf8() else {
        return;
    };
    for entry in entries.flatten() {
        let name = format!("{prefix}{}", entry.file_name());
        let Ok(metadata) = fs_err::symlink_metadata(entry.path()) else {
            continue;
        };
        let mode = metadata.permissions().mode() & 0o7777;
        if metadata.is_dir() {
            found.insert(name.clone(), (mode, None));
            walk(entry.path(), &format!("{name}/"), found);
        } else {
            found.insert(name, (mode, fs_err::read(entry.path()).ok()));
        }
    }
}

/// The names at the top of an export, without the provisioner's own directory.
pub(crate) fn top(export: &Utf8Path) -> Vec<String> {
    let mut names: Vec<String> = export
        .read_dir_utf8()
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().to_owned())
        .filter(|name| name != STATE)
        .collect();
    names.sort();
    names
}

/// The provisioner's own directory, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Volume to the state of its record.
    pub(crate) records: BTreeMap<String, String>,
    /// Entries of a trash.
    pub(crate) trash: Vec<String>,
    /// What is left of an interrupted write or of making the export's id.
    pub(crate) scraps: Vec<String>,
}

/// What the provisioner has written down on an export.
pub(crate) fn state(export: &Utf8Path) -> State {
    let mut state = State::default();
    for (path, (_, content)) in tree(&export.join(STATE)) {
        let parts: Vec<&str> = path.split('/').collect();
        let last = parts.last().copied().unwrap_or_default();
        match parts.as_slice() {
            ["export-id" | "export-id/id"] | ["export-id", "id"] => {}
            _ if last.starts_with(".tmp-") => state.scraps.push(path),
            [top, ..] if top.starts_with("new-") => state.scraps.push(path),
            [_owner] | [_owner, "records" | "trash" | "taken-over"] => {}
            [_owner, "records", volume] => {
                let record: Value =
                    serde_json::from_slice(&content.unwrap_or_default()).unwrap_or_default();
                let said = record["state"].as_str().unwrap_or("unreadable");
                state.records.insert((*volume).to_owned(), said.to_owned());
            }
            [_owner, "trash", entry] => state.trash.push((*entry).to_owned()),
            [_owner, "trash", ..] => {}
            _ => state.scraps.push(path),
        }
    }
    state
}
