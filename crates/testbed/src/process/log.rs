//! Log files of child processes.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use camino::Utf8Path;

/// As much of a log's end as is looked at for its last lines, in bytes.
const TAIL_WINDOW: u64 = 64 * 1024;

/// Opens a log for appending and makes it when it is not there.
pub(super) fn open(path: &Utf8Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        fs_err::create_dir_all(directory)?;
    }
    let file = fs_err::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)?;
    Ok(file.into_parts().0)
}

/// The last `lines` lines of the file at `path`, joined by line feeds; empty when it cannot be read.
pub fn tail(path: &Utf8Path, lines: usize) -> String {
    read_end(path)
        .map(|text| last_lines(&text, lines))
        .unwrap_or_default()
}

fn read_end(path: &Utf8Path) -> io::Result<String> {
    let mut file = fs_err::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_WINDOW)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn last_lines(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_given_in_order_and_blank_ones_left_out() {
        assert_eq!(last_lines("a\nb\n\nc\n", 2), "b\nc");
        assert_eq!(last_lines("a\n", 5), "a");
        assert_eq!(last_lines("", 5), "");
    }

    #[test]
    fn a_missing_log_has_no_lines() {
        assert_eq!(tail(Utf8Path::new("/nonexistent/log"), 3), "");
    }
}
