//! Single looks and changes.

use nfs3_types::nfs3::{
    ACCESS3_EXTEND, ACCESS3_MODIFY, ACCESS3_READ, CREATE3args, LINK3args, MKDIR3args, Nfs3Option,
    READ3args, READLINK3args, RENAME3args, SETATTR3args, SYMLINK3args, WRITE3args, createhow3,
    nfs_fh3, nfspath3, nfsstat3, sattr3, stable_how, symlinkdata3,
};
use nfs3_types::xdr_codec::Opaque;

use super::client::{entry_of, file_stat};
use super::manifest::FileStat;
use super::{ExportView, ViewError};

/// The most data of one call.
const BLOCK: u32 = 256 * 1024;

fn with_mode(mode: u32) -> sattr3 {
    sattr3 {
        mode: Nfs3Option::Some(mode),
        ..sattr3::default()
    }
}

impl ExportView {
    /// Attributes of the object itself; `None` when there is no such thing.
    ///
    /// # Errors
    /// When the server refuses, or does not answer.
    pub async fn stat(&self, path: &str) -> Result<Option<FileStat>, ViewError> {
        let found = self.find_if_there(path).await?;
        Ok(found.map(|(_, attributes)| file_stat(&attributes)))
    }

    /// The content of a regular file.
    ///
    /// # Errors
    /// When it is missing or may not be read, when the server refuses, or does not answer.
    pub async fn read(&self, path: &str) -> Result<Vec<u8>, ViewError> {
        let (file, _) = self.find(path).await?;
        self.require(&file, path, ACCESS3_READ).await?;
        self.read_object(&file, path).await
    }

    pub(crate) async fn read_object(
        &self,
        file: &nfs_fh3,
        path: &str,
    ) -> Result<Vec<u8>, ViewError> {
        let mut content = Vec::new();
        loop {
            let offset = content.len() as u64;
            let result = self
                .look("READ", path, |client| {
                    let file = file.clone();
                    Box::pin(async move {
                        let count = BLOCK;
                        let args = READ3args {
                            file,
                            offset,
                            count,
                        };
                        client.read(&args).await
                    })
                })
                .await?;
            let block = self.checked("READ", path, result)?;
            content.extend(block.data.as_ref());
            if block.eof {
                return Ok(content);
            }
            if block.data.is_empty() {
                // Neither data nor an end: a server's fault, and an endless loop otherwise.
                return Err(self.refused("READ", path, nfsstat3::NFS3ERR_SERVERFAULT));
            }
        }
    }

    /// Where a symbolic link leads; bytes that are no UTF-8 are replaced.
    ///
    /// # Errors
    /// When it is missing or no link, when the server refuses, or does not answer.
    pub async fn read_link(&self, path: &str) -> Result<String, ViewError> {
        let (link, _) = self.find(path).await?;
        self.target_of(&link, path).await
    }

    pub(crate) async fn target_of(&self, link: &nfs_fh3, path: &str) -> Result<String, ViewError> {
        let result = self
            .look("READLINK", path, |client| {
                let symlink = link.clone();
                Box::pin(async move { client.readlink(&READLINK3args { symlink }).await })
            })
            .await?;
        let target = self.checked("READLINK", path, result)?.data;
        Ok(String::from_utf8_lossy(target.as_ref()).into_owned())
    }

    /// Makes a file of mode 0644 or truncates one, and writes its content to stable storage.
    ///
    /// # Errors
    /// When the server refuses, or does not answer; the file may be there in part then.
    pub async fn write(&self, path: &str, bytes: &[u8]) -> Result<(), ViewError> {
        let (directory, name) = self.place("CREATE", path).await?;
        match self.child(&directory, name, path).await {
            Ok((present, _)) => {
                self.require(&present, path, ACCESS3_MODIFY | ACCESS3_EXTEND)
                    .await?;
            }
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error),
        }
        let result = self
            .change("CREATE", path, |client| {
                let (directory, name) = (directory.clone(), name.to_owned());
                Box::pin(async move {
                    let how = createhow3::UNCHECKED(sattr3 {
                        size: Nfs3Option::Some(0),
                        ..with_mode(0o644)
                    });
                    let where_ = entry_of(&directory, &name);
                    client.create(&CREATE3args { where_, how }).await
                })
            })
            .await?;
        let file = match self.checked("CREATE", path, result)?.obj {
            Nfs3Option::Some(file) => file,
            Nfs3Option::None => self.child(&directory, name, path).await?.0,
        };
        let mut written = 0;
        while written < bytes.len() {
            let block = &bytes[written..bytes.len().min(written + BLOCK as usize)];
            let offset = written as u64;
            let count = u32::try_from(block.len()).unwrap_or(BLOCK);
            let result = self
                .change("WRITE", path, |client| {
                    let (file, block) = (file.clone(), block.to_vec());
                    Box::pin(async move {
                        let args = WRITE3args {
                            file,
                            offset,
                            count,
                            stable: stable_how::FILE_SYNC,
                            data: Opaque::owned(block),
                        };
                        client.write(&args).await
                    })
                })
                .await?;
            let accepted = self.checked("WRITE", path, result)?.count;
            if accepted == 0 {
                return Err(self.refused("WRITE", path, nfsstat3::NFS3ERR_SERVERFAULT));
            }
            written += accepted as usize;
        }
        Ok(())
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// When the server refuses, or does not answer.
    pub async fn mkdir(&self, path: &str, mode: u32) -> Result<(), ViewError> {
        let (directory, name) = self.place("MKDIR", path).await?;
        let result = self
            .change("MKDIR", path, |client| {
                let (directory, name) = (directory.clone(), name.to_owned());
                Box::pin(async move {
                    let where_ = entry_of(&directory, &name);
                    let attributes = with_mode(mode);
                    client.mkdir(&MKDIR3args { where_, attributes }).await
                })
            })
            .await?;
        self.checked("MKDIR", path, result).map(drop)
    }

