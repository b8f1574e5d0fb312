//! Source: Kubernetes end-to-end tests, multi-volume (one volume, pods on several nodes).

use futures::try_join;

use crate::case::Case;
use crate::cases::pod_scripts::text_served;
use crate::trouble::{CaseResult, ensure, ensure_eq};
use crate::world::World;
use crate::world::pods::Shell;

/// Writers on two nodes MUST see each other's data: a file that one has closed is read by the other
/// as it is now.
pub(crate) const CASE: Case = Case::new("M03", |world| Box::pin(run(world)));

const MOUNT: &str = "/mnt/data";
const TURNS: usize = 6;
const FILES: usize = 20;

async fn run(world: &World) -> CaseResult {
    let (here, there) = world.two_workers()?;
    let class = world.class("plain").create().await?;
    let claim = world.claim("data").class(&class);
    let claim = claim.access_modes(&["ReadWriteMany"]).create().await?;
    let directory = claim.bound().await?.existing_directory().await?;
    let first = world.shell("first").node(here).mount("data", MOUNT);
    let first = first.create().await?;
    let second = world.shell("second").node(there).mount("data", MOUNT);
    let second = second.create().await?;
    first.ready().await?;
    second.ready().await?;
    let (one, other) = (first.node_name().await?, second.node_name().await?);
    ensure(one != other, "the pods run on two nodes", || {
        format!("both run on {one}")
    })?;

    let text = in_turns(&first, &second).await?;
    let served = text_served(world, &format!("{directory}/turns")).await?;
    ensure_eq("the file of both on the server's side", &served, &text)?;
    try_join!(write_files(&first), write_files(&second))?;
    read_files(&first, &second).await?;
    read_files(&second, &first).await?;
    for pod in [&first, &second] {
        world.same_in_pod(&pod.name, MOUNT, &directory).await?;
    }
    Ok(())
}

/// One file: each turn one pod adds a line and the other reads all of it. Gives the whole text.
async fn in_turns(first: &Shell<'_>, second: &Shell<'_>) -> CaseResult<String> {
    let mut text = String::new();
    for turn in 0..TURNS {
        let (writer, reader) = match turn % 2 {
            0 => (first, second),
            _ => (second, first),
        };
        let line = format!("turn {turn} of {} {}\n", writer.name, uuid::Uuid::new_v4());
        let add = format!("echo '{}' >> {MOUNT}/turns", line.trim_end());
        writer.run(&add).await?;
        text.push_str(&line);
        let seen = reader.output(&format!("cat {MOUNT}/turns")).await?;
        ensure_eq(
            &format!(
                "what pod {} reads after pod {} wrote",
                reader.name, writer.name
            ),
            &seen.stdout,
            &text,
        )?;
    }
    Ok(text)
}

/// The pod writes files of its own, while the other does the same.
async fn write_files(pod: &Shell<'_>) -> CaseResult {
    let name = &pod.name;
    let script = format!(
        "set -e; i=0; while [ $i -lt {FILES} ]; do echo \"{name} $i\" > {MOUNT}/{name}-$i; \
         i=$((i + 1)); done"
    );
    pod.run(&script).await.map(drop)
}

/// Each file of `writer` is there for `reader`, with its line. By name: a name that was never looked
/// up before is in no cache.
async fn read_files(reader: &Shell<'_>, writer: &Shell<'_>) -> CaseResult {
    let name = &writer.name;
    let script = format!(
        "set -e; i=0; while [ $i -lt {FILES} ]; do cat {MOUNT}/{name}-$i; i=$((i + 1)); done"
    );
    let seen = reader.output(&script).await?;
    let lines = (0..FILES).map(|file| format!("{name} {file}\n"));
    ensure_eq(
        &format!("what pod {} reads of the files of pod {name}", reader.name),
        &format!("{}{}", seen.stdout, seen.stderr),
        &lines.collect::<String>(),
    )
}
