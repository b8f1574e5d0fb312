//! Who owns what.
//!
//! As root the file system keeps the owners. Without root nobody can give files away, so a table
//! of this server keeps them: it holds what the protocol set, by the identity of the object. What
//! is not in the table and belongs to this process's user is reported as user 0's, since that user
//! has the rights of root over the directory; what belongs to others is reported as it is.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use nix::unistd::{getegid, geteuid};

use super::files;
use super::handles::Identity;

/// Two numbers that are not an owner of anything by chance, for the trial.
const TRIAL: (u32, u32) = (61_733, 61_734);

/// Where owners are kept.
#[derive(Debug)]
pub(crate) enum Owners {
    /// On the file system.
    Real,
    /// In a table; the fields are this process's user and group.
    Table {
        uid: u32,
        gid: u32,
        given: Mutex<HashMap<Identity, (u32, u32)>>,
    },
}

impl Owners {
    /// Finds out by a trial on an unnamed file whether files can be given away in `directory`. A
    /// user namespace or a file system may refuse that to root too.
    pub(crate) fn probe(directory: &Path) -> std::io::Result<Self> {
        if geteuid().is_root() {
            let trial = tempfile::tempfile_in(directory)?;
            let given = files::set_owner(&trial, Some(TRIAL.0), Some(TRIAL.1)).is_ok();
            let found = trial.metadata()?;
            if given && (found.uid(), found.gid()) == TRIAL {
                return Ok(Self::Real);
            }
        }
        Ok(Self::table(geteuid().as_raw(), getegid().as_raw()))
    }

    /// An empty table for a process of this user and group.
    pub(crate) fn table(uid: u32, gid: u32) -> Self {
        Self::Table {
            uid,
            gid,
            given: Mutex::default(),
        }
    }

    /// Whether the file system itself might refuse what the export grants.
    pub(crate) fn is_table(&self) -> bool {
        matches!(self, Self::Table { .. })
    }

    /// The owner and group that the export reports.
    pub(crate) fn of(&self, metadata: &Metadata) -> (u32, u32) {
        match self {
            Self::Real => (metadata.uid(), metadata.gid()),
            Self::Table { uid, gid, given } => given
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get(&Identity::of(metadata))
                .copied()
                .unwrap_or_else(|| {
                    (
                        if metadata.uid() == *uid {
                            0
                        } else {
                            metadata.uid()
                        },
                        if metadata.gid() == *gid {
                            0
                        } else {
                            metadata.gid()
                        },
                    )
                }),
        }
    }

    /// Sets owner, group or both.
    pub(crate) fn set(&self, file: &File, uid: Option<u32>, gid: Option<u32>) -> nix::Result<()> {
        match self {
            Self::Real => files::set_owner(file, uid, gid),
            Self::Table { given, .. } => {
                let metadata = file.metadata().map_err(|_| nix::errno::Errno::EIO)?;
                let present = self.of(&metadata);
                given.lock().unwrap_or_else(PoisonError::into_inner).insert(
                    Identity::of(&metadata),
                    (uid.unwrap_or(present.0), gid.unwrap_or(present.1)),
                );
                Ok(())
            }
        }
    }

    /// Drops what is known of an object whose last name is gone.
    pub(crate) fn forget(&self, identity: &Identity) {
        if let Self::Table { given, .. } = self {
            given
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(identity);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_reports_what_was_given_and_this_user_as_root() {
        let file = tempfile::tempfile().expect("a temporary file");
        let metadata = file.metadata().expect("its metadata");
        let owners = Owners::table(metadata.uid(), metadata.gid());
        assert_eq!(owners.of(&metadata), (0, 0));
        owners.set(&file, Some(1000), None).expect("set the user");
        assert_eq!(owners.of(&metadata), (1000, 0));
        owners.set(&file, None, Some(2000)).expect("set the group");
        assert_eq!(owners.of(&metadata), (1000, 2000));
        owners.forget(&Identity::of(&metadata));
        assert_eq!(owners.of(&metadata), (0, 0));
    }

    #[test]
    fn files_of_other_users_keep_their_owner() {
        let file = tempfile::tempfile().expect("a temporary file");
        let metadata = file.metadata().expect("its metadata");
        let owners = Owners::table(metadata.uid() + 1, metadata.gid() + 1);
        assert_eq!(owners.of(&metadata), (metadata.uid(), metadata.gid()));
    }
}
