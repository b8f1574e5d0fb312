//! Where the files of a local cluster are, and what its processes have in common.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};

use super::pki::Pki;
use super::{ExtraFlags, LocalOptions};
use crate::process::Spec;
use crate::state::MARK;

/// What the specification of each process is made from.
#[derive(Debug)]
pub(super) struct Layout<'a> {
    pub(super) options: &'a LocalOptions,
    pub(super) extra: &'a ExtraFlags,
    pub(super) pki: Pki,
    pub(super) ports: Ports,
}

/// The ports of a local cluster, all of 127.0.0.1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) etcd: u16,
    pub(super) etcd_peer: u16,
    pub(super) apiserver: u16,
    pub(super) dns: u16,
}

impl Layout<'_> {
    /// A path in the cluster's directory.
    pub(super) fn path(&self, name: &str) -> Utf8PathBuf {
        self.options.directory.join(name)
    }

    /// Address of the API server.
    pub(super) fn api_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.apiserver)
    }

    /// How to start `program` as `name`, with its log beside the others.
    pub(super) fn spec(&self, name: &str, program: &Utf8Path, args: Vec<String>) -> Spec {
        let directory = &self.options.directory;
        Spec {
            name: name.to_owned(),
            command: program.to_string(),
            args,
            env: BTreeMap::from([(MARK.to_owned(), directory.to_string())]),
            dir: directory.clone(),
            log: self.options.logs.join(format!("{name}.log")),
            bind: Vec::new(),
            guard: self.options.guard.clone(),
        }
    }
}

/// Writes a file that its owner alone may read.
pub(super) fn write_secret(path: &Utf8Path, text: &str) -> io::Result<()> {
    // An older file keeps its mode when it is opened, so it goes first.
    if path.exists() {
        fs_err::remove_file(path)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = fs_err::OpenOptions::from_options(options).open(path)?;
    file.write_all(text.as_bytes())
}
