//! The provisioner as a process: as the older manifests start it, by variables alone.

use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use testbed::process::{Child, Spec};

use crate::bed::{Bed, CLAIMCHECK, PATIENCE, until};

/// How long it may take to end in order: its own limit is 20 s.
const GRACE: Duration = Duration::from_secs(25);

/// What the manifests of a deployment say.
pub(crate) struct Deployment {
    pub(crate) name: String,
    env: BTreeMap<String, String>,
    place: Utf8PathBuf,
    /// Each start has a log of its own.
    starts: AtomicUsize,
}

impl Deployment {
    /// A deployment with the variables of nfs-subdir, on an export that stands mounted at `mounted`.
    pub(crate) fn new(
        bed: &Bed,
        name: &str,
        provisioner: &str,
        (namespace, kubeconfig): (&str, &Utf8Path),
        mounted: &Utf8Path,
    ) -> Self {
        let place = bed.path(name);
        fs_err::create_dir_all(&place).unwrap();
        let env = [
            ("PROVISIONER_NAME", provisioner),
            ("NFS_SERVER", "nfs.example.org"),
            ("NFS_PATH", "/export"),
            ("POD_NAMESPACE", namespace),
            // In a pod the three are kubelet's doing.
            ("KUBECONFIG", kubeconfig.as_str()),
            ("CLAIMCHECK_MOUNT_PATH", mounted.as_str()),
            ("CLAIMCHECK_ALLOW_ANY_FILESYSTEM", "true"),
            // Nothing of a test waits for 15 s without a reason.
            ("LEADER_ELECTION_LEASE_DURATION", "4s"),
            ("LEADER_ELECTION_RENEW_DEADLINE", "3s"),
            ("LEADER_ELECTION_RETRY_PERIOD", "500ms"),
            ("CLAIMCHECK_HTTP_ADDRESS", "127.0.0.1:0"),
        ];
        Self {
            name: name.to_owned(),
            env: env
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            place,
            starts: AtomicUsize::new(0),
        }
    }

    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.env.insert(key.to_owned(), value.to_owned());
    }

    /// Starts it without any argument.
    pub(crate) async fn start(&self) -> Running {
        let start = self.starts.fetch_add(1, Ordering::SeqCst);
        let log = self.place.join(format!("provisioner-{start}.log"));
        let spec = Spec {
            name: self.name.clone(),
            command: CLAIMCHECK.to_owned(),
            args: vec!["provisioner".to_owned()],
            env: self.env.clone(),
            dir: self.place.clone(),
            log: log.clone(),
            bind: Vec::new(),
            guard: Some(CLAIMCHECK.into()),
        };
        Running {
            log,
            child: Child::spawn(spec).await.unwrap(),
        }
    }

    /// Runs a command of it with the same variables; exit code, standard output, standard error.
    pub(crate) async fn command(&self, arguments: &[&str]) -> Answer {
        let mut command = Command::new(CLAIMCHECK);
        command
            .arg("provisioner")
            .args(arguments)
            .envs(&self.env)
            .env_remove("RUST_LOG")
            .current_dir(&self.place)
            .stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        Answer(
            tokio::time::timeout(PATIENCE, output)
                .await
                .unwrap()
                .unwrap(),
        )
    }
}

/// What a command answered.
pub(crate) struct Answer(Output);

impl Answer {
    pub(crate) fn code(&self) -> Option<i32> {
        self.0.status.code()
    }

    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.0.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out(), self.err()))
    }
}

/// The provisioner under way. A test that fails does not leave it behind: its guard ends it.
pub(crate) struct Running {
    child: Child,
    log: Utf8PathBuf,
}

impl Running {
    pub(crate) fn log(&self) -> String {
        fs_err::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for a text in the log.
    pub(crate) async fn says(&self, text: &str) {
        until(&format!("`{text}` is logged"), async || {
            self.log().contains(text)
        })
        .await;
    }

    /// Ends it in order.
    pub(crate) async fn stop(self) {
        let status = self.child.stop(GRACE).await;
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// Waits until it has ended by itself; its exit code.
    pub(crate) async fn ended(&self) -> Option<i32> {
        tokio::time::timeout(PATIENCE, self.child.exited())
            .await
            .unwrap()
            .code()
    }
}
