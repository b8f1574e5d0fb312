//! A call by its name: procedure and paths.

use std::fmt;
use std::io::Cursor;

use nfs3_types::mount::PROGRAM as MOUNT;
use nfs3_types::nfs3::{LINK3args, NFS_PROGRAM, PROGRAM as NFS, RENAME3args, diropargs3, nfs_fh3};
use nfs3_types::xdr_codec::Unpack;

use super::handles::{Handles, UNKNOWN};
use crate::nfs::embedded::RpcCall;

/// The longest handle (RFC 1813, section 2.4).
const HANDLE_MAX: usize = 64;

/// A call, by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NfsCall {
    /// `MKDIR`, `WRITE`, ... of NFS; `MNT`, `UMNT`, ... of MOUNT; program and number of others.
    pub procedure: String,
    /// The object it is about, below the export's root, without a leading slash; empty for the
    /// root. The exported path for MNT.
    pub path: String,
    /// Where a RENAME or LINK leads.
    pub to: Option<String>,
    pub(super) shape: Shape,
}

/// What is known of the answer's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Shape {
    Nfs(u32),
    Mount(u32),
    Other,
}

impl fmt::Display for NfsCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} /{}", self.procedure, self.path)?;
        match &self.to {
            Some(to) => write!(f, " -> /{to}"),
            None => Ok(()),
        }
    }
}

impl NfsCall {
    /// Names a call.
    pub(super) fn read(call: &RpcCall<'_>, handles: &Handles) -> Self {
        match call.program {
            NFS => Self::nfs(call.procedure, call.arguments, handles),
            MOUNT => Self::mount(call.procedure, call.arguments),
            program => Self {
                procedure: format!("{program}/{}", call.procedure),
                path: UNKNOWN.to_owned(),
                to: None,
                shape: Shape::Other,
            },
        }
    }

    fn nfs(number: u32, arguments: &[u8], handles: &Handles) -> Self {
        let procedure = NFS_PROGRAM::try_from(number).map_or_else(
            |_| format!("NFS/{number}"),
            |procedure| format!("{procedure:?}").replace("NFSPROC3_", ""),
        );
        let mut cursor = Cursor::new(arguments);
        let child = |place: &diropargs3<'_>| handles.child(&place.dir.data, &place.name.0);
        let (path, to) = match procedure.as_str() {
            "LOOKUP" | "CREATE" | "MKDIR" | "SYMLINK" | "MKNOD" | "REMOVE" | "RMDIR" => {
                (place(&mut cursor).map(|place| child(&place)), None)
            }
            "RENAME" => match read::<RENAME3args<'_, '_>>(&mut cursor) {
                Some(rename) => (Some(child(&rename.from)), Some(child(&rename.to))),
                None => (None, None),
            },
            "LINK" => match read::<LINK3args<'_>>(&mut cursor) {
                Some(link) => (Some(handles.path(&link.file.data)), Some(child(&link.link))),
                None => (None, None),
            },
            "NULL" => (Some(String::new()), None),
            _ => (
                handle(&mut cursor).map(|handle| handles.path(&handle.data)),
                None,
            ),
        };
        Self {
            procedure,
            path: path.unwrap_or_else(|| UNKNOWN.to_owned()),
            to,
            shape: Shape::Nfs(number),
        }
    }

    fn mount(number: u32, arguments: &[u8]) -> Self {
        let names = ["NULL", "MNT", "DUMP", "UMNT", "UMNTALL", "EXPORT"];
        let name = usize::try_from(number).ok().and_then(|at| names.get(at));
        Self {
            procedure: name.map_or_else(
                || format!("MOUNT/{number}"),
                |name| {
                    if number == 0 {
                        "MOUNT/NULL".to_owned()
                    } else {
                        (*name).to_owned()
                    }
                },
            ),
            path: match number {
                1 | 3 => opaque(arguments)
                    .map(|path| String::from_utf8_lossy(path).into_owned())
                    .unwrap_or_default(),
                _ => String::new(),
            },
            to: None,
            shape: Shape::Mount(number),
        }
    }

    /// Whether it changes something on the server.
    pub fn changes(&self) -> bool {
        matches!(
            self.procedure.as_str(),
            "SETATTR"
                | "WRITE"
                | "CREATE"
                | "MKDIR"
                | "SYMLINK"
                | "MKNOD"
                | "REMOVE"
                | "RMDIR"
                | "RENAME"
                | "LINK"
                | "COMMIT"
        )
    }

    /// Whether `text` is part of a path of it.
    pub fn is_about(&self, text: &str) -> bool {
        self.path.contains(text) || self.to.as_deref().is_some_and(|to| to.contains(text))
    }

    /// How many empty words follow the status in its refusal: none of the optional attributes that
    /// RFC 1813 section 3.3 puts there. `None` for a call without a status.
    pub(super) fn words_after_status(&self) -> Option<usize> {
        match self.shape {
            // post_op_attr is one word when it is absent, wcc_data two.
            Shape::Nfs(1) | Shape::Mount(1) => Some(0),
            Shape::Nfs(3..=6 | 16..=20) => Some(1),
            Shape::Nfs(2 | 7..=13 | 21) => Some(2),
            Shape::Nfs(15) => Some(3),
            Shape::Nfs(14) => Some(4),
            Shape::Nfs(_) | Shape::Mount(_) | Shape::Other => None,
        }
    }

    /// Learns from the result of the call, which begins with its status.
    pub(super) fn learn(&self, result: &[u8], handles: &Handles) {
        let Some((status, rest)) = word(result) else {
            return;
        };
        if status != 0 {
            return;
        }
        match self.shape {
            Shape::Mount(1) => {
                if let Some(handle) = opaque(rest) {
                    handles.learn(handle, "");
                }
            }
            Shape::Nfs(3) => {
                if let Some(handle) = opaque(rest) {
                    handles.learn(handle, &self.path);
                }
            }
            // The handle of what was made is optional.
            Shape::Nfs(8..=11) => {
                if let Some((1, rest)) = word(rest)
                    && let Some(handle) = opaque(rest)
                {
                    handles.learn(handle, &self.path);
                }
            }
            Shape::Nfs(14) => {
                if let Some(to) = &self.to {
                    handles.renamed(&self.path, to);
                }
            }
            _ => {}
        }
    }
}

