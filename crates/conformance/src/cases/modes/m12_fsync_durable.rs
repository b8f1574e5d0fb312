//! Source: ours; fsync(2) and RFC 1813, section 4.8 (COMMIT; what is not committed is sent again when
//! the server's write verifier changes).

use std::io::ErrorKind;

use crate::case::Case;
use crate::cases::pod_scripts::{background, sha256_served, text_served, until};
use crate::trouble::{CaseResult, Trouble, ensure, ensure_eq};
use crate::world::World;
use crate::world::pods::Shell;

/// Data whose fsync has succeeded survives a killed NFS server; pods that write go on without a
/// restart, and what they wrote before the kill and sync after it is not lost either.
pub(crate) const CASE: Case = Case::exclusive("M12", |world| Box::pin(run(world)));

const MOUNT: &str = "/mnt/data";
/// How many records are written before the kill, and again after it.
const RECORDS: u64 = 10;
/// Bytes of one record, and of each half of the stream.
const RECORD: usize = 14;
const HALF: u64 = 8 << 20;

/// Appends numbered records, each synced, and notes the last one whose fsync succeeded.
const RECORDER: &str = "n=0
while [ ! -e /tmp/stop ]; do
  n=$((n + 1))
  if printf 'record %06d\\n' $n |
      dd of=/mnt/data/records oflag=append conv=notrunc,fsync; then
    echo $n > /tmp/synced.new && mv /tmp/synced.new /tmp/synced
  else
    echo $n > /tmp/refused; exit 1
  fi
done
echo $n > /tmp/ended";

/// Writes half a file, waits with the file open, writes the other half, and syncs all of it.
const STREAM: &str = "{
  cat /tmp/first; : > /tmp/half
  until [ -e /tmp/go ]; do sleep 0.1; done
  cat /tmp/second
} | dd of=/mnt/data/stream bs=65536 conv=fsync
echo $? > /tmp/stream.new && mv /tmp/stream.new /tmp/stream-ended";

struct Writer<'w> {
    pod: Shell<'w>,
    directory: String,
    uid: Option<String>,
    /// SHA-256 of what the stream is made of.
    source: String,
}

async fn run(world: &World) -> CaseResult {
    let server = world.server()?;
    let class = world.class("plain").create().await?;
    let mut writers = Vec::new();
    for (number, node) in (0..).zip(world.workers().into_iter().take(2)) {
        let name = format!("writer-{number}");
        let claim = world.claim(&name).class(&class).request("100Mi");
        let volume = claim.create().await?.bound().await?;
        let directory = volume.existing_directory().await?;
        let pod = world.shell(&name).node(node).mount(&name, MOUNT);
        writers.push(started(world, pod.create().await?, directory).await?);
    }

    server.kill().await?;
    let mut synced = Vec::new();
    for writer in &writers {
        synced.push(kept_by_dead_server(world, writer).await?);
    }
    ensure_dead(world).await?;
    server.start().await?;

    for (writer, synced) in writers.iter().zip(synced) {
        finished(world, writer, synced).await?;
    }
    Ok(())
}

/// Both scripts run, some records are synced, and half of the stream is written and not synced.
async fn started<'w>(world: &World, pod: Shell<'w>, directory: String) -> CaseResult<Writer<'w>> {
    let uid = pod.ready().await?.metadata.uid;
    let prepare = format!(
        "set -e; mkdir -p /tmp; for half in first second; do \
         head -c {HALF} /dev/urandom > /tmp/$half; done; cat /tmp/first /tmp/second | sha256sum"
    );
    let source = pod.run(&prepare).await?;
    let source = source.split_whitespace().next().unwrap_or_default();
    background(&pod, "recorder", RECORDER).await?;
    background(&pod, "streamer", STREAM).await?;
    let ready = format!("[ -e /tmp/half ] && [ \"$(cat /tmp/synced)\" -ge {RECORDS} ]");
    until(world, &pod, "records and half a file are written", &ready).await?;
    Ok(Writer {
        source: source.to_owned(),
        pod,
        directory,
        uid,
    })
}

