use nfs3_types::nfs3::{nfstime3, specdata3};
use rstest::rstest;

use super::*;

fn object(type_: ftype3, mode: u32, uid: u32, gid: u32) -> fattr3 {
    let time = nfstime3::default();
    fattr3 {
        type_,
        mode,
        nlink: 1,
        uid,
        gid,
        size: 0,
        used: 0,
        rdev: specdata3::default(),
        fsid: 1,
        fileid: 2,
        atime: time,
        mtime: time,
        ctime: time,
    }
}

fn user(uid: u32, gid: u32, groups: &[u32]) -> Credentials {
    Credentials {
        uid,
        gid,
        groups: groups.to_vec(),
    }
}

#[rstest]
#[case::owner_reads(0o400, user(1, 9, &[]), READ, true)]
#[case::owner_without_bit_is_not_helped_by_others(0o077, user(1, 9, &[]), READ, false)]
#[case::group_reads(0o040, user(7, 2, &[]), READ, true)]
#[case::supplementary_group_reads(0o040, user(7, 9, &[3, 2]), READ, true)]
#[case::group_without_bit_is_not_helped_by_others(0o707, user(7, 2, &[]), READ, false)]
#[case::others_write(0o002, user(7, 9, &[]), WRITE, true)]
#[case::others_need_every_bit(0o002, user(7, 9, &[]), WRITE | EXECUTE, false)]
#[case::root_passes(0o000, user(0, 0, &[]), READ | WRITE, true)]
#[case::root_executes_nothing_unexecutable(0o666, user(0, 0, &[]), EXECUTE, false)]
#[case::squashed_root_is_others(0o770, user(0, 0, &[]).squashed(), READ, false)]
fn mode_bits(
    #[case] mode: u32,
    #[case] who: Credentials,
    #[case] wanted: u32,
    #[case] expected: bool,
) {
    let file = object(ftype3::NF3REG, mode, 1, 2);
    assert_eq!(permitted(&who, &file, wanted), expected);
}

#[rstest]
#[case::no_sticky_bit(0o777, user(5, 5, &[]), true)]
#[case::stranger(0o1777, user(5, 5, &[]), false)]
#[case::owner_of_entry(0o1777, user(3, 5, &[]), true)]
#[case::owner_of_directory(0o1777, user(1, 5, &[]), true)]
#[case::root(0o1777, user(0, 0, &[]), true)]
fn sticky(#[case] mode: u32, #[case] who: Credentials, #[case] expected: bool) {
    let directory = object(ftype3::NF3DIR, mode, 1, 1);
    let entry = object(ftype3::NF3REG, 0o666, 3, 3);
    assert_eq!(sticky_allows(&who, &directory, &entry), expected);
}

#[rstest]
#[case::owner_gives_away(user(1, 2, &[]), Some(5), None, false)]
#[case::owner_to_itself(user(1, 2, &[]), Some(1), None, true)]
#[case::owner_to_own_group(user(1, 2, &[8]), None, Some(8), true)]
#[case::owner_to_foreign_group(user(1, 2, &[8]), None, Some(9), false)]
#[case::stranger_to_own_group(user(4, 8, &[]), None, Some(8), false)]
#[case::root(user(0, 0, &[]), Some(5), Some(6), true)]
fn chown(
    #[case] who: Credentials,
    #[case] uid: Option<u32>,
    #[case] gid: Option<u32>,
    #[case] expected: bool,
) {
    let file = object(ftype3::NF3REG, 0o644, 1, 2);
    assert_eq!(may_change_owner(&who, &file, uid, gid), expected);
}

#[test]
fn access_of_a_directory_without_search_grants_listing_only() {
    let directory = object(ftype3::NF3DIR, 0o006, 1, 1);
    assert_eq!(
        access_bits(&user(5, 5, &[]), &directory, 0x3f),
        ACCESS3_READ
    );
}

#[test]
fn owner_writes_a_read_only_file_it_has_open_but_access_says_no() {
    let file = object(ftype3::NF3REG, 0o400, 1, 1);
    let owner = user(1, 1, &[]);
    assert!(data_permitted(&owner, &file, WRITE));
    assert_eq!(
        access_bits(&owner, &file, ACCESS3_READ | ACCESS3_MODIFY),
        ACCESS3_READ
    );
}

#[test]
fn set_id_bits_go_when_others_write() {
    assert_eq!(mode_after_write(&user(0, 0, &[]), 0o4755), None);
    assert_eq!(mode_after_write(&user(5, 5, &[]), 0o6755), Some(0o755));
    // Without group execution the bit is a lock mode, not a power.
    assert_eq!(mode_after_write(&user(5, 5, &[]), 0o2644), None);
    assert_eq!(
        granted_mode(&user(5, 5, &[]), ftype3::NF3REG, 9, 0o2755),
        0o755
    );
}