    /// Makes a symbolic link at `path` that leads to `target`, whatever that is.
    ///
    /// # Errors
    /// When the server refuses, or does not answer.
    pub async fn symlink(&self, path: &str, target: &str) -> Result<(), ViewError> {
        let (directory, name) = self.place("SYMLINK", path).await?;
        let result = self
            .change("SYMLINK", path, |client| {
                let (directory, name) = (directory.clone(), name.to_owned());
                let target = target.as_bytes().to_vec();
                Box::pin(async move {
                    let args = SYMLINK3args {
                        where_: entry_of(&directory, &name),
                        symlink: symlinkdata3 {
                            symlink_attributes: sattr3::default(),
                            symlink_data: nfspath3::from(target),
                        },
                    };
                    client.symlink(&args).await
                })
            })
            .await?;
        self.checked("SYMLINK", path, result).map(drop)
    }

    /// Gives the object at `from` the name `to` as well.
    ///
    /// # Errors
    /// When the server refuses, or does not answer.
    pub async fn link(&self, from: &str, to: &str) -> Result<(), ViewError> {
        let (file, _) = self.find(from).await?;
        let (directory, name) = self.place("LINK", to).await?;
        let result = self
            .change("LINK", to, |client| {
                let (file, directory, name) = (file.clone(), directory.clone(), name.to_owned());
                Box::pin(async move {
                    let link = entry_of(&directory, &name);
                    client.link(&LINK3args { file, link }).await
                })
            })
            .await?;
        self.checked("LINK", to, result).map(drop)
    }

    /// Moves the object at `from` to `to`, in one step; what is there is replaced if it may be.
    ///
    /// # Errors
    /// When the server refuses, or does not answer.
    pub async fn rename(&self, from: &str, to: &str) -> Result<(), ViewError> {
        let (old_directory, old_name) = self.place("RENAME", from).await?;
        let (new_directory, new_name) = self.place("RENAME", to).await?;
        let result = self
            .change("RENAME", from, |client| {
                let (old_directory, old_name) = (old_directory.clone(), old_name.to_owned());
                let (new_directory, new_name) = (new_directory.clone(), new_name.to_owned());
                Box::pin(async move {
                    let from = entry_of(&old_directory, &old_name);
                    let to = entry_of(&new_directory, &new_name);
                    client.rename(&RENAME3args { from, to }).await
                })
            })
            .await?;
        self.checked("RENAME", from, result).map(drop)
    }

    /// Sets the permission bits.
    ///
    /// # Errors
    /// When the server refuses, or does not answer.
    pub async fn chmod(&self, path: &str, mode: u32) -> Result<(), ViewError> {
        self.set_attributes(path, with_mode(mode)).await
    }

    /// Gives the object to a user and group.
    ///
    /// # Errors
    /// When the server refuses, or does not answer.
    pub async fn chown(&self, path: &str, uid: u32, gid: u32) -> Result<(), ViewError> {
        let new = sattr3 {
            uid: Nfs3Option::Some(uid),
            gid: Nfs3Option::Some(gid),
            ..sattr3::default()
        };
        self.set_attributes(path, new).await
    }

    async fn set_attributes(&self, path: &str, new: sattr3) -> Result<(), ViewError> {
        let (object, _) = self.find(path).await?;
        let result = self
            .change("SETATTR", path, |client| {
                let args = SETATTR3args {
                    object: object.clone(),
                    new_attributes: new.clone(),
                    guard: Nfs3Option::None,
                };
                Box::pin(async move { client.setattr(&args).await })
            })
            .await?;
        self.checked("SETATTR", path, result).map(drop)
    }
}
