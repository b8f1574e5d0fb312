//! The table of mounts (`proc_pid_mountinfo(5)`).

use std::path::{Path, PathBuf};

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mounted {
    /// Major and minor number of the file system, as `0:42`.
    pub(crate) device: String,
    /// Where it is.
    pub(crate) place: PathBuf,
    /// Its type.
    pub(crate) kind: String,
}

/// The table of this process.
pub(crate) fn read() -> std::io::Result<Vec<Mounted>> {
    Ok(parse(&fs_err::read_to_string("/proc/self/mountinfo")?))
}

fn parse(table: &str) -> Vec<Mounted> {
    table
        .lines()
        .filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let mut fields = before.split(' ');
            let device = fields.nth(2)?.to_owned();
            let place = unescape(fields.nth(1)?);
            let kind = after.split(' ').next()?.to_owned();
            Some(Mounted {
                device,
                place: PathBuf::from(place),
                kind,
            })
        })
        .collect()
}

/// Blanks, tabs, newlines and backslashes are written in octal.
fn unescape(field: &str) -> String {
    let mut text = String::new();
    let mut rest = field;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4);
        match code.and_then(|code| u8::from_str_radix(code, 8).ok()) {
            Some(byte) if byte.is_ascii() => {
                text.push(char::from(byte));
                rest = &rest[at + 4..];
            }
            _ => {
                text.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    text + rest
}

/// What is mounted on top at a place, if it is of a type.
pub(crate) fn top<'a>(table: &'a [Mounted], place: &Path, kind: &str) -> Option<&'a Mounted> {
    table
        .iter()
        .rfind(|mounted| mounted.place == place)
        .filter(|mounted| mounted.kind == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
90 22 0:50 / /mnt/a\\040b rw,nosuid shared:7 - fuse.nfs host:/export rw,user_id=0
91 22 0:51 / /mnt/c rw - tmpfs tmpfs rw
92 22 0:50 /sub /mnt/bound rw - fuse.nfs host:/export rw
";

    #[test]
    fn places_devices_and_types_are_found() {
        let table = parse(TABLE);
        let found = top(&table, Path::new("/mnt/a b"), "fuse.nfs").expect("mounted");
        assert_eq!(found.device, "0:50");
        assert_eq!(top(&table, Path::new("/mnt/c"), "fuse.nfs"), None);
        assert_eq!(top(&table, Path::new("/mnt"), "fuse.nfs"), None);
        assert_eq!(table.iter().filter(|it| it.device == "0:50").count(), 2);
    }

    #[test]
    fn what_only_looks_escaped_stays() {
        assert_eq!(unescape("a\\134b\\q\\04"), "a\\b\\q\\04");
    }
}
