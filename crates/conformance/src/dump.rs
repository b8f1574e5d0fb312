//! What is kept of a failed case, taken before anything is cleaned up: objects, events, the export,
//! the subject's last words and, on real nodes, what its pods and the subject's say, as files a person
//! can read.

use std::fmt::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Event, PersistentVolume, PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, ListParams};

use crate::expect::{Watched, text};
use crate::trouble::in_full;
use crate::world::World;
use crate::world::events::in_one_line;

mod pods;

/// How many lines of a log are kept.
const LOG_LINES: usize = 200;

/// Writes everything about the case's surroundings below `directory`, in a directory named after
/// the case, and returns that.
///
/// What cannot be read is said in the files: a capture never changes a verdict.
///
/// # Errors
/// When the files cannot be written.
pub(crate) async fn capture(world: &World, directory: &Utf8Path) -> std::io::Result<Utf8PathBuf> {
    let directory = directory.join(world.case);
    fs_err::create_dir_all(&directory)?;
    let mut objects = String::new();
    section(&mut objects, world.api::<PersistentVolumeClaim>()).await;
    section(&mut objects, world.cluster_api::<PersistentVolume>()).await;
    section(&mut objects, world.cluster_api::<StorageClass>()).await;
    section(&mut objects, world.api::<StatefulSet>()).await;
    section(&mut objects, world.api::<Pod>()).await;
    section(&mut objects, world.api::<Service>()).await;
    fs_err::write(directory.join("objects.txt"), objects)?;
    fs_err::write(directory.join("events.txt"), events(world).await)?;
    fs_err::write(directory.join("export.txt"), export(world).await)?;
    fs_err::write(directory.join("subject.log"), log_tail(world))?;
    // Last: it takes longest, and what is written stays when the time for all of it is over. Simulated
    // nodes run nothing that could write a log.
    if world.real_nodes() {
        let mut namespaces = vec![world.namespace()];
        let home = world.subject().home.as_deref();
        namespaces.extend(home.filter(|home| *home != world.namespace()));
        for namespace in namespaces {
            pods::capture(world.client(), namespace, &directory.join("pods")).await?;
        }
    }
    Ok(directory)
}

async fn section<K: Watched>(out: &mut String, api: Api<K>) {
    let _ = writeln!(out, "# {}", K::kind(&()));
    match api.list(&ListParams::default()).await {
        Ok(list) => {
            for object in list {
                let _ = writeln!(out, "{}", text(&object));
            }
        }
        Err(error) => {
            let _ = writeln!(out, "cannot be listed: {error}");
        }
    }
}

async fn events(world: &World) -> String {
    let mut out = String::new();
    match world.api::<Event>().list(&ListParams::default()).await {
        Ok(events) => {
            for event in events {
                let kind = event.involved_object.kind.clone().unwrap_or_default();
                let name = event.involved_object.name.clone().unwrap_or_default();
                let _ = writeln!(out, "{kind} {name}: {}", in_one_line(&event));
            }
        }
        Err(error) => {
            let _ = writeln!(out, "cannot be listed: {error}");
        }
    }
    out
}

/// The names at the export's root, and everything below those that bear the case's name: the rest
/// changes under the hands of other cases, and may be large.
async fn export(world: &World) -> String {
    let entries = match world.entries().await {
        Ok(entries) => entries,
        Err(error) => return format!("cannot be listed: {}\n", in_full(&error)),
    };
    let mut out = String::new();
    for entry in entries {
        let _ = writeln!(out, "/{entry}");
        if world.bears_our_name(&entry) {
            match world.export().manifest(&entry).await {
                Ok(manifest) => {
                    let _ = writeln!(out, "{manifest:#?}");
                }
                Err(error) => {
                    let _ = writeln!(out, "cannot be read: {}", in_full(&error));
                }
            }
        }
    }
    out
}

fn log_tail(world: &World) -> String {
    match fs_err::read_to_string(world.testbed().logs.join("subject.log")) {
        Ok(log) => {
            let lines: Vec<&str> = log.lines().collect();
            lines[lines.len().saturating_sub(LOG_LINES)..].join("\n") + "\n"
        }
        Err(error) => format!("{error}\n"),
    }
}
