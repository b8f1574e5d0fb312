//! Published checksums: reading them, and computing those of files.

use std::fmt::Write as _;
use std::io::{self, Read};

use camino::Utf8Path;
use fs_err as fs;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// A sha256 as it is computed, bit by bit.
#[derive(Default)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// In lower-case hexadecimal.
    pub(crate) fn finish(self) -> String {
        self.0
            .finalize()
            .iter()
            .fold(String::with_capacity(64), |mut text, byte| {
                // Writing to a string does not fail.
                let _ = write!(text, "{byte:02x}");
                text
            })
    }
}

/// The sha256 of a file. Blocks; a control-plane binary has about 100 MB.
pub(crate) fn of_file(path: &Utf8Path) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let mut hasher = Hasher::default();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

fn digest(word: &str) -> Option<String> {
    (word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .then(|| word.to_ascii_lowercase())
}

/// The digest of `file_name` in a published checksum file: either one digest alone, or lines as
/// `sha256sum` writes them, where the name may carry directories and a `*` for binary mode.
pub(crate) fn in_file(text: &str, file_name: &str) -> Option<String> {
    let mut lines = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|words| !words.is_empty());
    let first = lines.next()?;
    if let [only] = first.as_slice() {
        // A digest without a name speaks for the file beside it, and only when it is alone.
        return lines.next().is_none().then(|| digest(only)).flatten();
    }
    std::iter::once(first).chain(lines).find_map(|words| {
        let [sum, name] = words.as_slice() else {
            return None;
        };
        let base = name.trim_start_matches('*').rsplit('/').next()?;
        (base == file_name).then(|| digest(sum)).flatten()
    })
}

#[derive(Deserialize)]
struct Release {
    assets: Vec<Asset>,
}

#[derive(Deserialize)]
struct Asset {
    name: String,
    digest: Option<String>,
}

/// The digest of `file_name` in GitHub's description of a release. Files uploaded before GitHub
/// computed digests have none.
pub(crate) fn in_github_release(json: &str, file_name: &str) -> Option<String> {
    serde_json::from_str::<Release>(json)
        .ok()?
        .assets
        .into_iter()
        .find(|asset| asset.name == file_name)?
        .digest?
        .strip_prefix("sha256:")
        .and_then(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn a_lone_digest_speaks_for_its_file() {
        assert_eq!(in_file(A, "kubectl").as_deref(), Some(A));
        assert_eq!(in_file(&format!("{A}\n"), "kubectl").as_deref(), Some(A));
        assert_eq!(in_file(&format!("{A}\n{B}\n"), "kubectl"), None);
    }

    #[test]
    fn a_list_is_searched_by_file_name() {
        let list = format!("{A}  other.tar.gz\n{B} *release/mine.tar.gz\n");
        assert_eq!(in_file(&list, "mine.tar.gz").as_deref(), Some(B));
        assert_eq!(in_file(&list, "none.tar.gz"), None);
        assert_eq!(in_file(&list, "tar.gz"), None);
    }

    #[test]
    fn what_is_no_digest_is_not_taken_for_one() {
        assert_eq!(in_file("<html>", "kubectl"), None);
        assert_eq!(in_file("", "kubectl"), None);
        assert_eq!(in_file(&A[1..], "kubectl"), None);
        assert_eq!(in_file(&format!("{}  kubectl", &A[1..]), "kubectl"), None);
    }

    #[test]
    fn the_digest_of_a_release_file_is_read_from_github() {
        let json = format!(
            r#"{{"tag_name":"v1","assets":[
                {{"name":"kwok-linux-arm64","digest":"sha256:{A}"}},
                {{"name":"kwok-linux-amd64","digest":"sha256:{B}","size":3}},
                {{"name":"old","digest":null}}]}}"#
        );
        assert_eq!(
            in_github_release(&json, "kwok-linux-amd64").as_deref(),
            Some(B)
        );
        assert_eq!(in_github_release(&json, "old"), None);
        assert_eq!(in_github_release(&json, "absent"), None);
        assert_eq!(in_github_release("not json", "old"), None);
    }

    #[test]
    fn the_sha256_of_a_file_is_that_of_its_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(directory.path()).unwrap().join("abc");
        fs::write(&path, "abc").unwrap();
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            of_file(&path).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
