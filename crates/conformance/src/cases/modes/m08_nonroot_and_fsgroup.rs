//! Source: Kubernetes end-to-end tests, fsGroup; nfs-subdir-external-provisioner (volumes are for
//! pods of any user); core/v1 `PodSecurityContext`.
//!
//! `fsGroup` is a group that all processes of the pod have. Some kinds of volumes are also given to
//! it: group, mode and set-gid bit of the whole tree are changed when they are mounted; those of
//! kind `nfs` are not. Who declares `fsGroup` says that a pod reaches a volume's data by it; a
//! volume's owner may be changed as the API describes it, or be left alone, and nothing in between.

use testbed::nfs::view::FileStat;

use crate::case::Case;
use crate::trouble::{CaseResult, Trouble, ensure, ensure_eq};
use crate::world::World;
use crate::world::pods::{Shell, ShellBuilder};

/// A user other than root MUST be able to write to a volume; supplementary groups and fsGroup MUST
/// reach what belongs to them.
pub(crate) const CASE: Case = Case::new("M08", |world| Box::pin(run(world)));

const MOUNT: &str = "/mnt/data";
const USER: u32 = 1000;
const GROUP: u32 = 1001;
/// A group by `supplementalGroups`, and one by `fsGroup`.
const TEAM: u32 = 4321;
const FS_GROUP: u32 = 5432;

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").create().await?;
    let claim = world.claim("data").class(&class).create().await?;
    let directory = claim.bound().await?.existing_directory().await?;

    let plain = ready(of_user(world, "plain")).await?;
    plain.run(&format!("echo own > {MOUNT}/own")).await?;
    owned_by(world, &directory, "own", (USER, GROUP)).await?;

    for (name, group) in [("team", TEAM), ("fs-group", FS_GROUP)] {
        group_directory(world, &format!("{directory}/{name}"), group).await?;
        // In no group: it is the group that opens the door.
        denied(&plain, name).await?;
    }
    let team = of_user(world, "team").supplemental_groups(&[i64::from(TEAM)]);
    let team = ready(team).await?;
    team.run(&format!("echo team > {MOUNT}/team/file")).await?;
    owned_by(world, &directory, "team/file", (USER, GROUP)).await?;
    denied(&team, "fs-group").await?;

    // Last: a volume that is given to the group is changed by it.
    let before = stat(world, &directory).await?;
    let by_fs_group = of_user(world, "fs-group").fs_group(i64::from(FS_GROUP));
    let by_fs_group = ready(by_fs_group).await?;
    let groups = by_fs_group.run("id -G").await?;
    let has = groups.split(' ').any(|group| group == FS_GROUP.to_string());
    ensure(
        has,
        format!("processes of a pod with fsGroup {FS_GROUP} have that group"),
        || format!("they have the groups {groups}"),
    )?;
    let write = format!("echo fs-group > {MOUNT}/fs-group/file");
    by_fs_group.run(&write).await?;
    stat(world, &format!("{directory}/fs-group/file")).await?;
    given_or_left(&before, &stat(world, &directory).await?)?;
    // What the users wrote is the same for root.
    let root = ready(world.shell("root").mount("data", MOUNT)).await?;
    world.same_in_pod(&root.name, MOUNT, &directory).await
}

fn of_user<'w>(world: &'w World, name: &str) -> ShellBuilder<'w> {
    let (user, group) = (i64::from(USER), i64::from(GROUP));
    world.shell(name).user(user, group).mount("data", MOUNT)
}

async fn ready(pod: ShellBuilder<'_>) -> CaseResult<Shell<'_>> {
    let pod = pod.create().await?;
    pod.ready().await?;
    Ok(pod)
}

/// A directory for root and the members of `group` alone, made over the protocol.
async fn group_directory(world: &World, path: &str, group: u32) -> CaseResult {
    let export = world.export();
    export.mkdir(path, 0o770).await?;
    export.chown(path, 0, group).await?;
    export.chmod(path, 0o770).await?;
    Ok(())
}

async fn denied(pod: &Shell<'_>, name: &str) -> CaseResult {
    let script = format!("echo x > {MOUNT}/{name}/by-{}", pod.name);
    let output = pod.output(&script).await?;
    ensure(
        output.code != 0 && output.stderr.contains("Permission denied"),
        format!(
            "pod {}, which is not in the group of {name}, may not write there",
            pod.name
        ),
        || format!("it ended with {}: {}", output.code, output.stderr.trim()),
    )
}

async fn stat(world: &World, path: &str) -> CaseResult<FileStat> {
    let found = world.export().stat(path).await?;
    found.ok_or_else(|| {
        Trouble::failed(
            format!("{path} is on the server's side"),
            "there is no such thing",
        )
    })
}

async fn owned_by(world: &World, directory: &str, file: &str, owner: (u32, u32)) -> CaseResult {
    let found = stat(world, &format!("{directory}/{file}")).await?;
    ensure_eq(
        &format!("user and group of {file} on the server's side"),
        &(found.uid, found.gid),
        &owner,
    )
}

/// The volume's directory is the group's to read, write and hand down, or as it was.
fn given_or_left(before: &FileStat, after: &FileStat) -> CaseResult {
    let given = after.gid == FS_GROUP && after.mode & 0o2060 == 0o2060;
    let left = (after.uid, after.gid, after.mode) == (before.uid, before.gid, before.mode);
    ensure(
        given || left,
        format!("the volume is given to group {FS_GROUP} (set-gid, rw for it) or left alone"),
        || {
            let of = |stat: &FileStat| format!("{:04o} {}:{}", stat.mode, stat.uid, stat.gid);
            format!("mode and owner were {} and are {}", of(before), of(after))
        },
    )
}

#[cfg(test)]
mod tests {
    use testbed::nfs::view::FileKind;

    use super::*;

    fn directory(mode: u32, gid: u32) -> FileStat {
        FileStat {
            kind: FileKind::Directory,
            mode,
            uid: 0,
            gid,
            size: 0,
            fileid: 1,
            nlink: 2,
        }
    }

    #[test]
    fn a_volume_is_given_to_the_group_or_left_and_nothing_in_between() {
        let before = directory(0o755, 0);
        assert!(given_or_left(&before, &before).is_ok());
        assert!(given_or_left(&before, &directory(0o2775, FS_GROUP)).is_ok());
        assert!(given_or_left(&before, &directory(0o755, FS_GROUP)).is_err());
        assert!(given_or_left(&before, &directory(0o2775, 0)).is_err());
        assert!(given_or_left(&before, &directory(0o777, 0)).is_err());
    }
}
