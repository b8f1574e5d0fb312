//! Source: Kubernetes end-to-end tests, multi-volume (several volumes in one pod, one volume several
//! times).

use crate::case::Case;
use crate::cases::pod_scripts::text_served;
use crate::trouble::{CaseResult, ensure, ensure_eq};
use crate::world::World;

/// Two volumes of a pod MUST be apart, and one claim that is mounted twice MUST be the same data.
pub(crate) const CASE: Case = Case::new("M10", |world| Box::pin(run(world)));

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").create().await?;
    let mut directories = Vec::new();
    for name in ["red", "blue"] {
        let claim = world.claim(name).class(&class).create().await?;
        directories.push(claim.bound().await?.existing_directory().await?);
    }
    let pod = world
        .shell("both")
        .mount("red", "/mnt/red")
        .mount("blue", "/mnt/blue")
        .mount("red", "/mnt/again");
    let pod = pod.create().await?;
    pod.ready().await?;

    // The same names in both, with content of the same length; and one name in each alone.
    let fill = "set -e; for name in red blue; do cd /mnt/$name; mkdir -p same
        printf '%4s\\n' $name > same/file; echo $name > only-$name; done";
    pod.run(fill).await?;
    for (name, directory) in ["red", "blue"].into_iter().zip(&directories) {
        let mount = format!("/mnt/{name}");
        let listed = pod
            .run(&format!("cd {mount} && ls && cat same/file"))
            .await?;
        let text = format!("{name:>4}");
        ensure_eq(
            &format!("what is in volume {name}"),
            &listed,
            &format!("only-{name}\nsame\n{text}"),
        )?;
        world.same_in_pod(&pod.name, &mount, directory).await?;
        let served = text_served(world, &format!("{directory}/same/file")).await?;
        ensure_eq(
            "its file on the server's side",
            &served,
            &format!("{text}\n"),
        )?;
    }

    // Removed in one volume, it stays in the other.
    pod.run("rm /mnt/red/same/file").await?;
    let kept = pod.run("cat /mnt/blue/same/file").await?;
    ensure_eq("the other volume's file", &kept, &"blue")?;
    world
        .same_in_pod("both", "/mnt/blue", &directories[1])
        .await?;

    // By either mount, seen by the other at once.
    for (to, from) in [("/mnt/red", "/mnt/again"), ("/mnt/again", "/mnt/red")] {
        let script = format!("echo by {to} > {to}/turn && cat {from}/turn");
        let seen = pod.run(&script).await?;
        ensure_eq(
            &format!("what is read at {from}"),
            &seen,
            &format!("by {to}"),
        )?;
        let same = pod
            .run(&format!("stat -c %i {to}/turn {from}/turn"))
            .await?;
        let mut numbers = same.lines();
        ensure(
            numbers.next() == numbers.next(),
            "the file is the same one at both mounts",
            || format!("its numbers are {same:?}"),
        )?;
    }
    world
        .same_in_pod("both", "/mnt/again", &directories[0])
        .await
}
