//! Where an export is found.

use camino::Utf8PathBuf;

/// The address of an export, and the directory behind it where that is on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportTarget {
    /// Host name or IP address, without a port and without brackets.
    pub host: String,
    /// TCP port of NFS.
    pub port: u16,
    /// TCP port of MOUNT (RFC 1813, appendix I), which may be the same.
    pub mount_port: u16,
    /// The exported path, such as `/export`.
    pub path: String,
    /// The served directory, when this process can look into it.
    pub directory: Option<Utf8PathBuf>,
}
