//! What a testbed has in Docker, removed from outside: by label and name, whoever made it.
//!
//! These calls block, and each is bounded in time: a sweep stands before other commands.

use std::io::{self, ErrorKind};
use std::thread;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use nix::unistd::geteuid;

use super::client::Client;
use super::makers::makers;
use crate::docker::{LABEL, resource_name};

/// File in a testbed's directory that says that it may have something in Docker.
const MARKER: &str = "docker";
/// The label that kind gives to the containers of a cluster.
const KIND_LABEL: &str = "io.x-k8s.kind.cluster";
/// How long one call of Docker may take, and all of them together for what does not go. Three nodes are
/// gone after a second or two.
const CALL_LIMIT: Duration = Duration::from_mins(1);
/// How long a container is waited for that may still be on its way without a client that could be
/// waited for instead: its owner asked for it, and was killed.
const SETTLE: Duration = Duration::from_millis(1500);
/// How often Docker is asked, which ends no call when something appears.
const POLL: Duration = Duration::from_millis(100);

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Removed {
    /// Names of containers.
    pub(super) containers: Vec<String>,
    /// Names of networks.
    pub(super) networks: Vec<String>,
}

/// Leaves a note in a testbed's directory that it may have something in Docker. Before the first call
/// that makes something there, since a crash may follow.
///
/// # Errors
/// The file cannot be written.
pub fn mark_docker(directory: &Utf8Path) -> io::Result<()> {
    fs_err::write(directory.join(MARKER), "")
}

/// Whether the testbed in `directory` may have something in Docker, so that [`sweep`] looks there.
pub(super) fn is_marked(directory: &Utf8Path) -> bool {
    directory.join(MARKER).exists()
}

/// Removes the nodes of the testbed `name` in `directory`, once no client makes any, and gives their
/// names. This blocks.
///
/// # Errors
/// Docker cannot be run, refuses, or does not answer in time.
#[cfg(feature = "kind")]
pub(crate) fn remove_nodes(name: &str, directory: &Utf8Path) -> io::Result<Vec<String>> {
    let removed = Remover::new(name, directory, true).remove(Extent::Nodes)?;
    Ok(removed.containers)
}

/// Removes the containers and the networks of the testbed `name` in `directory`, which was up. This
/// blocks.
///
/// # Errors
/// As [`remove_nodes`].
#[cfg(feature = "kind")]
pub(crate) fn remove_containers(name: &str, directory: &Utf8Path) -> io::Result<()> {
    let remover = Remover::new(name, directory, true);
    remover.remove(Extent::Everything).map(|_| ())
}

/// Removes whatever the testbed `name` in `directory` has in Docker, if it ever had something.
/// `was_up` says that all of it was made.
pub(super) fn sweep(name: &str, directory: &Utf8Path, was_up: bool) -> io::Result<Removed> {
    if !is_marked(directory) {
        return Ok(Removed::default());
    }
    let remover = Remover::new(name, directory, was_up);
    remover.remove(Extent::Everything).map_err(|error| {
        let text = format!(
            "containers of testbed `{name}` cannot be removed: {error}; start Docker, or remove the \
             file {} to give them up",
            directory.join(MARKER)
        );
        io::Error::new(error.kind(), text)
    })
}

/// What is to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// The nodes, which are gone when Docker says so.
    #[cfg_attr(
        not(any(feature = "kind", test)),
        expect(dead_code, reason = "only a cluster of kind has nodes to remove")
    )]
    Nodes,
    /// All that is there, until nothing is.
    Everything,
}

/// Removes one testbed's part of Docker.
struct Remover {
    docker: Client,
    /// How long a container may still appear.
    settle: Duration,
    /// Name of the cluster for kind, and of its network. It stands for the testbed's directory, so
    /// nobody else has it.
    cluster: String,
    directory: Utf8PathBuf,
}

impl Remover {
    fn new(name: &str, directory: &Utf8Path, was_up: bool) -> Self {
        Self {
            docker: Client {
                program: "docker".into(),
                limit: CALL_LIMIT,
            },
            settle: if was_up { Duration::ZERO } else { SETTLE },
            cluster: resource_name(name, directory),
            directory: directory.to_owned(),
        }
    }

    /// Removes what is there, and what comes while clients of the testbed still make something.
    fn remove(&self, extent: Extent) -> io::Result<Removed> {
        let mut removed = Removed::default();
        let started = Instant::now();
        loop {
            // Before the look: then a client was at work, or what it made is seen.
            let makers = makers(&self.directory);
            let look = self.look(extent, makers.is_empty())?;
            let done = match extent {
                Extent::Nodes => look.refused.is_none(),
                Extent::Everything => look.is_empty() && started.elapsed() >= self.settle,
            };
            if !done && started.elapsed() >= self.docker.limit + self.settle {
                return Err(look.left());
            }
            if !makers.is_empty() && started.elapsed() >= self.docker.limit {
                return Err(at_work(&makers));
            }
            keep_new(&mut removed.containers, look.containers);
            keep_new(&mut removed.networks, look.networks);
            if done && makers.is_empty() {
                return Ok(removed);
            }
            thread::sleep(POLL);
        }
    }

