//! Which export, and as whom.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::backend::Cause;
use crate::backend::failure::Failure;

/// The protocol version, always explicit: a server is never talked down to another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// NFS version 3, RFC 1813.
    #[default]
    V3,
    /// NFS version 4.1, RFC 8881.
    V41,
    /// NFS version 4.2, RFC 7862.
    V42,
}

impl Version {
    /// As it is written in a URL and in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V3 => "3",
            Self::V41 => "4.1",
            Self::V42 => "4.2",
        }
    }
}

/// An export and the identity it is used with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectOptions {
    /// Name or address of the server. The name is resolved here, in the process.
    pub server: String,
    /// The exported path, beginning with a slash.
    pub export: String,
    /// TCP port of NFS. Without one: the portmapper's answer for version 3, 2049 otherwise.
    pub nfs_port: Option<u16>,
    /// TCP port of MOUNT, version 3 only. Without one the portmapper is asked.
    pub mount_port: Option<u16>,
    /// The protocol version.
    pub version: Version,
    /// Numeric user sent with every call (`AUTH_SYS`).
    pub uid: u32,
    /// Numeric group sent with every call (`AUTH_SYS`).
    pub gid: u32,
    /// Uses any source port instead of one below 1024, which needs a capability. The server must
    /// then export with `insecure`.
    pub noresvport: bool,
}

impl DirectOptions {
    /// Version 3 as user and group 0, ports from the portmapper, a reserved source port only when
    /// this process is root.
    pub fn new(server: impl Into<String>, export: impl Into<String>) -> Self {
        Self {
            server: server.into(),
            export: export.into(),
            nfs_port: None,
            mount_port: None,
            version: Version::default(),
            uid: 0,
            gid: 0,
            noresvport: !nix::unistd::geteuid().is_root(),
        }
    }

    /// Refuses what cannot be asked for.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let refuse = |detail: String| Err(Failure::definite(Cause::Unreachable, detail));
        if self.server.trim().is_empty() || self.server.contains(['/', '\0']) {
            return refuse(format!(
                "`{}` is no server: give a host name or an address",
                self.server
            ));
        }
        if !self.export.starts_with('/') || self.export.contains('\0') {
            return refuse(format!(
                "`{}` is no export: it begins with a slash",
                self.export
            ));
        }
        // The URL the client crate takes loses such segments on the way.
        if self
            .export
            .split('/')
            .any(|segment| segment == "." || segment == "..")
        {
            return refuse(format!("the export `{}` holds `.` or `..`", self.export));
        }
        if self.version == Version::V3 && self.export.trim_matches('/').is_empty() {
            return refuse(
                "the client crate cannot ask for the export `/` over version 3: use version 4.1, \
                 export a directory below it, or use the mount backend"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// The port a name is resolved with; only the address is used.
    pub(crate) fn lookup_port(&self) -> u16 {
        self.nfs_port.unwrap_or(2049)
    }

    /// The export as the client crate wants it, with an address in place of the name: version 3
    /// of the crate resolves names on the thread it runs on.
    pub(crate) fn url(&self, address: IpAddr) -> String {
        let host = match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        let mut url = format!("nfs://{host}");
        for segment in self.export.trim_end_matches('/').split('/').skip(1) {
            url.push('/');
            url.push_str(&encode(segment));
        }
        let Self {
            version,
            uid,
            gid,
            noresvport,
            ..
        } = self;
        let version = version.as_str();
        // Writing to a string cannot fail.
        let _ = write!(
            url,
            "?version={version}&uid={uid}&gid={gid}&noresvport={noresvport}"
        );
        if let Some(port) = self.nfs_port {
            let _ = write!(url, "&nfsport={port}");
        }
        if let Some(port) = self.mount_port {
            let _ = write!(url, "&mountport={port}");
        }
        url
    }
}

/// Percent-encodes all but the unreserved characters of RFC 3986 section 2.3.
fn encode(segment: &str) -> String {
    segment.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use rstest::rstest;

    use super::*;

    fn options(export: &str) -> DirectOptions {
        DirectOptions {
            noresvport: true,
            ..DirectOptions::new("nas", export)
        }
    }

    #[rstest]
    #[case("/export", "nfs://127.0.0.1/export")]
    #[case("/export/", "nfs://127.0.0.1/export")]
    #[case("/a b/100%?#", "nfs://127.0.0.1/a%20b/100%25%3F%23")]
    #[case("/daten/Größe", "nfs://127.0.0.1/daten/Gr%C3%B6%C3%9Fe")]
    fn an_export_becomes_a_url(#[case] export: &str, #[case] start: &str) {
        let url = options(export).url([127, 0, 0, 1].into());
        assert_eq!(
            url,
            format!("{start}?version=3&uid=0&gid=0&noresvport=true")
        );
    }

    #[test]
    fn ports_version_and_identity_are_passed_on() {
        let options = DirectOptions {
            nfs_port: Some(20049),
            mount_port: Some(20048),
            version: Version::V42,
            uid: 1000,
            gid: 100,
            noresvport: false,
            ..DirectOptions::new("nas", "/export")
        };
        assert_eq!(
            options.url(Ipv6Addr::LOCALHOST.into()),
            "nfs://[::1]/export?version=4.2&uid=1000&gid=100&noresvport=false\
             &nfsport=20049&mountport=20048"
        );
    }

    #[rstest]
    #[case("nas", "export", Version::V3, "begins with a slash")]
    #[case("nas", "/a/../b", Version::V3, "`..`")]
    #[case("", "/export", Version::V3, "no server")]
    #[case("nas/x", "/export", Version::V3, "no server")]
    #[case("nas", "/", Version::V3, "version 4.1")]
    fn what_cannot_be_asked_for_is_refused(
        #[case] server: &str,
        #[case] export: &str,
        #[case] version: Version,
        #[case] words: &str,
    ) {
        let options = DirectOptions {
            version,
            ..DirectOptions::new(server, export)
        };
        let failure = options.check().unwrap_err();
        assert!(failure.detail.contains(words), "{}", failure.detail);
    }

    #[test]
    fn the_root_export_is_fine_over_version_4() {
        let options = DirectOptions {
            version: Version::V41,
            ..DirectOptions::new("nas", "/")
        };
        options.check().unwrap();
    }
}
