//! Source: nfs-subdir-external-provisioner #51 #186 #379 and csi-driver-nfs #427 (users expect the
//! capacity to be a limit).

use crate::case::Case;
use crate::cases::binding::quantity::millibytes;
use crate::trouble::{CaseResult, Trouble, ensure};
use crate::world::World;
use crate::world::pods::Shell;

/// Writes beyond the volume's capacity MUST be refused, and those within it MUST succeed.
pub(crate) const CASE: Case = Case::new("M15", |world| Box::pin(run(world)));

const MOUNT: &str = "/mnt/data";
const BLOCK: u64 = 64 * 1024;

async fn run(world: &World) -> CaseResult {
    let class = world.class("plain").create().await?;
    let claim = world.claim("data").class(&class).request("16Mi");
    let claim = claim.create().await?;
    let volume = claim.bound().await?;
    let directory = volume.existing_directory().await?;
    let capacity = volume.spec().capacity.unwrap_or_default();
    let declared = capacity.get("storage").map(|quantity| quantity.0.as_str());
    let bytes = declared.and_then(millibytes).map(|value| value / 1000);
    let Some(bytes) = bytes.and_then(|bytes| u64::try_from(bytes).ok()) else {
        return Err(Trouble::failed(
            "the volume declares a capacity",
            format!("it is {declared:?}"),
        ));
    };
    let pod = world.shell("writer").mount("data", MOUNT).create().await?;
    pod.ready().await?;

    written(&pod, "within", bytes / 2).await?;
    let output = write(&pod, "beyond", bytes).await?;
    let told = ["No space left on device", "quota exceeded"];
    ensure(
        output.code != 0 && told.iter().any(|told| output.stderr.contains(told)),
        format!("a write that exceeds the capacity of {bytes} bytes is refused, and says why"),
        || format!("it ended with {}: {}", output.code, output.stderr.trim()),
    )?;
    let served = world.manifest(&directory).await?;
    let sum: u64 = served.entries.iter().map(|entry| entry.size).sum();
    ensure(
        sum <= bytes,
        format!("the files on the server's side have no more than {bytes} bytes"),
        || format!("they have {sum}"),
    )?;

    // What is removed is free again, and what was there before is whole.
    pod.run(&format!("rm {MOUNT}/beyond")).await?;
    written(&pod, "again", bytes / 4).await?;
    world.same_in_pod(&pod.name, MOUNT, &directory).await
}

async fn written(pod: &Shell<'_>, name: &str, bytes: u64) -> CaseResult {
    let output = write(pod, name, bytes).await?;
    ensure(
        output.code == 0,
        format!("{bytes} bytes within the capacity are written"),
        || format!("it ended with {}: {}", output.code, output.stderr.trim()),
    )
}

/// Writes at least so many bytes, which cannot be compressed, and syncs them.
async fn write(pod: &Shell<'_>, name: &str, bytes: u64) -> CaseResult<crate::world::exec::Output> {
    let blocks = bytes.div_ceil(BLOCK);
    let script =
        format!("dd if=/dev/urandom of={MOUNT}/{name} bs={BLOCK} count={blocks} conv=fsync");
    pod.output(&script).await
}
