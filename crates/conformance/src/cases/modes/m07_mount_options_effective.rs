//! Source: Kubernetes end-to-end tests, persistent volumes (mount options of the class).

use testbed::state::NfsMounts;

use crate::case::Case;
use crate::trouble::{CaseResult, Trouble, ensure};
use crate::world::World;
use crate::world::pods::Shell;

/// The class's mount options MUST be in effect where the volume is mounted.
pub(crate) const CASE: Case = Case::new("M07", |world| Box::pin(run(world)));

const MOUNT: &str = "/mnt/data";
/// Options of the mount itself, which every NFS client passes on.
const GENERIC: &[&str] = &["noatime", "noexec"];
/// Options of the kernel's client, as it shows them; others have no place to show them.
const OF_KERNEL: &[&str] = &["timeo=77", "retrans=5"];

async fn run(world: &World) -> CaseResult {
    let mut options = GENERIC.to_vec();
    if world.testbed().cluster.mounts == Some(NfsMounts::Kernel) {
        options.extend(OF_KERNEL);
    }
    // Beside those that the subject's class needs.
    let template = world.subject().class.mount_options.clone();
    let all: Vec<&str> = template.iter().map(String::as_str).collect();
    let all = [all.as_slice(), options.as_slice()].concat();
    let with = world.class("with").mount_options(&all).create().await?;
    let without = world.class("without").create().await?;

    let mut effects = Vec::new();
    for (name, class) in [("with", &with), ("without", &without)] {
        let claim = world.claim(name).class(class).create().await?;
        let volume = claim.bound().await?;
        let pod = world.shell(name).mount(name, MOUNT).create().await?;
        pod.ready().await?;
        let on_node = options_on_node(world, &pod, &volume.name()).await?;
        let in_pod = options_at(&pod.run("cat /proc/mounts").await?, |at| at == MOUNT);
        let in_pod = in_pod.ok_or_else(|| not_mounted(&format!("pod {name} at {MOUNT}")))?;
        effects.push((pod, on_node, in_pod));
    }
    let [(pod, on_node, in_pod), (control, plain, _)] = &effects[..] else {
        return Err(Trouble::inconclusive("two pods were expected"));
    };
    for option in options {
        let shown = |options: &[String]| options.iter().any(|shown| shown == option);
        ensure(
            shown(on_node),
            format!("the volume is mounted on the node with {option}"),
            || format!("its options are {}", on_node.join(",")),
        )?;
        // Only the mount's own options are those of the bind mount in the pod as well.
        ensure(
            !GENERIC.contains(&option) || shown(in_pod),
            format!("the volume is mounted in the pod with {option}"),
            || format!("its options are {}", in_pod.join(",")),
        )?;
        ensure(
            !shown(plain),
            format!("a class without {option} gives a mount without it"),
            || format!("its options are {}", plain.join(",")),
        )?;
    }
    executes(control, true).await?;
    executes(pod, false).await
}

/// The options of the volume's mount on the pod's node, as the kernel shows them.
async fn options_on_node(world: &World, pod: &Shell<'_>, volume: &str) -> CaseResult<Vec<String>> {
    let name = pod.node_name().await?;
    let node = world.workers().into_iter().find(|node| node.name == name);
    let node = node.ok_or_else(|| {
        Trouble::inconclusive(format!(
            "pod {} runs on {name}, which is no worker",
            pod.name
        ))
    })?;
    let uid = pod.now().await?.metadata.uid.unwrap_or_default();
    let mounts = world.on_node(node, &["cat", "/proc/mounts"]).await?;
    let of_volume = |at: &str| at.contains(&uid) && at.ends_with(&format!("/{volume}"));
    options_at(&mounts, of_volume).ok_or_else(|| not_mounted(&format!("node {name}")))
}

fn not_mounted(place: &str) -> Trouble {
    Trouble::failed(
        format!("the volume is mounted on {place}"),
        "/proc/mounts there has no such mount",
    )
}

/// Whether a program in the volume can be run: what `noexec` is for.
async fn executes(pod: &Shell<'_>, expected: bool) -> CaseResult {
    let program = format!("{MOUNT}/program");
    let write = format!("printf '#!/bin/sh\\nexit 0\\n' > {program} && chmod 755 {program}");
    pod.run(&write).await?;
    let output = pod.output(&program).await?;
    let can = if expected { "can" } else { "cannot" };
    ensure(
        (output.code == 0) == expected,
        format!("a program in the volume of pod {} {can} be run", pod.name),
        || format!("it ended with {}: {}", output.code, output.stderr.trim()),
    )
}

/// The options of the last mount at a place that `wanted` accepts, in proc(5)'s form: device, place,
/// type, options.
fn options_at(mounts: &str, wanted: impl Fn(&str) -> bool) -> Option<Vec<String>> {
    let options = mounts.lines().rev().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        wanted(fields.next()?).then(|| fields.nth(1))?
    });
    Some(options?.split(',').map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "overlay / overlay rw,relatime 0 0\n\
        10.0.0.1:/export/a /mnt/data fuse.nfs rw,nosuid,noatime 0 0\n\
        10.0.0.1:/export/b /mnt/data2 nfs4 rw,noexec,timeo=77 0 0\n";

    #[test]
    fn options_are_those_of_the_place() {
        let at = |place: &'static str| options_at(MOUNTS, move |at| at == place);
        assert_eq!(at("/mnt/data").unwrap(), ["rw", "nosuid", "noatime"]);
        assert_eq!(at("/mnt/data2").unwrap(), ["rw", "noexec", "timeo=77"]);
        assert_eq!(at("/mnt"), None);
    }
}