fn read<T: Unpack>(cursor: &mut Cursor<&[u8]>) -> Option<T> {
    guard(cursor)?;
    T::unpack(cursor).ok().map(|(value, _)| value)
}

fn place(cursor: &mut Cursor<&[u8]>) -> Option<diropargs3<'static>> {
    read(cursor)
}

fn handle(cursor: &mut Cursor<&[u8]>) -> Option<nfs_fh3> {
    read(cursor)
}

/// The library's decoder reserves whatever length is claimed: what is longer than any call is not
/// decoded.
fn guard(cursor: &Cursor<&[u8]>) -> Option<()> {
    let rest = cursor
        .get_ref()
        .get(usize::try_from(cursor.position()).ok()?..)?;
    let (length, _) = word(rest)?;
    (length as usize <= HANDLE_MAX).then_some(())
}

fn word(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (word, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*word), rest))
}

/// The bytes of a variable-length opaque at the beginning.
fn opaque(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = word(bytes)?;
    rest.get(..length as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opaque_words(data: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(data.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn handles() -> Handles {
        let handles = Handles::default();
        handles.learn(b"root", "");
        handles.learn(b"dir1", "a/b");
        handles
    }

    #[test]
    fn calls_are_named_by_procedure_and_path() {
        let handles = handles();
        let mkdir = [opaque_words(b"dir1"), opaque_words(b"c")].concat();
        assert_eq!(
            NfsCall::nfs(9, &mkdir, &handles).to_string(),
            "MKDIR /a/b/c"
        );
        let rename = [
            opaque_words(b"root"),
            opaque_words(b"x"),
            opaque_words(b"dir1"),
            opaque_words(b"y"),
        ]
        .concat();
        let rename = NfsCall::nfs(14, &rename, &handles);
        assert_eq!(rename.to_string(), "RENAME /x -> /a/b/y");
        assert!(rename.changes() && rename.is_about("b/y") && !rename.is_about("z"));
        let write = NfsCall::nfs(7, &opaque_words(b"dir1"), &handles);
        assert_eq!(write.to_string(), "WRITE /a/b");
        assert_eq!(
            NfsCall::mount(1, &opaque_words(b"/export")).to_string(),
            "MNT //export"
        );
    }

    #[test]
    fn garbage_has_no_path_and_breaks_nothing() {
        let handles = handles();
        for arguments in [&[0xff; 8][..], &[0, 0, 0, 1], &[]] {
            for number in 0..23 {
                let call = NfsCall::nfs(number, arguments, &handles);
                assert!(["", "?"].contains(&call.path.as_str()), "{call}");
                call.learn(arguments, &handles);
            }
        }
    }

    #[test]
    fn answers_teach_paths() {
        let handles = handles();
        let lookup = [opaque_words(b"dir1"), opaque_words(b"c")].concat();
        let lookup = NfsCall::nfs(3, &lookup, &handles);
        let found = [vec![0; 4], opaque_words(b"new1")].concat();
        lookup.learn(&found, &handles);
        assert_eq!(handles.path(b"new1"), "a/b/c");
        let absent = [2u32.to_be_bytes().to_vec(), opaque_words(b"new2")].concat();
        lookup.learn(&absent, &handles);
        assert_eq!(handles.path(b"new2"), UNKNOWN);
    }
}
