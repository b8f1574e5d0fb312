//! Reading directories.

use std::sync::atomic::Ordering;

use nfs3_types::nfs3::{
    NFS_PROGRAM, Nfs3Option, READDIR3args, READDIR3resfail, READDIR3resok, READDIRPLUS3args,
    READDIRPLUS3resfail, READDIRPLUS3resok, cookieverf3, nfs_fh3, nfsstat3,
};
use nix::errno::Errno;

use super::{Client, Entry, Fault, Listed};
use crate::identity::Credential;
use crate::rpc::Patience;

/// The most bytes of one page of a directory.
const PAGE: u32 = 128 * 1024;
/// The most bytes of names in one page: without it servers stop at a few entries.
const PAGE_NAMES: u32 = 32 * 1024;

impl Client {
    /// READDIRPLUS, or READDIR where the server has no other: a page after `cookie`.
    pub(crate) fn list(
        &self,
        who: &Credential,
        directory: &nfs_fh3,
        cookie: u64,
        verifier: cookieverf3,
        patience: &Patience,
    ) -> Result<Listed, Fault> {
        if self.no_plus.load(Ordering::Relaxed) {
            return self.list_names(who, directory, cookie, verifier, patience);
        }
        let listed = self.exchange::<READDIRPLUS3resok<'static>, READDIRPLUS3resfail>(
            NFS_PROGRAM::NFSPROC3_READDIRPLUS,
            who,
            &READDIRPLUS3args {
                dir: directory.clone(),
                cookie,
                cookieverf: verifier,
                dircount: PAGE_NAMES,
                maxcount: PAGE,
            },
            patience,
        );
        match listed {
            Ok(page) => Ok(Listed {
                verifier: page.cookieverf,
                last: page.reply.eof,
                entries: page
                    .reply
                    .entries
                    .into_inner()
                    .into_iter()
                    .map(|entry| Entry {
                        name: entry.name.0.into_owned(),
                        fileid: entry.fileid,
                        kind: match entry.name_attributes {
                            Nfs3Option::Some(attributes) => Some(attributes.type_),
                            Nfs3Option::None => None,
                        },
                        cookie: entry.cookie,
                    })
                    .collect(),
            }),
            Err(Fault::Refused(nfsstat3::NFS3ERR_NOTSUPP, _) | Fault::Link(Errno::EOPNOTSUPP)) => {
                self.no_plus.store(true, Ordering::Relaxed);
                self.list_names(who, directory, cookie, verifier, patience)
            }
            Err(fault) => Err(fault),
        }
    }

    pub(super) fn list_names(
        &self,
        who: &Credential,
        directory: &nfs_fh3,
        cookie: u64,
        verifier: cookieverf3,
        patience: &Patience,
    ) -> Result<Listed, Fault> {
        let page = self.exchange::<READDIR3resok<'static>, READDIR3resfail>(
            NFS_PROGRAM::NFSPROC3_READDIR,
            who,
            &READDIR3args {
                dir: directory.clone(),
                cookie,
                cookieverf: verifier,
                count: PAGE,
            },
            patience,
        )?;
        Ok(Listed {
            verifier: page.cookieverf,
            last: page.reply.eof,
            entries: page
                .reply
                .entries
                .into_inner()
                .into_iter()
                .map(|entry| Entry {
                    name: entry.name.0.into_owned(),
                    fileid: entry.fileid,
                    kind: None,
                    cookie: entry.cookie,
                })
                .collect(),
        })
    }
}
