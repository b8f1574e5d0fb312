//! Provisioners that share a lock, an export and classes, each with proxies of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitStatus;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use testbed::faults::api::ApiProxy;
use testbed::faults::nfs::{NfsCall, NfsProxy};
use testbed::faults::{Arrest, Moment};
use testbed::nfs::embedded::KeptPort;
use testbed::nfs::{EmbeddedExport, ExportOptions};
use testbed::process::{Child, Spec};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::bed::{Bed, CLAIMCHECK, NAMESPACE};
use crate::disk;
use crate::objects::Objects;
use crate::wait::{PATIENCE, soon, until};

/// How long others wait after the last renewal: shorter than usual, and the same ratios.
pub(crate) const DURATION: Duration = Duration::from_secs(8);
const RENEW_DEADLINE: Duration = Duration::from_secs(5);
/// Between two attempts.
pub(crate) const RETRY: Duration = Duration::from_millis(500);
/// How long a provisioner may take to end in order: its own limit is 20 s.
const GRACE: Duration = Duration::from_secs(25);
/// The procedures of NFS v3 that change something (RFC 1813, section 3.3).
const NFS_WRITES: [&str; 11] = [
    "SETATTR", "WRITE", "CREATE", "MKDIR", "SYMLINK", "MKNOD", "REMOVE", "RMDIR", "RENAME", "LINK",
    "COMMIT",
];
const API_READS: [&str; 3] = ["get", "list", "watch"];

/// What replicas share.
pub(crate) struct Hall {
    pub(crate) objects: Objects,
    /// The exported directory.
    pub(crate) directory: Utf8PathBuf,
    /// The exported path.
    pub(crate) path: String,
    port: KeptPort,
    /// `None` for a moment only, while it is replaced.
    export: Option<EmbeddedExport>,
}

impl Hall {
    /// An empty export, a namespace, and classes: beside the usual ones `nonsense`, which is
    /// refused.
    pub(crate) async fn new(bed: &Bed, name: &str) -> Self {
        let objects = Objects {
            client: bed.client.clone(),
            name: name.to_owned(),
            provisioner: format!("{name}.example.org/nfs"),
        };
        objects.set_up().await;
        objects.class("nonsense", json!({ "nonsense": "x" })).await;
        Self::over(bed, objects, "export").await
    }

    /// Another export for the same classes and claims.
    pub(crate) async fn beside(&self, bed: &Bed, name: &str) -> Self {
        Self::over(bed, self.objects.clone(), name).await
    }

    async fn over(bed: &Bed, objects: Objects, name: &str) -> Self {
        let directory = bed.path(&objects.name).join(name);
        fs_err::create_dir_all(&directory).unwrap();
        let path = format!("/{name}");
        let port = KeptPort::any().unwrap();
        let export = serve(&directory, &path, port.address(), false).await;
        Self {
            objects,
            directory,
            path,
            port,
            export: Some(export),
        }
    }

    /// Puts a server in the place of the one there is, on the same port, which takes root for the
    /// anonymous user or does not.
    pub(crate) async fn squash(&mut self, root_squash: bool) {
        if let Some(export) = self.export.take() {
            export.stop().await;
        }
        let export = serve(
            &self.directory,
            &self.path,
            self.port.address(),
            root_squash,
        )
        .await;
        self.export = Some(export);
    }

    /// Waits until nothing of ours is on the export but these directories at its top, each with the
    /// record of a stored volume.
    pub(crate) async fn holds(&self, directories: &[String]) -> Result<(), String> {
        let mut wanted = directories.to_vec();
        wanted.sort();
        until(PATIENCE, "an export in order", async || {
            let (top, state) = (disk::top(&self.directory), disk::state(&self.directory));
            let saved = state.records.values().filter(|said| *said == "saved");
            let fine = top == wanted
                && state.records.len() == wanted.len()
                && saved.count() == wanted.len()
                && state.trash.is_empty()
                && state.scraps.is_empty();
            if fine {
                Ok(())
            } else {
                Err(format!("{top:?}, not {wanted:?}; {state:?}"))
            }
        })
        .await
        .map_err(|error| format!("{}: {error}", self.path))
    }

    /// The directories of volumes on the export.
    pub(crate) fn directories(&self) -> usize {
        disk::tree(&self.directory)
            .keys()
            .filter(|path| !path.contains('/') && !path.starts_with('.'))
            .count()
    }

