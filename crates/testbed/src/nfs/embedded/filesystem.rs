//! The served directory: what the procedures of NFS share.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nfs3_types::nfs3::{
    Nfs3Option, cookieverf3, fattr3, ftype3, nfs_fh3, nfsstat3, post_op_attr, wcc_data, writeverf3,
};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::access::{self, Credentials};
use super::attributes::{self, attributes};
use super::files;
use super::handles::{Handles, Identity, ROOT, capacity};
use super::owners::Owners;
use super::status::{Outcome, of_errno, of_io};

/// An object of the export with its attributes at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) file: Arc<File>,
    pub(crate) number: u64,
    pub(crate) identity: Identity,
    pub(crate) attributes: fattr3,
}

impl Object {
    /// Whether it is a directory.
    pub(crate) fn is_directory(&self) -> bool {
        self.attributes.type_ == ftype3::NF3DIR
    }
}

/// One served directory.
#[derive(Debug)]
pub(crate) struct FileSystem {
    pub(crate) handles: Handles,
    pub(crate) owners: Owners,
    /// Differs at each start, so that clients send uncommitted data again (RFC 1813, 3.3.7).
    pub(crate) write_verifier: writeverf3,
    pub(crate) cookie_verifier: cookieverf3,
    /// Whether data that a client wants on stable storage is synced.
    pub(crate) durable: bool,
    root_squash: bool,
    changes: Mutex<()>,
    overrides: Mutex<()>,
}

impl FileSystem {
    /// Serves `directory`; `instance` differs at each start.
    pub(crate) fn new(directory: &Path, root_squash: bool, instance: u64) -> std::io::Result<Self> {
        let root = open(
            directory,
            OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?;
        Ok(Self {
            handles: Handles::new(instance, File::from(root), capacity())?,
            owners: Owners::probe(directory)?,
            write_verifier: writeverf3(instance.to_be_bytes()),
            cookie_verifier: cookieverf3(instance.to_be_bytes()),
            durable: true,
            root_squash,
            changes: Mutex::new(()),
            overrides: Mutex::new(()),
        })
    }

    /// The credentials that count for a caller.
    pub(crate) fn caller(&self, credentials: Credentials) -> Credentials {
        if self.root_squash {
            credentials.squashed()
        } else {
            credentials
        }
    }

    /// Held while names, owners or modes are changed, so that what was checked is what is done, and
    /// the attributes before and after belong to this change.
    pub(crate) fn changing(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn as_object(&self, number: u64, file: Arc<File>, metadata: &Metadata) -> Object {
        Object {
            file,
            number,
            identity: Identity::of(metadata),
            attributes: attributes(metadata, self.owners.of(metadata)),
        }
    }

    /// The object of a handle.
    pub(crate) fn object(&self, handle: &nfs_fh3) -> Outcome<Object> {
        let number = self.handles.decode(handle)?;
        let (file, metadata) = self.handles.resolve(number)?;
        Ok(self.as_object(number, file, &metadata))
    }

    /// The object of a handle, which must be a directory.
    pub(crate) fn directory(&self, handle: &nfs_fh3) -> Outcome<Object> {
        let object = self.object(handle)?;
        if object.is_directory() {
            Ok(object)
        } else {
            Err(nfsstat3::NFS3ERR_NOTDIR)
        }
    }

    /// The root of the export.
    pub(crate) fn root(&self) -> Outcome<Object> {
        let (file, metadata) = self.handles.resolve(ROOT)?;
        Ok(self.as_object(ROOT, file, &metadata))
    }

    /// The entry of a directory, without a check of permissions; not for `.` and `..`.
    pub(crate) fn child(&self, directory: &Object, name: &OsStr) -> Outcome<Object> {
        let file = self
            .as_owner(&[&directory.file], || {
                files::open_child(&directory.file, name)
            })
            .map_err(of_errno)?;
        self.adopt(file, Some((directory.number, name)))
    }

    /// Takes an object just opened into the table of handles.
    pub(crate) fn adopt(&self, file: File, seen: Option<(u64, &OsStr)>) -> Outcome<Object> {
        let metadata = file.metadata().map_err(of_io)?;
        let (number, file) = self.handles.intern(file, &metadata, seen);
        Ok(self.as_object(number, file, &metadata))
    }

    /// The attributes of now.
    pub(crate) fn refreshed(&self, object: &Object) -> Outcome<fattr3> {
        let metadata = object.file.metadata().map_err(of_io)?;
        Ok(attributes(&metadata, self.owners.of(&metadata)))
    }

    /// The attributes of now, as replies carry them; left out when they can't be had.
    pub(crate) fn after(&self, object: &Object) -> post_op_attr {
        self.refreshed(object)
            .map_or(Nfs3Option::None, Nfs3Option::Some)
    }

    /// Attributes before, from when the object was resolved, and of now.
    pub(crate) fn wcc(&self, object: &Object) -> wcc_data {
        wcc_data {
            before: Nfs3Option::Some(attributes::before(&object.attributes)),
            after: self.after(object),
        }
    }

    /// `NFS3ERR_ACCES` unless all of `wanted` is granted on the object.
    pub(crate) fn require(who: &Credentials, object: &Object, wanted: u32) -> Outcome<()> {
        if access::permitted(who, &object.attributes, wanted) {
            Ok(())
        } else {
            Err(nfsstat3::NFS3ERR_ACCES)
        }
    }

    /// Carries out what the export has granted. Where owners are in a table, the file system may
    /// refuse it by the mode that is meant for others; then this process, which owns the objects,
    /// gives itself the permission for the moment of the call.
    pub(crate) fn as_owner<T>(
        &self,
        objects: &[&File],
        call: impl Fn() -> nix::Result<T>,
    ) -> nix::Result<T> {
        let result = call();
        if !matches!(result, Err(Errno::EACCES)) || !self.owners.is_table() {
            return result;
        }
        let _one_at_a_time = self.override_lock();
        let mut raised: Vec<(&File, u32)> = Vec::new();
        for file in objects {
            let Ok(metadata) = file.metadata() else {
                continue;
            };
            let mode = attributes(&metadata, (0, 0)).mode;
            if mode & 0o700 != 0o700 && files::set_mode(file, mode | 0o700).is_ok() {
                raised.push((file, mode));
            }
        }
        let result = call();
        for (file, mode) in raised {
            if let Err(error) = files::set_mode(file, mode) {
                // Only possible for an object that is gone.
                tracing::debug!(%error, mode, "mode of an object was not put back");
            }
        }
        result
    }

    /// Held while a mode is raised for a moment, and while one is set.
    pub(crate) fn override_lock(&self) -> MutexGuard<'_, ()> {
        self.overrides
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops an object from the tables if its last name is gone.
    pub(crate) fn forget_if_gone(&self, object: &Object) {
        let gone = object.is_directory()
            || object
                .file
                .metadata()
                .is_ok_and(|metadata| std::os::unix::fs::MetadataExt::nlink(&metadata) == 0);
        if gone {
            self.handles.forget(object.number);
            self.owners.forget(&object.identity);
        }
    }
}
