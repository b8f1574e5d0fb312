//! One boot of a kind cluster.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use futures::future::{try_join, try_join_all, try_join3};
use kube::Client;
use kube::config::Kubeconfig;
use tokio::sync::watch::{self as channel, Receiver};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::config::{self, Facts, Given};
use super::create::{self, Milestone};
use super::plan::Plan;
use super::{KindCluster, KindOptions, NODE_DIRECTORY, dns, logs, mounts, pods, watch};
use crate::cluster::{ClusterError, access};
use crate::docker::{self, DockerError};
use crate::kind::ClusterKind;
use crate::machine;
use crate::state::{self, ClusterInfo, NfsMounts, NodeInfo};

/// How long kind may take: many times what it needs, since a node image may be unpacked first.
const KIND_LIMIT: Duration = Duration::from_mins(10);
/// How long the rest may take after the API answers, with the workers still to join.
const READY_LIMIT: Duration = Duration::from_mins(6);
/// The port of the API server in its node.
const API_PORT: &str = "6443/tcp";

/// Boots a cluster. When it fails, none of its containers is left.
pub(super) async fn boot(
    options: &KindOptions,
    told: &(dyn Fn(&str) + Send + Sync),
) -> Result<KindCluster, ClusterError> {
    let plan = Plan::new(&options.name, &options.directory, options.workers);
    state::mark_docker(&options.directory)?;
    let mut result = Box::pin(run(options, &plan, told)).await;
    if let Err(error) = &mut result {
        logs::collect(plan.names(), &options.logs).await;
        let said = match error {
            ClusterError::Kind { said, .. } => Some(said),
            ClusterError::Died(died) => Some(&mut died.tail),
            _ => None,
        };
        if let Some(said) = said
            && let Some(explanation) = logs::explanation(plan.names(), &options.logs)
        {
            said.push_str("\nlikely since ");
            said.push_str(explanation);
        }
        let (name, directory) = (options.name.clone(), options.directory.clone());
        if let Err(error) = super::remove(move || state::remove_nodes(&name, &directory)).await {
            warn!("nodes of the failed boot are left for the next sweep: {error}");
        }
    }
    result
}

async fn run(
    options: &KindOptions,
    plan: &Plan,
    told: &(dyn Fn(&str) + Send + Sync),
) -> Result<KindCluster, ClusterError> {
    let started = Instant::now();
    let (config, kubeconfig) = (
        options.directory.join("kind.json"),
        options.directory.join("kubeconfig"),
    );
    fs_err::write(&config, configuration(options, plan).await?)?;
    let count = plan.nodes.len();
    told(&format!(
        "kind creates {count} nodes of {}",
        options.node_image
    ));
    let kind = create::start(options, plan, &config, &kubeconfig).await?;
    let (sender, reached) = channel::channel(Milestone::Started);

    let created = async {
        timeout(KIND_LIMIT, create::finish(&kind, &sender, told))
            .await
            .unwrap_or_else(|_| Err(slow(options, "kind", KIND_LIMIT)))?;
        Ok(Instant::now())
    };
    let made = try_join(created, Box::pin(parts(options, plan, reached))).await;
    let (joined, parts) = match made {
        Ok(made) => made,
        Err(error) => {
            // Its nodes are removed next: it must not be making another one.
            kind.stop(Duration::ZERO).await;
            return Err(error);
        }
    };
    let ended = Instant::now();
    let stages = vec![
        ("nodes", parts.prepared - started),
        ("control plane", parts.answering - parts.prepared),
        ("workers", joined.saturating_duration_since(parts.answering)),
        ("pod network and DNS", ended - joined.max(parts.answering)),
    ];
    debug!(?stages, "up");
    let info = ClusterInfo {
        kind: ClusterKind::Kind.to_string(),
        kubernetes: options.kubernetes.clone(),
        modes: ClusterKind::Kind.modes(),
        kubeconfig,
        dns: Some(parts.dns),
        zone: access::ZONE.to_owned(),
        nodes: parts.nodes,
        mounts: Some(parts.mounts),
    };
    let watches = info.nodes.iter().map(|node| {
        watch::start(
            node,
            &options.directory,
            &options.logs,
            options.guard.as_deref(),
        )
    });
    Ok(KindCluster {
        watches: try_join_all(watches).await?,
        info,
        name: options.name.clone(),
        directory: options.directory.clone(),
        logs: options.logs.clone(),
        client: parts.client,
        stages,
    })
}

/// What is set up while kind is still at work.
struct Parts {
    nodes: Vec<NodeInfo>,
    mounts: NfsMounts,
    client: Client,
    dns: std::net::SocketAddr,
    /// When the nodes' containers ran.
    prepared: Instant,
    /// When the API server answered.
    answering: Instant,
}