    /// Waits until a volume object and its directory are gone.
    pub(crate) async fn gone(&self, volume: &str) -> Result<(), String> {
        let what = format!("volume {volume} gone");
        until(PATIENCE, &what, async || {
            let found = self.objects.volumes().get_opt(volume).await;
            let tree = disk::tree(&self.directory);
            let directory = tree.keys().find(|path| path.ends_with(volume));
            match (found, directory) {
                (Ok(None), None) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    }

    /// Waits until a volume is Released.
    pub(crate) async fn released(&self, volume: &str) -> Result<(), String> {
        let what = format!("volume {volume} Released");
        until(PATIENCE, &what, async || {
            let found = self.objects.volumes().get(volume).await;
            let found = found.map_err(|error| error.to_string())?;
            let phase = found.status.and_then(|status| status.phase);
            if phase.as_deref() == Some("Released") {
                Ok(())
            } else {
                Err(format!("it is {phase:?}"))
            }
        })
        .await
    }
}

async fn serve(
    directory: &Utf8Path,
    path: &str,
    bind: SocketAddr,
    root_squash: bool,
) -> EmbeddedExport {
    EmbeddedExport::start(ExportOptions {
        directory: directory.to_owned(),
        export_path: path.to_owned(),
        bind,
        root_squash,
    })
    .await
    .unwrap()
}

/// One provisioner of a hall.
pub(crate) struct Replica {
    api: ApiProxy,
    nfs: NfsProxy,
    process: Child,
}

impl Replica {
    pub(crate) async fn start(bed: &Bed, hall: &Hall, name: &str) -> Self {
        Self::start_with(bed, hall, name, &[]).await
    }

    /// Starts one with these variables besides, or in place of, the usual ones.
    pub(crate) async fn start_with(
        bed: &Bed,
        hall: &Hall,
        name: &str,
        more: &[(&str, &str)],
    ) -> Self {
        let place = bed.path(&hall.objects.name).join(name);
        fs_err::create_dir_all(&place).unwrap();
        let nfs = NfsProxy::start(hall.port.address()).await.unwrap();
        let api = ApiProxy::start(&bed.kubeconfig).await.unwrap();
        let kubeconfig = place.join("kubeconfig");
        fs_err::write(&kubeconfig, api.kubeconfig(&bed.token, NAMESPACE)).unwrap();
        let port = nfs.port().to_string();
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
        let milliseconds = |duration: Duration| format!("{}ms", duration.as_millis());
        let env = [
            ("KUBECONFIG", kubeconfig.to_string()),
            ("NFS_PATH", hall.path.clone()),
            ("NFS_SERVER", "127.0.0.1".to_owned()),
            ("POD_NAMESPACE", NAMESPACE.to_owned()),
            ("PROVISIONER_NAME", hall.objects.provisioner.clone()),
            ("LEADER_ELECTION_LEASE_DURATION", milliseconds(DURATION)),
            (
                "LEADER_ELECTION_RENEW_DEADLINE",
                milliseconds(RENEW_DEADLINE),
            ),
            ("LEADER_ELECTION_RETRY_PERIOD", milliseconds(RETRY)),
            ("CLAIMCHECK_HTTP_ADDRESS", "127.0.0.1:0".to_owned()),
            ("CLAIMCHECK_LOG_FORMAT", "json".to_owned()),
        ];
        let spec = Spec {
            name: name.to_owned(),
            command: CLAIMCHECK.to_owned(),
            args: args.map(str::to_owned).to_vec(),
            env: env
                .into_iter()
                .chain(
                    more.iter()
                        .map(|(name, value)| (*name, (*value).to_owned())),
                )
                .map(|(name, value)| (name.to_owned(), value))
                .collect::<BTreeMap<_, _>>(),
            dir: place.clone(),
            log: place.join("provisioner.log"),
            bind: Vec::new(),
            guard: Some(CLAIMCHECK.into()),
        };
        Self {
            api,
            nfs,
            process: Child::spawn(spec).await.unwrap(),
        }
    }

    /// Its log: one JSON object a line.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let text = fs_err::read_to_string(self.process.log()).unwrap_or_default();
        // A line may be half written.
        text.split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
            })
            .collect()
    }

    /// The end of its log.
    pub(crate) fn log(&self) -> String {
        self.process.tail(30)
    }

    /// Waits for a line with this message.
    pub(crate) async fn says(&self, message: &str) -> Result<Value, String> {
        until(PATIENCE, message, async || {
            self.lines()
                .into_iter()
                .find(|line| line["message"] == message)
                .ok_or_else(|| self.log())
        })
        .await
    }

