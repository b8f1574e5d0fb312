//! Calls that find, make and describe objects.

use nfs3_types::nfs3::{
    ACCESS3args, ACCESS3resfail, ACCESS3resok, CREATE3args, CREATE3resfail, CREATE3resok,
    GETATTR3args, GETATTR3resok, LOOKUP3args, LOOKUP3resfail, LOOKUP3resok, MKDIR3args,
    MKDIR3resfail, MKDIR3resok, MKNOD3args, MKNOD3resfail, MKNOD3resok, NFS_PROGRAM, Nfs3Option,
    READLINK3args, READLINK3resfail, READLINK3resok, SETATTR3args, SETATTR3resfail, SETATTR3resok,
    SYMLINK3args, SYMLINK3resfail, SYMLINK3resok, createhow3, fattr3, mknoddata3, nfs_fh3,
    nfspath3, sattr3, symlinkdata3,
};
use nfs3_types::xdr_codec::Void;

use super::{Client, Fault, Made, Outcome, entry};
use crate::client::new_object;
use crate::identity::Credential;
use crate::rpc::Patience;

impl Client {
    /// GETATTR. It needs no rights, so it goes as user 0.
    pub(crate) fn attributes(&self, object: &nfs_fh3, patience: &Patience) -> Outcome<fattr3> {
        self.exchange::<GETATTR3resok, Void>(
            NFS_PROGRAM::NFSPROC3_GETATTR,
            &self.anybody,
            &GETATTR3args {
                object: object.clone(),
            },
            patience,
        )
        .map(|found| found.obj_attributes)
        .map_err(Fault::errno)
    }

    /// SETATTR.
    pub(crate) fn set_attributes(
        &self,
        who: &Credential,
        object: &nfs_fh3,
        new_attributes: sattr3,
        patience: &Patience,
    ) -> Outcome<fattr3> {
        let set: SETATTR3resok = self
            .exchange::<_, SETATTR3resfail>(
                NFS_PROGRAM::NFSPROC3_SETATTR,
                who,
                &SETATTR3args {
                    object: object.clone(),
                    new_attributes,
                    guard: Nfs3Option::None,
                },
                patience,
            )
            .map_err(Fault::errno)?;
        match set.obj_wcc.after {
            Nfs3Option::Some(attributes) => Ok(attributes),
            Nfs3Option::None => self.attributes(object, patience),
        }
    }

    /// LOOKUP.
    pub(crate) fn lookup(
        &self,
        who: &Credential,
        directory: &nfs_fh3,
        name: &[u8],
        patience: &Patience,
    ) -> Outcome<Made> {
        let found: LOOKUP3resok = self
            .exchange::<_, LOOKUP3resfail>(
                NFS_PROGRAM::NFSPROC3_LOOKUP,
                who,
                &LOOKUP3args {
                    what: entry(directory, name),
                },
                patience,
            )
            .map_err(Fault::errno)?;
        self.with_attributes(found.object, found.obj_attributes, patience)
    }

    pub(super) fn with_attributes(
        &self,
        handle: nfs_fh3,
        attributes: Nfs3Option<fattr3>,
        patience: &Patience,
    ) -> Outcome<Made> {
        let attributes = match attributes {
            Nfs3Option::Some(attributes) => attributes,
            Nfs3Option::None => self.attributes(&handle, patience)?,
        };
        Ok(Made { handle, attributes })
    }

    /// ACCESS: what is granted of `wanted`, and the attributes, if the server tells them.
    pub(crate) fn access(
        &self,
        who: &Credential,
        object: &nfs_fh3,
        wanted: u32,
        patience: &Patience,
    ) -> Outcome<(u32, Option<fattr3>)> {
        self.exchange::<ACCESS3resok, ACCESS3resfail>(
            NFS_PROGRAM::NFSPROC3_ACCESS,
            who,
            &ACCESS3args {
                object: object.clone(),
                access: wanted,
            },
            patience,
        )
        .map(|granted| {
            let attributes = match granted.obj_attributes {
                Nfs3Option::Some(attributes) => Some(attributes),
                Nfs3Option::None => None,
            };
            (granted.access, attributes)
        })
        .map_err(Fault::errno)
    }

