//! Taking files out of a gzipped tar archive.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use flate2::read::GzDecoder;
use fs_err as fs;

/// Copies each member with one of the given paths to the file named beside it, in one pass. Blocks.
///
/// Nothing but the bytes of those regular files is taken: no mode, no owner, no other member, so an
/// archive cannot write anywhere else.
///
/// # Errors
/// A text that says what is wrong with the archive: unreadable, or without one of the members.
pub(crate) fn extract(
    archive: &Utf8Path,
    mut members: Vec<(String, Utf8PathBuf)>,
) -> Result<(), String> {
    let broken = |error: io::Error| format!("cannot read the archive: {error}");
    let file = fs::File::open(archive).map_err(broken)?;
    let mut archive = tar::Archive::new(GzDecoder::new(io::BufReader::new(file)));
    let mut seen = Vec::new();
    for entry in archive.entries().map_err(broken)? {
        if members.is_empty() {
            return Ok(());
        }
        let mut entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.to_string_lossy().into_owned();
        let inside = path.trim_start_matches("./");
        let wanted = members.iter().position(|(member, _)| member == inside);
        if let Some(place) = wanted
            && entry.header().entry_type().is_file()
        {
            let (_, target) = members.swap_remove(place);
            let mut out = fs::File::create(target).map_err(|error| error.to_string())?;
            io::copy(&mut entry, &mut out).map_err(broken)?;
        }
        seen.push(path);
    }
    if members.is_empty() {
        return Ok(());
    }
    seen.truncate(10);
    let lacking: Vec<_> = members
        .iter()
        .map(|(member, _)| format!("`{member}`"))
        .collect();
    Err(format!(
        "the archive has no file {}; it holds {}",
        lacking.join(", "),
        seen.join(", ")
    ))
}
