//! Names in directories (RFC 1813, section 3.2).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use nfs3_types::nfs3::{filename3, nfsstat3};

use super::status::Outcome;

/// The longest name of a directory entry, in bytes.
pub(crate) const NAME_MAX: usize = 255;

/// The longest target of a symbolic link, in bytes.
pub(crate) const TARGET_MAX: usize = 4095;

/// A name as looked up: also `.` and `..`.
pub(crate) fn looked_up<'a>(name: &'a filename3<'_>) -> Outcome<&'a OsStr> {
    let bytes = name.as_ref();
    if bytes.is_empty() || bytes.contains(&b'/') || bytes.contains(&0) {
        return Err(nfsstat3::NFS3ERR_INVAL);
    }
    if bytes.len() > NAME_MAX {
        return Err(nfsstat3::NFS3ERR_NAMETOOLONG);
    }
    Ok(OsStr::from_bytes(bytes))
}

/// A name of an entry to be made, moved or removed; `reserved` is the status for `.` and `..`.
pub(crate) fn entry<'a>(name: &'a filename3<'_>, reserved: nfsstat3) -> Outcome<&'a OsStr> {
    let name = looked_up(name)?;
    if name == "." || name == ".." {
        return Err(reserved);
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(bytes: &[u8]) -> filename3<'_> {
        filename3::from(bytes)
    }

    #[test]
    fn names_that_could_leave_the_directory_are_refused() {
        for bytes in [&b""[..], b"a/b", b"/", b"a\0b"] {
            assert_eq!(looked_up(&name(bytes)), Err(nfsstat3::NFS3ERR_INVAL));
        }
        assert_eq!(
            looked_up(&name(&[b'x'; 256])),
            Err(nfsstat3::NFS3ERR_NAMETOOLONG)
        );
        assert_eq!(looked_up(&name(&[b'x'; 255])).map(OsStr::len), Ok(NAME_MAX));
    }

    #[test]
    fn dot_names_are_looked_up_but_never_made() {
        for bytes in [&b"."[..], b".."] {
            assert!(looked_up(&name(bytes)).is_ok());
            assert_eq!(
                entry(&name(bytes), nfsstat3::NFS3ERR_EXIST),
                Err(nfsstat3::NFS3ERR_EXIST)
            );
        }
        assert!(entry(&name("…ünïcode".as_bytes()), nfsstat3::NFS3ERR_EXIST).is_ok());
    }
}