    /// READLINK.
    pub(crate) fn read_link(
        &self,
        who: &Credential,
        link: &nfs_fh3,
        patience: &Patience,
    ) -> Outcome<Vec<u8>> {
        self.exchange::<READLINK3resok<'static>, READLINK3resfail>(
            NFS_PROGRAM::NFSPROC3_READLINK,
            who,
            &READLINK3args {
                symlink: link.clone(),
            },
            patience,
        )
        .map(|found| found.data.0.into_owned())
        .map_err(Fault::errno)
    }

    /// An object that was just made. A server need not tell its handle; then it is looked up.
    pub(super) fn made(
        &self,
        who: &Credential,
        place: (&nfs_fh3, &[u8]),
        handle: Nfs3Option<nfs_fh3>,
        attributes: Nfs3Option<fattr3>,
        patience: &Patience,
    ) -> Outcome<Made> {
        match handle {
            Nfs3Option::Some(handle) => self.with_attributes(handle, attributes, patience),
            Nfs3Option::None => self.lookup(who, place.0, place.1, patience),
        }
    }

    /// CREATE.
    pub(crate) fn create(
        &self,
        who: &Credential,
        directory: &nfs_fh3,
        name: &[u8],
        how: createhow3,
        patience: &Patience,
    ) -> Outcome<Made> {
        let made: CREATE3resok = self
            .exchange::<_, CREATE3resfail>(
                NFS_PROGRAM::NFSPROC3_CREATE,
                who,
                &CREATE3args {
                    where_: entry(directory, name),
                    how,
                },
                patience,
            )
            .map_err(Fault::errno)?;
        self.made(
            who,
            (directory, name),
            made.obj,
            made.obj_attributes,
            patience,
        )
    }

    /// MKDIR.
    pub(crate) fn make_directory(
        &self,
        who: &Credential,
        directory: &nfs_fh3,
        name: &[u8],
        attributes: sattr3,
        patience: &Patience,
    ) -> Outcome<Made> {
        let made: MKDIR3resok = self
            .exchange::<_, MKDIR3resfail>(
                NFS_PROGRAM::NFSPROC3_MKDIR,
                who,
                &MKDIR3args {
                    where_: entry(directory, name),
                    attributes,
                },
                patience,
            )
            .map_err(Fault::errno)?;
        self.made(
            who,
            (directory, name),
            made.obj,
            made.obj_attributes,
            patience,
        )
    }

    /// SYMLINK.
    pub(crate) fn make_link(
        &self,
        who: &Credential,
        directory: &nfs_fh3,
        name: &[u8],
        target: &[u8],
        patience: &Patience,
    ) -> Outcome<Made> {
        let made: SYMLINK3resok = self
            .exchange::<_, SYMLINK3resfail>(
                NFS_PROGRAM::NFSPROC3_SYMLINK,
                who,
                &SYMLINK3args {
                    where_: entry(directory, name),
                    symlink: symlinkdata3 {
                        symlink_attributes: new_object(0o777),
                        symlink_data: nfspath3::from(target),
                    },
                },
                patience,
            )
            .map_err(Fault::errno)?;
        self.made(
            who,
            (directory, name),
            made.obj,
            made.obj_attributes,
            patience,
        )
    }

    /// MKNOD.
    pub(crate) fn make_special(
        &self,
        who: &Credential,
        directory: &nfs_fh3,
        name: &[u8],
        what: mknoddata3,
        patience: &Patience,
    ) -> Outcome<Made> {
        let made: MKNOD3resok = self
            .exchange::<_, MKNOD3resfail>(
                NFS_PROGRAM::NFSPROC3_MKNOD,
                who,
                &MKNOD3args {
                    where_: entry(directory, name),
                    what,
                },
                patience,
            )
            .map_err(Fault::errno)?;
        self.made(
            who,
            (directory, name),
            made.obj,
            made.obj_attributes,
            patience,
        )
    }
}