    /// Looks once for what is there, and asks Docker to remove it: nodes first, since a mount in a node
    /// waits for its server, and networks last, since one that is in use stays. They also stay while
    /// somebody makes something: kind makes a network that it misses.
    fn look(&self, extent: Extent, at_rest: bool) -> io::Result<Look> {
        let mut look = Look::default();
        self.remove_listed(&format!("label={KIND_LABEL}={}", self.cluster), &mut look)?;
        if extent == Extent::Everything {
            self.remove_listed(&format!("label={LABEL}={}", self.directory), &mut look)?;
            if at_rest {
                self.remove_networks(&mut look)?;
            }
        }
        Ok(look)
    }

    /// Removes the containers that a filter lists, with their volumes.
    fn remove_listed(&self, filter: &str, look: &mut Look) -> io::Result<()> {
        let call = ["ps", "--all", "--filter", filter, "--format", "{{.Names}}"];
        let names = self.docker.list(&call)?;
        if names.is_empty() {
            return Ok(());
        }
        if !geteuid().is_root() {
            for name in &names {
                self.empty(name);
            }
        }
        let remove = ["rm", "--force", "--volumes"];
        let call: Vec<&str> = remove
            .into_iter()
            .chain(names.iter().map(String::as_str))
            .collect();
        look.ask(self.docker.call(&call))?;
        look.containers.extend(names);
        Ok(())
    }

    /// Empties the directories of the testbed that a container has, from inside: what root made there
    /// cannot be removed by anyone else from outside. Nothing is lost when it cannot be done: the
    /// removal of the testbed's directory says so.
    fn empty(&self, container: &str) {
        let format = "{{range .Mounts}}{{if .RW}}{{.Source}}\t{{.Destination}}\n{{end}}{{end}}";
        let mounts = self
            .docker
            .list(&["inspect", "--format", format, container])
            .unwrap_or_default();
        for mount in mounts {
            if let Some((source, destination)) = mount.split_once('\t')
                && Utf8Path::new(source).starts_with(&self.directory)
            {
                let all = ["-xdev", "-mindepth", "1", "-delete"];
                let call: Vec<&str> = ["exec", container, "find", destination]
                    .into_iter()
                    .chain(all)
                    .collect();
                let _ = self.docker.call(&call);
            }
        }
    }

    /// Removes the networks that carry the testbed's label or its name: one that kind made has no label.
    /// By their ids, since Docker may have several of one name.
    fn remove_networks(&self, look: &mut Look) -> io::Result<()> {
        let format = format!("{{{{.ID}}}}\t{{{{.Name}}}}\t{{{{.Label {LABEL:?}}}}}");
        let call = ["network", "ls", "--no-trunc", "--format", &format];
        for network in self.docker.list(&call)? {
            let mut fields = network.splitn(3, '\t');
            let (Some(id), Some(name), Some(label)) = (fields.next(), fields.next(), fields.next())
            else {
                let text = format!("`docker network ls` answered something unexpected: {network}");
                return Err(io::Error::new(ErrorKind::InvalidData, text));
            };
            if name == self.cluster || label == self.directory {
                look.ask(self.docker.call(&["network", "rm", id]))?;
                look.networks.push(name.to_owned());
            }
        }
        Ok(())
    }
}

/// What was found at once, all of which Docker was asked to remove.
#[derive(Debug, Default)]
struct Look {
    containers: Vec<String>,
    networks: Vec<String>,
    /// What Docker said when it did not.
    refused: Option<io::Error>,
}

impl Look {
    fn is_empty(&self) -> bool {
        self.containers.is_empty() && self.networks.is_empty()
    }

    /// Takes the answer to a removal. What Docker refuses now it may do at the next look: somebody else
    /// was faster, Docker is still at it, or an end in a network is not gone yet. What counts is what is
    /// listed then.
    fn ask(&mut self, answer: io::Result<String>) -> io::Result<()> {
        match answer {
            Ok(_) => Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Other) => {
                self.refused = Some(error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Why it is not gone.
    fn left(self) -> io::Error {
        let names = [self.containers, self.networks].concat().join(", ");
        let text = match self.refused {
            Some(refused) => format!("{names} are still there: {refused}"),
            None => format!("they come back however often they are removed: {names}"),
        };
        io::Error::new(ErrorKind::TimedOut, text)
    }
}

fn at_work(makers: &[u32]) -> io::Error {
    let pids: Vec<_> = makers.iter().map(u32::to_string).collect();
    let text = format!(
        "`docker` is still making something in processes {}: end them, if they hang",
        pids.join(", ")
    );
    io::Error::new(ErrorKind::TimedOut, text)
}

/// Adds the names that are not there yet.
fn keep_new(names: &mut Vec<String>, found: Vec<String>) {
    for name in found {
        if !names.contains(&name) {
            names.push(name);
        }
    }
}

#[cfg(test)]
mod tests;
