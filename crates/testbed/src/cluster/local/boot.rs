//! One attempt to boot a local cluster.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use futures::TryFutureExt as _;
use futures::future::try_join4;
use kube::Client;
use kube::config::Kubeconfig;
use tokio::time::timeout;
use tracing::debug;

use super::layout::{Layout, Ports};
use super::pki::{Identity, Pki};
use super::{ExtraFlags, LocalCluster, LocalOptions, apiserver, controller_manager, dns, etcd};
use super::{first_death, kubeconfig, nodes, scheduler, stop_all, wait};
use crate::cluster::{ClusterError, access};
use crate::kind::ClusterKind;
use crate::manifests;
use crate::process::{Child, Port, reserve};
use crate::state::ClusterInfo;

/// How long any one stage may take: many times what a busy machine needs.
const STAGE_LIMIT: Duration = Duration::from_mins(1);

/// A boot under way.
struct Boot<'a> {
    layout: Layout<'a>,
    children: Vec<Child>,
    stages: Vec<(&'static str, Duration)>,
}

/// Boots once. When it fails nothing of the attempt runs any more.
pub(super) async fn boot(
    options: &LocalOptions,
    extra: &ExtraFlags,
) -> Result<LocalCluster, ClusterError> {
    let started = Instant::now();
    let [etcd, etcd_peer, api, dns] = reserve::<4>()?;
    let ports = Ports {
        etcd: etcd.number(),
        etcd_peer: etcd_peer.number(),
        apiserver: api.number(),
        dns: dns.number(),
    };
    // An earlier attempt may have written half a store.
    crate::state::remove_directory(&options.directory.join("etcd"))
        .map_err(|error| std::io::Error::other(error.to_string()))?;
    let pki = Pki::generate(&options.directory.join("pki"))?;
    let layout = Layout {
        options,
        extra,
        pki,
        ports,
    };
    let mut boot = Boot {
        layout,
        children: Vec::new(),
        stages: Vec::new(),
    };
    boot.stages.push(("certificates", started.elapsed()));
    match boot.run([etcd, etcd_peer], api, dns).await {
        Ok((info, client)) => Ok(LocalCluster {
            info,
            client,
            children: boot.children,
            stages: boot.stages,
        }),
        Err(error) => {
            stop_all(&boot.children).await;
            Err(error)
        }
    }
}

impl Boot<'_> {
    async fn run(
        &mut self,
        etcd_ports: [Port; 2],
        api_port: Port,
        dns_port: Port,
    ) -> Result<(ClusterInfo, Client), ClusterError> {
        for port in etcd_ports {
            port.release();
        }
        self.start(etcd::spec(&self.layout)).await?;
        let etcd = self.layout.ports.etcd;
        self.stage("etcd", wait::http_ready(etcd, etcd::READY))
            .await?;

        api_port.release();
        self.start(apiserver::spec(&self.layout)).await?;
        let admin = self.kubeconfig("kubeconfig", &self.layout.pki.admin)?;
        let client = admin_client(&admin).await?;
        self.stage("API server", wait::api_ready(&client)).await?;

        self.start_the_rest(dns_port).await?;
        let count = self.layout.options.nodes;
        let dns = SocketAddr::from((Ipv4Addr::LOCALHOST, self.layout.ports.dns));
        let ready = try_join4(
            set_up(&client, count),
            wait::nodes_usable(&client, count),
            access::default_account(&client),
            access::dns_answers(dns),
        );
        self.stage("controllers, nodes and DNS", ready.map_ok(|_| ()))
            .await?;
        let info = ClusterInfo {
            kind: ClusterKind::Local.to_string(),
            kubernetes: self.layout.options.kubernetes.clone(),
            modes: ClusterKind::Local.modes(),
            kubeconfig: admin,
            dns: Some(dns),
            zone: access::ZONE.to_owned(),
            nodes: Vec::new(),
            mounts: None,
        };
        Ok((info, client))
    }

    /// Starts everything that only talks to the API.
    async fn start_the_rest(&mut self, dns_port: Port) -> Result<(), ClusterError> {
        let pki = &self.layout.pki;
        let manager = self.kubeconfig("controller-manager.kubeconfig", &pki.controller_manager)?;
        let scheduler_config = self.kubeconfig("scheduler.kubeconfig", &pki.scheduler)?;
        let nodes_config = self.kubeconfig("nodes.kubeconfig", &pki.nodes)?;
        let dns_config = self.kubeconfig("dns.kubeconfig", &pki.dns)?;
        let stages = self.layout.path("stages.yaml");
        fs_err::write(&stages, nodes::STAGES)?;
        let corefile = self.layout.path("Corefile");
        fs_err::write(&corefile, dns::corefile(self.layout.ports.dns, &dns_config))?;

        self.start(controller_manager::spec(&self.layout, &manager))
            .await?;
        self.start(nodes::spec(&self.layout, &nodes_config, &stages))
            .await?;
        dns_port.release();
        self.start(dns::spec(&self.layout, &corefile)).await?;
        self.start(scheduler::spec(&self.layout, &scheduler_config))
            .await?;
        Ok(())
    }

    async fn start(&mut self, spec: crate::process::Spec) -> Result<(), ClusterError> {
        self.children.push(Child::spawn(spec).await?);
        Ok(())
    }

    fn kubeconfig(&self, name: &str, identity: &Identity) -> Result<Utf8PathBuf, ClusterError> {
        let path = self.layout.path(name);
        let (url, authority) = (self.layout.api_url(), &self.layout.pki.authority);
        kubeconfig::with_certificate(&path, &url, authority, identity)?;
        Ok(path)
    }

    /// Waits for a stage, as long as every process lives and the limit is not reached.
    async fn stage(
        &mut self,
        stage: &'static str,
        ready: impl Future<Output = Result<(), ClusterError>>,
    ) -> Result<(), ClusterError> {
        let started = Instant::now();
        tokio::select! {
            died = first_death(&self.children) => return Err(ClusterError::Died(died)),
            result = timeout(STAGE_LIMIT, ready) => result.unwrap_or_else(|_| {
                let logs = self.layout.options.logs.clone();
                Err(ClusterError::Slow { stage, limit: STAGE_LIMIT, logs })
            })?,
        }
        debug!(stage, elapsed = ?started.elapsed(), "ready");
        self.stages.push((stage, started.elapsed()));
        Ok(())
    }
}

/// Creates what a new cluster lacks: its nodes, and the rights of its DNS server.
async fn set_up(client: &Client, count: usize) -> Result<(), ClusterError> {
    let objects = (0..count).map(nodes::manifest).chain(dns::roles());
    futures::future::try_join_all(
        objects.map(|object| async move { manifests::apply_one(client, &object, "default").await }),
    )
    .await
    .map_err(|error| ClusterError::api("creating nodes and roles", error))?;
    Ok(())
}

/// A client for the kubeconfig at `path`.
async fn admin_client(path: &Utf8Path) -> Result<Client, ClusterError> {
    let kubeconfig = Kubeconfig::read_from(path)
        .map_err(|error| ClusterError::api("reading the kubeconfig", error))?;
    access::client(kubeconfig).await
}
