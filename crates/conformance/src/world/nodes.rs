//! Real nodes, and the container that the export is served from.
//!
//! A case of mode `nd` has them; any other asks [`World::real_nodes`] before it looks at mounted
//! data, and does without on simulated nodes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use testbed::docker;
use testbed::nfs::ExportView;
use testbed::state::NodeInfo;

use super::World;
use crate::limits::Limit;
use crate::trouble::{CaseResult, Trouble, in_full};

/// How long one protocol exchange with a starting server may take, and how soon it is tried again: a
/// server has no watch.
const EXCHANGE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(200);

/// The container of the NFS server.
pub struct Server<'w> {
    world: &'w World,
    container: &'w str,
}

impl World {
    /// Whether pods run on real nodes, so that they mount their volumes and commands run in them.
    pub fn real_nodes(&self) -> bool {
        !self.testbed().cluster.nodes.is_empty()
    }

    /// The nodes on which pods of cases run, in the order of the testbed: all but the control plane,
    /// or that one where there is no other. Empty on simulated nodes.
    pub fn workers(&self) -> Vec<&NodeInfo> {
        workers_of(&self.testbed().cluster.nodes)
    }

    /// Two workers: the first, and another one.
    ///
    /// # Errors
    /// Inconclusive when the testbed has only one.
    pub fn two_workers(&self) -> CaseResult<(&NodeInfo, &NodeInfo)> {
        match self.workers()[..] {
            [first, second, ..] => Ok((first, second)),
            _ => Err(Trouble::inconclusive(
                "the testbed has fewer than two nodes for pods; `--workers 2` gives it two",
            )),
        }
    }

    /// Runs a command in a node and gives what it wrote to standard output, without surrounding
    /// white space.
    ///
    /// # Errors
    /// Inconclusive when it cannot be run or fails: a node is no subject.
    pub async fn on_node(&self, node: &NodeInfo, command: &[&str]) -> CaseResult<String> {
        docker::exec(&node.container, command)
            .await
            .map_err(|error| Trouble::inconclusive(format!("node {}: {error}", node.name)))
    }

    /// The container of the NFS server.
    ///
    /// # Errors
    /// Inconclusive when the export is served from none.
    pub fn server(&self) -> CaseResult<Server<'_>> {
        match &self.testbed().export.container {
            Some(container) => Ok(Server {
                world: self,
                container,
            }),
            None => Err(Trouble::inconclusive(
                "the export is not served from a container that can be killed",
            )),
        }
    }

    /// Starts the NFS server again if a case killed it and did not come to start it.
    pub(super) async fn restore_server(&self) -> CaseResult {
        if self.server_killed.is_set() {
            return self.server()?.start().await;
        }
        Ok(())
    }
}

/// Whether the case has killed the server and not yet started it again.
#[derive(Debug, Default)]
pub(super) struct Killed(AtomicBool);

impl Killed {
    fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    fn set(&self, killed: bool) {
        self.0.store(killed, Ordering::SeqCst);
    }
}

impl Server<'_> {
    /// Kills every process of the server at once (SIGKILL). What it had not written to its disk is
    /// lost with its memory, as far as the machine's own kernel does not keep it. Only for cases
    /// that run alone. The clean-up starts the server again if the case does not.
    ///
    /// # Errors
    /// Inconclusive when Docker fails.
    pub async fn kill(&self) -> CaseResult {
        self.world.server_killed.set(true);
        self.docker(&["kill", "--signal", "KILL", self.container])
            .await?;
        // `kill` returns once the signal is sent.
        self.docker(&["wait", self.container]).await?;
        self.world.mark("server", "killed");
        Ok(())
    }

    /// Starts the server again, with its address and export, and waits until it answers over the
    /// protocol: a mount, and the attributes of the export's root.
    ///
    /// # Errors
    /// Inconclusive when it does not within limit `control-plane`.
    pub async fn start(&self) -> CaseResult {
        self.docker(&["start", self.container]).await?;
        let limit = self.world.limit(Limit::ControlPlane);
        let deadline = tokio::time::Instant::now() + limit;
        let mut ticks = tokio::time::interval(PAUSE);
        loop {
            ticks.tick().await;
            // Each time a connection of its own: an earlier one may hang in the dead server.
            let view = ExportView::new(self.world.export().target().clone()).with_limit(EXCHANGE);
            match view.stat("").await {
                Ok(_) => break,
                Err(error) if tokio::time::Instant::now() >= deadline => {
                    return Err(Trouble::inconclusive(format!(
                        "the NFS server does not answer within {} s of its start: {}",
                        limit.as_secs(),
                        in_full(&error)
                    )));
                }
                Err(_) => {}
            }
        }
        self.world.server_killed.set(false);
        self.world.mark("server", "answers again");
        // The suite's own connection was to the dead server. Only a call that looks is sent again
        // over a new one; the next may be one that changes something.
        self.world.export().stat("").await?;
        Ok(())
    }

    async fn docker(&self, args: &[&str]) -> CaseResult {
        let done = docker::run(args).await;
        done.map(drop)
            .map_err(|error| Trouble::inconclusive(format!("the NFS server: {error}")))
    }
}

fn workers_of(nodes: &[NodeInfo]) -> Vec<&NodeInfo> {
    let workers: Vec<_> = nodes.iter().filter(|node| !node.control_plane).collect();
    if workers.is_empty() {
        nodes.iter().collect()
    } else {
        workers
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn node(name: &str, control_plane: bool) -> NodeInfo {
        NodeInfo {
            name: name.to_owned(),
            container: name.to_owned(),
            address: Ipv4Addr::LOCALHOST.into(),
            control_plane,
            directory: name.into(),
        }
    }

    #[test]
    fn pods_go_to_the_control_plane_only_where_there_is_nothing_else() {
        let nodes = [node("a", true), node("b", false), node("c", false)];
        let names = |nodes: &[NodeInfo]| -> Vec<String> {
            let workers = workers_of(nodes).into_iter();
            workers.map(|node| node.name.clone()).collect()
        };
        assert_eq!(names(&nodes), ["b", "c"]);
        assert_eq!(names(&nodes[..1]), ["a"]);
        assert!(names(&[]).is_empty());
    }
}
