//! What is mounted: `server:/path`.

use std::ffi::OsStr;

use crate::error::MountError;

/// A server and the path that it exports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// Name or address, without brackets.
    pub(crate) host: String,
    /// The exported path, with a leading slash.
    pub(crate) path: String,
    /// Both, as they were given: what the table of mounts shows.
    pub(crate) text: String,
}

impl Source {
    /// Takes `server:/path` apart; an IPv6 address stands in brackets (RFC 3986, section 3.2.2).
    pub(crate) fn parse(given: &OsStr) -> Result<Self, MountError> {
        let wrong = || MountError::Source {
            given: given.to_string_lossy().into_owned(),
        };
        let text = given.to_str().ok_or_else(wrong)?;
        let (host, path) = match text.strip_prefix('[') {
            Some(rest) => rest.split_once("]:").ok_or_else(wrong)?,
            None => text.split_once(':').ok_or_else(wrong)?,
        };
        if host.is_empty() || !path.starts_with('/') {
            return Err(wrong());
        }
        Ok(Self {
            host: host.to_owned(),
            path: path.to_owned(),
            text: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("nfs.example.com:/export/a", "nfs.example.com", "/export/a")]
    #[case("10.0.0.1:/", "10.0.0.1", "/")]
    #[case("[fd00::1]:/export", "fd00::1", "/export")]
    #[case("host:/with:colon", "host", "/with:colon")]
    fn a_source_has_a_host_and_a_path(#[case] given: &str, #[case] host: &str, #[case] path: &str) {
        let source = Source::parse(OsStr::new(given)).expect("a source");
        assert_eq!(
            (source.host.as_str(), source.path.as_str()),
            (host, path),
            "{given}"
        );
        assert_eq!(source.text, given);
    }

    #[rstest]
    #[case("host")]
    #[case("host:export")]
    #[case(":/export")]
    #[case("fd00::1:/export")]
    #[case("[fd00::1/export")]
    #[case("/dev/sda")]
    fn anything_else_is_refused(#[case] given: &str) {
        let error = Source::parse(OsStr::new(given)).expect_err("no source");
        assert_eq!(error.exit_code(), 1);
        assert!(error.to_string().contains(given), "{error}");
    }
}
