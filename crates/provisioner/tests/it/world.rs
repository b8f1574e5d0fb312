//! One export, one cluster, and provisioners that come and go.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use provisioner::app;
use provisioner::backend::Backend;
use provisioner::backend::direct::Version;
use provisioner::class::DirectoryRules;
use provisioner::clock::BootClock;
use provisioner::config::{
    BackendChoice, Config, DirectoryAttributes, ExportPath, LeaseTimes, Limits, ProvisionerName,
    Target, UnknownParameters, Workers,
};
use provisioner::error::Error;
use provisioner::operations::{HttpAddress, Operations};
use provisioner::rules::{Rules, SoundRules};
use provisioner::seams::Seams;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api::{Api, Store};
use crate::memory::{FileSystem, Memory, Steps};

/// The longest anything may take, on the paused clock of a test.
const LIMIT: Duration = Duration::from_hours(24);

pub(crate) struct World {
    pub(crate) files: Arc<FileSystem>,
    pub(crate) store: Arc<Store>,
    pub(crate) config: Config,
}

pub(crate) struct Running {
    pub(crate) steps: Arc<Steps>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            files: FileSystem::new(),
            store: Store::new(),
            config: config(),
        }
    }

    /// Starts a provisioner that ends at a step.
    pub(crate) fn start_until(&self, last: usize) -> Running {
        self.start_with(Steps::up_to(last), Arc::new(SoundRules))
    }

    pub(crate) fn start(&self) -> Running {
        self.start_with(Steps::unlimited(), Arc::new(SoundRules))
    }

    pub(crate) fn start_with(&self, steps: Arc<Steps>, rules: Arc<dyn Rules>) -> Running {
        let memory = Memory {
            files: self.files.clone(),
            steps: steps.clone(),
        };
        self.start_on(Arc::new(memory), steps, rules)
    }

    /// Starts a provisioner on another export.
    pub(crate) fn start_on(
        &self,
        storage: Arc<dyn Backend>,
        steps: Arc<Steps>,
        rules: Arc<dyn Rules>,
    ) -> Running {
        let seams = self.seams(storage, &steps, rules);
        let stop = CancellationToken::new();
        let task = tokio::spawn(app::run(self.config.clone(), seams, stop.clone()));
        Running { steps, stop, task }
    }

    /// Starts a provisioner with an HTTP port, and says where that is.
    pub(crate) fn start_serving(&self) -> (Running, SocketAddr) {
        let steps = Steps::unlimited();
        let memory = Memory {
            files: self.files.clone(),
            steps: steps.clone(),
        };
        let seams = self.seams(Arc::new(memory), &steps, Arc::new(SoundRules));
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let surroundings = app::Surroundings {
            clock: Arc::new(BootClock),
            listener: Some(listener),
        };
        let stop = CancellationToken::new();
        let run = app::run_in(surroundings, self.config.clone(), seams, stop.clone());
        let task = tokio::spawn(run);
        (Running { steps, stop, task }, address)
    }

    fn seams(&self, storage: Arc<dyn Backend>, steps: &Arc<Steps>, rules: Arc<dyn Rules>) -> Seams {
        Seams {
            storage,
            cluster: Arc::new(Api {
                store: self.store.clone(),
                steps: steps.clone(),
            }),
            rules,
        }
    }
}

impl Running {
    /// Asks it to stop and goes on.
    pub(crate) fn ask_to_stop(&self) {
        self.stop.cancel();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Asks it to stop and waits for its end.
    pub(crate) async fn stop(self) -> Result<(), Error> {
        self.stop.cancel();
        self.task.await.unwrap()
    }

    /// Waits for an end nobody asked for.
    pub(crate) async fn ended(self) -> Result<(), Error> {
        tokio::time::timeout(LIMIT, self.task)
            .await
            .unwrap()
            .unwrap()
    }

    /// As SIGKILL does: nothing more is done.
    pub(crate) async fn kill(self) {
        self.task.abort();
        self.task.await.ok();
    }
}

pub(crate) fn config() -> Config {
    Config {
        target: Target {
            provisioner: ProvisionerName::new("westos.org/nfs").unwrap(),
            server: "server".to_owned(),
            aliases: Vec::new(),
            export: ExportPath::new("/export").unwrap(),
        },
        backend: BackendChoice::Direct {
            version: Version::V3,
            nfs_port: None,
            mount_port: None,
            uid: 0,
            gid: 0,
        },
        kubeconfig: None,
        namespace: "default".to_owned(),
        identity: "test_1".to_owned(),
        leader_election: false,
        lease: LeaseTimes::default(),
        owner: None,
        attributes: DirectoryAttributes::default(),
        directories: DirectoryRules::default(),
        unknown_parameters: UnknownParameters::Refuse,
        workers: Workers::default(),
        limits: Limits::default(),
        operations: Operations {
            http: HttpAddress::Off,
            ..Operations::default()
        },
    }
}

/// Waits for a condition; the paused clock makes back-off free.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let reached = tokio::time::timeout(LIMIT, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    assert!(reached.await.is_ok(), "never came true: {what}");
}

pub(crate) fn class(name: &str, parameters: &Value) -> StorageClass {
    serde_json::from_value(json!({
        "metadata": { "name": name, "uid": format!("uid-of-{name}") },
        "provisioner": "westos.org/nfs",
        "parameters": parameters,
        "reclaimPolicy": "Delete",
    }))
    .unwrap()
}

pub(crate) fn claim(name: &str, uid: &str, class: &str) -> PersistentVolumeClaim {
    serde_json::from_value(json!({
        "metadata": {
            "namespace": "ns", "name": name, "uid": uid,
            "annotations": { "volume.kubernetes.io/storage-provisioner": "westos.org/nfs" },
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": { "requests": { "storage": "1Gi" } },
            "storageClassName": class,
        },
    }))
    .unwrap()
}

/// The events of a reason, with their counts.
pub(crate) fn events_with(world: &World, reason: &str) -> Vec<(String, i32)> {
    world
        .store
        .events()
        .into_iter()
        .filter(|(text, _)| text.starts_with(reason))
        .collect()
}
