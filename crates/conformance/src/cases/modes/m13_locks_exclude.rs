//! Source: ours; RFC 8881, section 9 (byte-range locks of `NFSv4`); flock(2), fcntl(2), nfs(5) (over
//! NFS both are byte-range locks).

use crate::case::{Case, Need};
use crate::cases::pod_scripts::{background, until};
use crate::catalogue::Feature;
use crate::trouble::{CaseResult, Trouble, ensure_eq};
use crate::world::World;
use crate::world::pods::Shell;

/// A lock that one pod holds keeps every other pod from taking it, by flock and by fcntl.
pub(crate) const CASE: Case = Case::new("M13", |world| Box::pin(run(world))).needs(Need::KernelNfs);

const MOUNT: &str = "/mnt/data";
/// An image with perl, whose core knows both calls; that of other pods has neither.
const IMAGE: &str = "nginx";
/// Exit code of a lock that another one holds.
const HELD: i32 = 11;

/// Takes an exclusive lock of a kind on a file without waiting for it: exit code 11 when it is held,
/// 0 when it was taken. With a third word it keeps the lock until `/tmp/release` exists.
const LOCK: &str = r"use strict;
use Fcntl qw(:DEFAULT :flock);
use Errno qw(EAGAIN EACCES);
my ($kind, $path, $keep) = @ARGV;
sysopen(my $file, $path, O_RDWR | O_CREAT) or die qq($path: $!);
my $whole = pack('s s x4 q q l x4', F_WRLCK, 0, 0, 0, 0);
my $taken = $kind eq 'flock' ? flock($file, LOCK_EX | LOCK_NB) : fcntl($file, F_SETLK, $whole);
if (!$taken) { exit 11 if $! == EAGAIN || $! == EACCES; die qq($kind: $!); }
exit 0 unless $keep;
open(my $held, '>', '/tmp/held') or die $!;
select(undef, undef, undef, 0.1) until -e '/tmp/release';
exit 0;";

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain");
    let class = if world.subject().declares(Feature::MountOptions) {
        // The version whose locks are part of the protocol.
        let mut options = world.subject().class.mount_options.clone();
        options.push("nfsvers=4.1".to_owned());
        class.mount_options(&options.iter().map(String::as_str).collect::<Vec<_>>())
    } else {
        class
    };
    let class = class.create().await?;
    // The rule asks for no `rwx`: without it the pods share a node.
    let shared = world.subject().declares(Feature::Rwx);
    let mode = if shared {
        "ReadWriteMany"
    } else {
        "ReadWriteOnce"
    };
    let claim = world.claim("data").class(&class).access_modes(&[mode]);
    let volume = claim.create().await?.bound().await?;
    let directory = volume.existing_directory().await?;
    let (here, there) = if shared {
        world.two_workers()?
    } else {
        let (here, _) = world.nodes_for(&directory)?;
        (here, here)
    };
    let holder = locker(world, "holder", here).await?;
    let beside = locker(world, "beside", here).await?;
    let elsewhere = locker(world, "elsewhere", there).await?;

    for kind in ["flock", "fcntl"] {
        let file = format!("{MOUNT}/{kind}");
        let hold = format!("perl /tmp/lock.pl {kind} {file} keep");
        background(&holder, "hold", &hold).await?;
        until(
            world,
            &holder,
            &format!("the {kind} lock is taken"),
            "[ -e /tmp/held ]",
        )
        .await?;
        for pod in [&beside, &elsewhere] {
            let what = format!("result of {kind} in pod {} while it is held", pod.name);
            ensure_eq(&what, &lock(pod, kind, &file).await?, &HELD)?;
            // Another file's lock is free: it is this one that is held.
            let what = format!("result of {kind} in pod {} on another file", pod.name);
            let other = format!("{file}-of-{}", pod.name);
            ensure_eq(&what, &lock(pod, kind, &other).await?, &0)?;
        }
        holder.run(": > /tmp/release").await?;
        for pod in [&beside, &elsewhere] {
            // The holder ends a moment later.
            let free = format!("perl /tmp/lock.pl {kind} {file}");
            until(world, pod, &format!("the {kind} lock is free again"), &free).await?;
        }
        holder.run("rm /tmp/held /tmp/release").await?;
    }
    Ok(())
}

async fn locker<'w>(
    world: &'w World,
    name: &str,
    node: &testbed::state::NodeInfo,
) -> CaseResult<Shell<'w>> {
    let pod = world.shell(name).node(node).mount("data", MOUNT);
    let pod = pod.spec(|spec| spec["containers"][0]["image"] = IMAGE.into());
    let pod = pod.create().await?;
    pod.ready().await?;
    let perl = pod.output("perl -MFcntl -e 1").await?;
    if perl.code != 0 {
        return Err(Trouble::inconclusive(format!(
            "image {IMAGE} has no perl to take locks with: {}",
            perl.stderr.trim()
        )));
    }
    pod.run(&format!("cat > /tmp/lock.pl <<'END'\n{LOCK}\nEND"))
        .await?;
    Ok(pod)
}

/// The exit code of an attempt: 0 or [`HELD`].
async fn lock(pod: &Shell<'_>, kind: &str, file: &str) -> CaseResult<i32> {
    let output = pod
        .output(&format!("perl /tmp/lock.pl {kind} {file}"))
        .await?;
    match output.code {
        0 | HELD => Ok(output.code),
        code => Err(Trouble::failed(
            format!("{kind} on {file} in pod {} is granted or refused", pod.name),
            format!("it ended with {code}: {}", output.stderr.trim()),
        )),
    }
}
