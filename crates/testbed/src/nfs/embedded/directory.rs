//! Positions in a directory that stay valid while entries come and go.
//!
//! A cookie is a hash of the entry's name, and a directory is read in the order of cookies. So a
//! position means the same on every call, whatever was added or removed in between, and the server
//! keeps nothing. Entries that are there all the time are told exactly once.

use std::hash::{DefaultHasher, Hasher};

/// Before the first entry.
pub(crate) const START: u64 = 0;
/// After `.`.
pub(crate) const SELF: u64 = 1;
/// After `..`.
pub(crate) const PARENT: u64 = 2;

/// An entry with its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Positioned {
    pub(crate) cookie: u64,
    pub(crate) inode: u64,
    pub(crate) name: Vec<u8>,
}

/// The position of a name. It stays below 2^63, since clients hand it on as a signed number.
fn position(name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(name);
    (hasher.finish() >> 1).max(PARENT + 1)
}

/// The entries after `cookie`, in order.
pub(crate) fn after(entries: Vec<(u64, Vec<u8>)>, cookie: u64) -> Vec<Positioned> {
    after_by(entries, cookie, position)
}

fn after_by(
    entries: Vec<(u64, Vec<u8>)>,
    cookie: u64,
    position: impl Fn(&[u8]) -> u64,
) -> Vec<Positioned> {
    let mut positioned: Vec<Positioned> = entries
        .into_iter()
        .map(|(inode, name)| Positioned {
            cookie: position(&name),
            inode,
            name,
        })
        .filter(|entry| entry.cookie > cookie)
        .collect();
    positioned.sort_unstable_by(|a, b| (a.cookie, &a.name).cmp(&(b.cookie, &b.name)));
    positioned
}

/// Whether a page may end before entry `index`. Names with the same cookie go on one page, or the
/// later ones would be lost.
pub(crate) fn may_end_before(entries: &[Positioned], index: usize) -> bool {
    index == 0 || index >= entries.len() || entries[index].cookie != entries[index - 1].cookie
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: u64) -> Vec<(u64, Vec<u8>)> {
        (0..count)
            .map(|index| (index, format!("entry-{index}").into_bytes()))
            .collect()
    }

    #[test]
    fn positions_outlive_removals() {
        let all = after(names(1000), START);
        let middle = all[499].cookie;
        let mut fewer = names(1000);
        fewer.retain(|(inode, _)| inode % 2 == 0);
        let rest = after(fewer, middle);
        let expected: Vec<_> = all[500..]
            .iter()
            .filter(|entry| entry.inode % 2 == 0)
            .cloned()
            .collect();
        assert_eq!(rest, expected);
    }

    #[test]
    fn every_position_is_after_the_dots_and_signed() {
        for entry in after(names(1000), START) {
            assert!(entry.cookie > PARENT && i64::try_from(entry.cookie).is_ok());
        }
    }

    #[test]
    fn equal_cookies_are_not_parted() {
        let entries = after_by(
            names(4),
            START,
            |name| if name.ends_with(b"3") { 9 } else { 5 },
        );
        let ends: Vec<bool> = (0..=4)
            .map(|index| may_end_before(&entries, index))
            .collect();
        assert_eq!(ends, [true, false, false, true, true]);
    }
}
