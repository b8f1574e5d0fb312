//! The termination message: what `kubectl describe pod` shows of a container that ended.

use std::fs::OpenOptions;
use std::io::Write as _;

/// Where a container's message is read from unless its manifest says otherwise; the manifests of
/// nfs-subdir do not.
const PATH: &str = "/dev/termination-log";
/// The longest message kubelet keeps, in bytes.
const LONGEST: usize = 4096;

/// Leaves a message if there is somebody to read it. kubelet makes the file; outside a container
/// there is none, and none is made.
pub(super) fn leave_message(text: &str) {
    let file = OpenOptions::new().write(true).truncate(true).open(PATH);
    if let Ok(mut file) = file {
        // The same is in the log.
        let _ = file.write_all(cut(text).as_bytes());
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let long = "ü".repeat(LONGEST);
        assert_eq!(cut(&long).len(), LONGEST);
        let odd = format!("a{long}");
        assert_eq!(cut(&odd).len(), LONGEST - 1);
    }
}
