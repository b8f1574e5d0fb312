//! Calls that take names away, change them, or add one.

use nfs3_types::nfs3::{
    LINK3args, LINK3resfail, LINK3resok, NFS_PROGRAM, REMOVE3args, REMOVE3resfail, REMOVE3resok,
    RENAME3args, RENAME3resfail, RENAME3resok, RMDIR3args, RMDIR3resfail, RMDIR3resok, nfs_fh3,
    nfsstat3,
};
use nix::errno::Errno;

use super::{Client, Fault, Made, Outcome, entry};
use crate::identity::Credential;
use crate::rpc::Patience;

impl Client {
    /// REMOVE. A repeated call that finds nothing has done its work before.
    pub(crate) fn remove(
        &self,
        who: &Credential,
        directory: &nfs_fh3,
        name: &[u8],
        patience: &Patience,
    ) -> Outcome<()> {
        self.exchange::<REMOVE3resok, REMOVE3resfail>(
            NFS_PROGRAM::NFSPROC3_REMOVE,
            who,
            &REMOVE3args {
                object: entry(directory, name),
            },
            patience,
        )
        .map(drop)
        .or_else(done_before)
    }

    /// RMDIR. As REMOVE.
    pub(crate) fn remove_directory(
        &self,
        who: &Credential,
        directory: &nfs_fh3,
        name: &[u8],
        patience: &Patience,
    ) -> Outcome<()> {
        self.exchange::<RMDIR3resok, RMDIR3resfail>(
            NFS_PROGRAM::NFSPROC3_RMDIR,
            who,
            &RMDIR3args {
                object: entry(directory, name),
            },
            patience,
        )
        .map(drop)
        .or_else(done_before)
    }

    /// RENAME, of the object `moved` if that is known: a repeated call that finds nothing to
    /// rename has done its work before if that very object is at the new place.
    pub(crate) fn rename(
        &self,
        who: &Credential,
        from: (&nfs_fh3, &[u8]),
        to: (&nfs_fh3, &[u8]),
        moved: Option<&nfs_fh3>,
        patience: &Patience,
    ) -> Outcome<()> {
        let result = self.exchange::<RENAME3resok, RENAME3resfail>(
            NFS_PROGRAM::NFSPROC3_RENAME,
            who,
            &RENAME3args {
                from: entry(from.0, from.1),
                to: entry(to.0, to.1),
            },
            patience,
        );
        match result {
            Ok(_) => Ok(()),
            Err(Fault::Refused(nfsstat3::NFS3ERR_NOENT, true)) if moved.is_some() => {
                let there = self.lookup(who, to.0, to.1, patience)?;
                if Some(&there.handle) == moved {
                    Ok(())
                } else {
                    Err(Errno::ENOENT)
                }
            }
            Err(fault) => Err(fault.errno()),
        }
    }

    /// LINK: the object's attributes with one more name.
    pub(crate) fn link_to(
        &self,
        who: &Credential,
        file: &nfs_fh3,
        directory: &nfs_fh3,
        name: &[u8],
        patience: &Patience,
    ) -> Outcome<Made> {
        let linked: LINK3resok = self
            .exchange::<_, LINK3resfail>(
                NFS_PROGRAM::NFSPROC3_LINK,
                who,
                &LINK3args {
                    file: file.clone(),
                    link: entry(directory, name),
                },
                patience,
            )
            .map_err(Fault::errno)?;
        self.with_attributes(file.clone(), linked.file_attributes, patience)
    }
}

/// A repeated call that finds nothing has done its work the first time.
fn done_before(fault: Fault) -> Outcome<()> {
    match fault {
        Fault::Refused(nfsstat3::NFS3ERR_NOENT, true) => Ok(()),
        fault => Err(fault.errno()),
    }
}