async fn parts(
    options: &KindOptions,
    plan: &Plan,
    mut reached: Receiver<Milestone>,
) -> Result<Parts, ClusterError> {
    wait_for(&mut reached, Milestone::Nodes).await;
    let prepared = Instant::now();
    let nodes = describe(plan, options).await?;
    let mounts = mounts::prepare(&nodes).await?;
    wait_for(&mut reached, Milestone::ControlPlane).await;
    let answering = Instant::now();
    let client = client(plan).await?;
    let ready = try_join3(
        dns::set_up(&client, nodes[0].address),
        pods::set_up(&client, &nodes),
        access::default_account(&client),
    );
    let (dns, (), ()) = timeout(READY_LIMIT, ready)
        .await
        .unwrap_or_else(|_| Err(slow(options, "pod network and DNS", READY_LIMIT)))?;
    Ok(Parts {
        nodes,
        mounts,
        client,
        dns,
        prepared,
        answering,
    })
}

/// Ends when kind has come so far. A kind that fails ends the boot elsewhere.
async fn wait_for(reached: &mut Receiver<Milestone>, milestone: Milestone) {
    if reached.wait_for(|now| *now >= milestone).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn slow(options: &KindOptions, stage: &'static str, limit: Duration) -> ClusterError {
    ClusterError::Slow {
        stage,
        limit,
        logs: options.logs.clone(),
    }
}

/// Makes what the nodes are given, and kind's configuration.
async fn configuration(options: &KindOptions, plan: &Plan) -> Result<String, ClusterError> {
    let program_directory = options.directory.join("program");
    fs_err::create_dir_all(&program_directory)?;
    // A copy: the program may be replaced by a newer build while the cluster is up.
    fs_err::copy(&options.mount_program, program_directory.join("claimcheck"))?;
    let storage_manifest = options.directory.join("default-storage.yaml");
    fs_err::write(&storage_manifest, config::DEFAULT_STORAGE)?;
    for node in &plan.nodes {
        fs_err::create_dir_all(&node.directory)?;
    }
    let given = Given {
        node_directory: options
            .node_directory
            .clone()
            .unwrap_or_else(|| NODE_DIRECTORY.into()),
        program_directory,
        storage_manifest,
    };
    let cgroups = docker::run(&["info", "--format", "{{.CgroupVersion}}"]).await?;
    let facts = Facts {
        minor: config::minor_version(&options.kubernetes)?,
        cgroup_v1: cgroups == "1",
        bounded_oom_scores: !machine::may_have_sys_resource(),
    };
    Ok(config::render(plan, facts, &given))
}

/// The nodes, with the addresses that Docker gave them.
async fn describe(plan: &Plan, options: &KindOptions) -> Result<Vec<NodeInfo>, ClusterError> {
    let network = &options.network.name;
    let format = format!(
        "{{{{.State.ExitCode}}}} {{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}"
    );
    let described = plan.nodes.iter().map(async |node| {
        let call = ["inspect", "--format", &format, &node.name];
        let answer = docker::run(&call).await?;
        let (code, address) = answer.split_once(' ').unwrap_or((&answer, ""));
        let code = code.parse().unwrap_or_default();
        if address.is_empty() {
            // It ran a moment ago, or kind would not have come so far.
            let died = watch::node_died(&node.name, code, &options.logs).await;
            return Err(ClusterError::Died(died));
        }
        let address: IpAddr = address.parse().map_err(|_| DockerError::Answer {
            call: call.join(" "),
            answer: answer.clone(),
        })?;
        Ok(NodeInfo {
            name: node.name.clone(),
            container: node.name.clone(),
            address,
            control_plane: node.control_plane,
            directory: node.directory.clone(),
        })
    });
    try_join_all(described).await
}

/// A client for the API server, before kind has written its kubeconfig, which it does at its very end.
async fn client(plan: &Plan) -> Result<Client, ClusterError> {
    let node = plan.control_plane();
    let (text, published) = try_join(
        docker::exec(node, &["cat", "/etc/kubernetes/admin.conf"]),
        docker::run(&["port", node, API_PORT]),
    )
    .await?;
    let mut kubeconfig = Kubeconfig::from_yaml(&text)
        .map_err(|error| ClusterError::api("reading the kubeconfig", error))?;
    // The file names the server as nodes reach it.
    let address = published.lines().next().unwrap_or_default();
    for cluster in &mut kubeconfig.clusters {
        if let Some(cluster) = &mut cluster.cluster {
            cluster.server = Some(format!("https://{address}"));
        }
    }
    access::client(kubeconfig).await
}