    /// Who it is in the lock.
    pub(crate) async fn identity(&self) -> Result<String, String> {
        let line = self.says("starting").await?;
        Ok(line["identity"].as_str().unwrap().to_owned())
    }

    /// Waits until a page of its HTTP port is 200 and holds this text.
    pub(crate) async fn shows(&self, path: &str, text: &str) -> Result<(), String> {
        self.answers(path, 200, text).await
    }

    /// Waits until a page of its HTTP port has this status and holds this text.
    pub(crate) async fn answers(&self, path: &str, status: u16, text: &str) -> Result<(), String> {
        let line = self.says("serving /healthz, /readyz and /metrics").await?;
        let address: SocketAddr = line["address"].as_str().unwrap().parse().unwrap();
        until(PATIENCE, &format!("{path} with {text:?}"), async || {
            let page = get(address, path)
                .await
                .map_err(|error| error.to_string())?;
            if page.starts_with(&format!("HTTP/1.1 {status} ")) && page.contains(text) {
                Ok(())
            } else {
                Err(page)
            }
        })
        .await
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Ends when it has ended by itself.
    pub(crate) async fn ended(&self) -> Result<ExitStatus, String> {
        soon("end of the provisioner", self.process.exited()).await
    }

    /// Ends it in order.
    pub(crate) async fn stop(&self) -> Result<(), String> {
        let status = self.process.stop(GRACE).await;
        if status.success() {
            Ok(())
        } else {
            Err(format!(
                "the provisioner ended with {status}\n{}",
                self.log()
            ))
        }
    }

    /// Holds back the answer to the first call of its export that `matches`.
    pub(crate) fn arrest(
        &self,
        matches: impl Fn(&NfsCall) -> bool + Send + Sync + 'static,
    ) -> Arrest {
        self.nfs.plan().arrest(Moment::After, 1, matches)
    }

    /// Holds back the first creation of a volume for a claim of this name.
    pub(crate) fn hold_creation(&self, claim: &str) -> Arrest {
        let about = format!("-{claim}-pvc-");
        self.api.plan().arrest(Moment::Before, 1, move |call| {
            call.is("create", "persistentvolumes") && call.is_about(&about)
        })
    }

    /// Holds back the first attempt to make the directory of a claim of this name.
    pub(crate) fn hold_directory(&self, claim: &str) -> Arrest {
        let about = format!("-{claim}-pvc-");
        self.nfs.plan().arrest(Moment::Before, 1, move |call| {
            call.procedure == "MKDIR" && call.is_about(&about)
        })
    }

    /// The most attempts that any work took which failed before.
    pub(crate) fn most_attempts(&self) -> u64 {
        let failed = |line: &Value| {
            let message = line["message"].as_str()?.to_owned();
            message.starts_with("not ").then_some(())?;
            line["attempt"].as_u64()
        };
        self.lines().iter().filter_map(failed).max().unwrap_or(0)
    }

    /// A place in what it asked of API and export.
    pub(crate) fn marks(&self) -> (usize, usize) {
        (self.api.plan().mark(), self.nfs.plan().mark())
    }

    /// Every call since then that changes something.
    pub(crate) fn writes_since(&self, (api, nfs): (usize, usize)) -> Vec<String> {
        let of_api = self.api.plan().since(api).into_iter();
        let of_nfs = self.nfs.plan().since(nfs).into_iter();
        of_api
            .filter(|entry| !API_READS.contains(&entry.call.verb.as_str()))
            .map(|entry| entry.call.to_string())
            .chain(
                of_nfs
                    .filter(|entry| NFS_WRITES.contains(&entry.call.procedure.as_str()))
                    .map(|entry| entry.call.to_string()),
            )
            .collect()
    }

    /// The time in the last update of the lock that it sent, which has to be its release.
    pub(crate) fn last_write_of_the_lock(&self) -> Result<Timestamp, String> {
        let update = self.api.plan().since(0).into_iter().rev().find(|entry| {
            entry.call.resource == "leases" && !API_READS.contains(&entry.call.verb.as_str())
        });
        let update = update.ok_or("it never wrote the lock")?;
        let lease: Lease =
            serde_json::from_slice(&update.call.body).map_err(|error| error.to_string())?;
        let spec = lease.spec.ok_or("the lock has no content")?;
        if spec.holder_identity.as_deref() != Some("") {
            return Err(format!("the lock was not released: {spec:?}"));
        }
        Ok(spec.renew_time.ok_or("the lock has no time")?.0)
    }
}

async fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}
