//! Taking one file out of a gzipped tar archive.

use std::io;

use camino::Utf8Path;
use flate2::read::GzDecoder;
use fs_err as fs;

/// Copies the member with the path `member` to `target`. Blocks.
///
/// Nothing but the bytes of that one regular file is taken: no mode, no owner, no other member, so
/// an archive cannot write anywhere else.
///
/// # Errors
/// A text that says what is wrong with the archive: unreadable, or without that member.
pub(crate) fn extract(archive: &Utf8Path, member: &str, target: &Utf8Path) -> Result<(), String> {
    let broken = |error: io::Error| format!("cannot read the archive: {error}");
    let file = fs::File::open(archive).map_err(broken)?;
    let mut archive = tar::Archive::new(GzDecoder::new(io::BufReader::new(file)));
    let mut seen = Vec::new();
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.to_string_lossy().into_owned();
        if path.trim_start_matches("./") == member && entry.header().entry_type().is_file() {
            let mut out = fs::File::create(target).map_err(|error| error.to_string())?;
            io::copy(&mut entry, &mut out).map_err(broken)?;
            return Ok(());
        }
        seen.push(path);
    }
    seen.truncate(10);
    Err(format!(
        "the archive has no file `{member}`; it holds {}",
        seen.join(", ")
    ))
}
