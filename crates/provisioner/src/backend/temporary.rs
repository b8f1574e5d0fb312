//! Names of the files a durable write makes before its rename.

/// What every temporary name begins with. A listing of records skips such names: after a crash one
/// may be left, it is never a record.
pub const TEMPORARY_PREFIX: &str = ".tmp-";

/// The largest file a backend reads or writes, in bytes.
pub const FILE_MAX: usize = 64 * 1024;

/// Whether `name` is left over from a write that did not finish.
pub fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY_PREFIX)
}

/// A name nobody has and nobody can guess (122 random bits). It does not contain the name of the
/// file, which may be 255 bytes long already.
pub(crate) fn temporary_name() -> String {
    format!("{TEMPORARY_PREFIX}{}", uuid::Uuid::new_v4().simple())
}

/// Checks what [`FILE_MAX`] promises.
pub(crate) fn fits(size: u64) -> bool {
    usize::try_from(size).is_ok_and(|size| size <= FILE_MAX)
}
