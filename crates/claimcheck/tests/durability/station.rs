//! One provisioner with an export and two proxies of its own. Any number share a control plane.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitStatus;
use std::time::Duration;

use camino::Utf8PathBuf;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, Patch, PatchParams};
use nix::sys::signal::Signal;
use serde_json::json;
use testbed::faults::api::ApiProxy;
use testbed::faults::nfs::NfsProxy;
use testbed::nfs::{EmbeddedExport, ExportOptions};
use testbed::process::{Child, Spec};

use crate::bed::{Bed, CLAIMCHECK, NAMESPACE};
use crate::objects::Objects;
use crate::wait::soon;

/// How long a provisioner may take to end in order: its own limit is 20 s.
const GRACE: Duration = Duration::from_secs(25);

pub(crate) struct Station {
    pub(crate) objects: Objects,
    pub(crate) nfs: NfsProxy,
    pub(crate) api: ApiProxy,
    /// The exported directory.
    pub(crate) directory: Utf8PathBuf,
    place: Utf8PathBuf,
    process: Option<Child>,
    _export: EmbeddedExport,
}

impl Station {
    /// An export with things of others on it, its proxies, a namespace and classes. The
    /// provisioner is not started.
    pub(crate) async fn new(bed: &Bed, name: &str) -> Self {
        let place = bed.path(name);
        let directory = place.join("export");
        for (path, bytes) in [
            ("foreign/deep/file", "somebody else's"),
            ("archived-foreign/file", "an older archive"),
        ] {
            let path = directory.join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, bytes).unwrap();
        }
        let export = EmbeddedExport::start(ExportOptions {
            directory: directory.clone(),
            export_path: "/export".to_owned(),
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            root_squash: false,
        })
        .await
        .unwrap();
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, export.port()));
        let api = ApiProxy::start(&bed.kubeconfig).await.unwrap();
        let text = api.kubeconfig(&bed.token, NAMESPACE);
        fs_err::write(place.join("kubeconfig"), text).unwrap();
        let objects = Objects {
            client: bed.client.clone(),
            name: name.to_owned(),
            provisioner: format!("{name}.example.org/nfs"),
        };
        objects.set_up().await;
        Self {
            objects,
            nfs: NfsProxy::start(server).await.unwrap(),
            api,
            directory,
            place,
            process: None,
            _export: export,
        }
    }

    /// Starts the provisioner, with the usual times of its lock.
    pub(crate) async fn start(&mut self) {
        let port = self.nfs.port().to_string();
        let kubeconfig = self.place.join("kubeconfig");
        let args = [
            "provisioner",
            "run",
            "--backend",
            "direct",
            "--nfs-port",
            &port,
            "--mount-port",
            &port,
        ];
        let env = [
            ("KUBECONFIG", kubeconfig.as_str()),
            ("NFS_PATH", "/export"),
            ("NFS_SERVER", "127.0.0.1"),
            ("POD_NAMESPACE", NAMESPACE),
            ("PROVISIONER_NAME", &self.objects.provisioner),
            // Each station has a port of its own, whichever it is.
            ("CLAIMCHECK_HTTP_ADDRESS", "127.0.0.1:0"),
        ];
        let spec = Spec {
            name: self.objects.name.clone(),
            command: CLAIMCHECK.to_owned(),
            args: args.map(str::to_owned).to_vec(),
            env: env
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect::<BTreeMap<_, _>>(),
            dir: self.place.clone(),
            log: self.place.join("provisioner.log"),
            bind: Vec::new(),
            guard: Some(CLAIMCHECK.into()),
        };
        self.process = Some(Child::spawn(spec).await.unwrap());
    }

    fn process(&self) -> &Child {
        self.process.as_ref().expect("it was started")
    }

    /// The end of the provisioner's log.
    pub(crate) fn log(&self) -> String {
        self.process
            .as_ref()
            .map(|process| process.tail(40))
            .unwrap_or_default()
    }

    /// Kills the provisioner as `kill -9` does; ends when it is gone.
    pub(crate) async fn kill(&self) {
        self.process().signal(Signal::SIGKILL);
        self.process().exited().await;
    }

    /// Ends when the provisioner has ended by itself.
    pub(crate) async fn ended(&self) -> Result<ExitStatus, String> {
        soon("end of the provisioner", self.process().exited()).await
    }

    /// Ends the provisioner in order.
    pub(crate) async fn stop(&self) -> Result<(), String> {
        let status = self.process().stop(GRACE).await;
        if status.success() {
            Ok(())
        } else {
            Err(format!("the provisioner ended with {status}"))
        }
    }

    /// Takes the lock from a killed holder, as if its time were up: what comes after does not
    /// depend on that time, and nobody waits for it.
    pub(crate) async fn expire_lock(&self) {
        let leases: Api<Lease> = Api::namespaced(self.objects.client.clone(), NAMESPACE);
        let name = self.objects.provisioner.replace('/', "-");
        if leases.get_opt(&name).await.unwrap().is_some() {
            let patch = json!({ "spec": { "holderIdentity": "" } });
            leases
                .patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
                .await
                .unwrap();
        }
    }
}