/// With the server dead: every record whose fsync had succeeded is in its directory. Gives how many
/// there are.
async fn kept_by_dead_server(world: &World, writer: &Writer<'_>) -> CaseResult<u64> {
    let synced = number(&writer.pod.run("cat /tmp/synced").await?)?;
    let export = &world.testbed().export.directory;
    let path = export.join(&writer.directory).join("records");
    let text = match tokio::fs::read(&path).await {
        Ok(text) => text,
        // Nothing was kept.
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Trouble::inconclusive(format!("{path}: {error}"))),
    };
    let kept = whole_records(&text);
    ensure(
        kept >= synced,
        format!("{synced} records, whose fsync succeeded, are on the dead server's disk"),
        || format!("{path} holds {kept}"),
    )?;
    Ok(synced)
}

/// Else the kill would show nothing.
async fn ensure_dead(world: &World) -> CaseResult {
    match world.export().stat("").await {
        Err(_) => Ok(()),
        Ok(_) => Err(Trouble::inconclusive(
            "the NFS server answers although it was killed",
        )),
    }
}

/// The writer goes on in the same pod, and in the end the server has all of it.
async fn finished(world: &World, writer: &Writer<'_>, before: u64) -> CaseResult {
    let Writer { pod, directory, .. } = writer;
    let more = before + RECORDS;
    let goes_on = format!("[ \"$(cat /tmp/synced)\" -ge {more} ] || [ -e /tmp/refused ]");
    until(world, pod, "records are written again", &goes_on).await?;
    pod.run(": > /tmp/go; : > /tmp/stop").await?;
    let ended = "[ -e /tmp/stream-ended ] && { [ -e /tmp/ended ] || [ -e /tmp/refused ]; }";
    until(world, pod, "everything is written", ended).await?;
    let refused = pod.run("cat /tmp/refused 2>/dev/null || true").await?;
    ensure(refused.is_empty(), "no fsync of a record fails", || {
        format!("that of record {refused} failed")
    })?;
    let code = pod.run("cat /tmp/stream-ended").await?;
    ensure_eq("exit code of the file's writer", &code, &"0")?;

    let total = number(&pod.run("cat /tmp/ended").await?)?;
    let path = format!("{directory}/records");
    let text = text_served(world, &path).await?;
    let whole = whole_records(text.as_bytes());
    ensure(
        whole == total && text.len() == usize::try_from(total).unwrap_or_default() * RECORD,
        format!("{path} on the server's side is records 1 to {total}, each once"),
        || {
            format!(
                "it has {} bytes, and is right up to record {whole}",
                text.len()
            )
        },
    )?;
    let served = sha256_served(world, directory, "stream").await?;
    ensure_eq(
        "SHA-256 of the file that was open when the server died",
        &served,
        &writer.source,
    )?;
    world.same_in_pod(&pod.name, MOUNT, directory).await?;
    unharmed(writer).await
}

/// It is the pod of the beginning, and its container never ended.
async fn unharmed(writer: &Writer<'_>) -> CaseResult {
    let pod = writer.pod.now().await?;
    let restarts = pod.status.as_ref().and_then(|status| {
        let statuses = status.container_statuses.as_ref()?;
        Some(statuses.first()?.restart_count)
    });
    ensure_eq("the pod's UID", &pod.metadata.uid, &writer.uid)?;
    ensure_eq("restarts of its container", &restarts, &Some(0))
}

fn number(text: &str) -> CaseResult<u64> {
    let number = text.trim().parse();
    number.map_err(|_| Trouble::inconclusive(format!("a writer noted {text:?}, not a number")))
}

/// How many records there are from the first on, in order and whole; what follows does not count.
fn whole_records(text: &[u8]) -> u64 {
    let records = (1..).zip(text.chunks_exact(RECORD));
    let right = records
        .take_while(|(number, record)| **record == *format!("record {number:06}\n").as_bytes());
    right.last().map_or(0, |(number, _): (u64, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_count_as_far_as_they_are_whole_and_in_order() {
        assert_eq!(whole_records(b""), 0);
        assert_eq!(whole_records(b"record 000001\nrecord 000002\nrec"), 2);
        assert_eq!(whole_records(b"record 000001\nrecord 000003\n"), 1);
        assert_eq!(
            whole_records(b"record 000001\n\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
            1
        );
        assert_eq!(whole_records(b"record 000002\n"), 0);
    }
}
