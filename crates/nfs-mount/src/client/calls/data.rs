//! Calls that move data.

use std::sync::Arc;

use nfs3_types::nfs3::{
    COMMIT3args, COMMIT3resfail, COMMIT3resok, NFS_PROGRAM, READ3args, READ3resfail, READ3resok,
    WRITE3resfail, WRITE3resok, nfs_fh3, stable_how, writeverf3,
};
use nfs3_types::xdr_codec::Pack;
use nix::errno::Errno;

use super::{Client, Fault, Outcome, Written};
use crate::identity::Credential;
use crate::rpc::Patience;

impl Client {
    /// READ: data, and whether the file ends there.
    pub(crate) fn read(
        &self,
        who: &Credential,
        file: &nfs_fh3,
        offset: u64,
        count: u32,
        patience: &Patience,
    ) -> Outcome<(Vec<u8>, bool)> {
        self.exchange::<READ3resok<'static>, READ3resfail>(
            NFS_PROGRAM::NFSPROC3_READ,
            who,
            &READ3args {
                file: file.clone(),
                offset,
                count,
            },
            patience,
        )
        .map(|read| (read.data.into_owned(), read.eof))
        .map_err(Fault::errno)
    }

    /// WRITE. The data must not be empty.
    pub(crate) fn write(
        &self,
        who: &Credential,
        file: &nfs_fh3,
        offset: u64,
        data: &Arc<[u8]>,
        stable: bool,
        patience: &Patience,
    ) -> Result<Written, Fault> {
        let stable = if stable {
            stable_how::FILE_SYNC
        } else {
            stable_how::UNSTABLE
        };
        let count = u32::try_from(data.len()).map_err(|_| Fault::Link(Errno::EINVAL))?;
        self.exchange_data::<WRITE3resok, WRITE3resfail>(
            NFS_PROGRAM::NFSPROC3_WRITE,
            who,
            &WriteArguments(file, offset, count, stable),
            data,
            patience,
        )
        .map(|written| Written {
            count: written.count.min(count),
            stable: written.committed != stable_how::UNSTABLE,
            verifier: written.verf,
        })
    }

    /// COMMIT of a whole file: the server's verifier.
    pub(crate) fn commit(
        &self,
        who: &Credential,
        file: &nfs_fh3,
        patience: &Patience,
    ) -> Result<writeverf3, Fault> {
        self.exchange::<COMMIT3resok, COMMIT3resfail>(
            NFS_PROGRAM::NFSPROC3_COMMIT,
            who,
            &COMMIT3args {
                file: file.clone(),
                offset: 0,
                count: 0,
            },
            patience,
        )
        .map(|committed| committed.verf)
    }
}

/// The arguments of WRITE up to its data.
struct WriteArguments<'a>(&'a nfs_fh3, u64, u32, stable_how);

impl Pack for WriteArguments<'_> {
    fn packed_size(&self) -> usize {
        self.0.packed_size() + 8 + 4 + 4
    }

    fn pack(&self, output: &mut impl std::io::Write) -> nfs3_types::xdr_codec::Result<usize> {
        let Self(file, offset, count, stable) = self;
        Ok(
            file.pack(output)?
                + offset.pack(output)?
                + count.pack(output)?
                + stable.pack(output)?,
        )
    }
}
