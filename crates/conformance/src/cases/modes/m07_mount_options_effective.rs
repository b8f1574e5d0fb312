//! Source: Kubernetes end-to-end tests, persistent volumes (mount options of the class).

use testbed::state::NfsMounts;

use crate::case::Case;
use crate::trouble::{CaseResult, Trouble, ensure};
use crate::world::World;
use crate::world::mounts::{Mount, mount_at};
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
        let on_node = world.mount_on_node(&pod, &volume).await?;
        let on_node = on_node.ok_or_else(|| not_mounted(&format!("the node of pod {name}")))?;
        let in_pod = mount_at(&pod.run("cat /proc/mounts").await?, |at| at == MOUNT);
        let in_pod = in_pod.ok_or_else(|| not_mounted(&format!("pod {name} at {MOUNT}")))?;
        effects.push((pod, on_node, in_pod));
    }
    let [(pod, on_node, in_pod), (control, plain, _)] = &effects[..] else {
        return Err(Trouble::inconclusive("two pods were expected"));
    };
    for option in options {
        let shown = |mount: &Mount| format!("its options are {}", mount.options.join(","));
        ensure(
            on_node.has(option),
            format!("the volume is mounted on the node with {option}"),
            || shown(on_node),
        )?;
        // Only the mount's own options are those of the bind mount in the pod as well.
        ensure(
            !GENERIC.contains(&option) || in_pod.has(option),
            format!("the volume is mounted in the pod with {option}"),
            || shown(in_pod),
        )?;
        ensure(
            !plain.has(option),
            format!("a class without {option} gives a mount without it"),
            || shown(plain),
        )?;
    }
    executes(control, true).await?;
    executes(pod, false).await
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
