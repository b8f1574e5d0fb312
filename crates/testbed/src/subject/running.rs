//! A subject that runs as a process of this machine, with the rights of its `ServiceAccount`.

use std::collections::BTreeMap;
use std::process::ExitStatus;
use std::time::Duration;

use camino::Utf8Path;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use tokio::time::{sleep, timeout};

use super::error::StartError;
use super::model::{AccountReference, Readiness, Subject};
use super::placeholder::{Placeholder, expand};
use crate::cluster::local::LocalCluster;
use crate::manifests;
use crate::process::{Bind, Child, Spec, tail};
use crate::state::{ChildRecord, ExportInfo, MARK, SubjectState};

/// How long a subject may take to become ready.
const READY_LIMIT: Duration = Duration::from_mins(1);
/// How long its token holds, in seconds: longer than any run.
const TOKEN_SECONDS: i64 = 24 * 60 * 60;
/// How often its log is looked at: a file tells nobody that it grew.
const LOG_POLL: Duration = Duration::from_millis(50);
/// Lines of its log that an error shows.
const TAIL: usize = 15;

/// What a subject is started with.
#[derive(Debug)]
pub struct StartOptions<'a> {
    /// The subject.
    pub subject: &'a Subject,
    /// The cluster it serves.
    pub cluster: &'a LocalCluster,
    /// The export it serves claims on.
    pub export: &'a ExportInfo,
    /// The testbed's directory, where its kubeconfig goes.
    pub directory: &'a Utf8Path,
    /// Where its log goes, as `subject.log`.
    pub logs: &'a Utf8Path,
    /// What `${claimcheck}` stands for: the path of `claimcheck`.
    pub claimcheck: &'a Utf8Path,
    /// The executable that guards it; `None` for the running one.
    pub guard: Option<&'a Utf8Path>,
}

/// A subject that runs. Dropping it kills its process and what that started.
#[derive(Debug)]
pub struct RunningSubject {
    child: Child,
    state: SubjectState,
}

impl RunningSubject {
    /// Applies the subject's manifests, gives it a kubeconfig with a token of its `ServiceAccount`,
    /// starts it and waits until it is ready.
    ///
    /// # Errors
    /// A manifest is refused, there is no such account, the process cannot be started, or it ends or
    /// is not ready in time; it does not run then.
    pub async fn start(options: StartOptions<'_>) -> Result<Self, StartError> {
        let subject = options.subject;
        let client = options.cluster.client();
        let account = &subject.process.service_account;
        apply_manifests(&client, subject).await?;
        let token = token(&client, subject, account).await?;
        let kubeconfig = options.directory.join("subject.kubeconfig");
        options
            .cluster
            .write_kubeconfig(&kubeconfig, &token, &account.namespace)
            .map_err(|error| cannot_start(subject, error))?;

        let spec = spec(&options, &kubeconfig)?;
        let child = Child::spawn(spec)
            .await
            .map_err(|error| cannot_start(subject, error))?;
        ready(&client, subject, &child).await?;
        let state = SubjectState {
            file: subject.file.clone(),
            sha256: subject.sha256(),
            name: subject.name.clone(),
            version: subject.version.clone(),
            provisioner: subject.provisioner.clone(),
            pid: Some(child.pid()),
        };
        Ok(Self { child, state })
    }

    /// What the testbed's state says of it.
    pub fn state(&self) -> &SubjectState {
        &self.state
    }

    /// Its process.
    pub fn record(&self) -> &ChildRecord {
        self.child.record()
    }

    /// Its log.
    pub fn log(&self) -> &Utf8Path {
        self.child.log()
    }

    /// The last lines of its log.
    pub fn tail(&self) -> String {
        self.child.tail(TAIL)
    }

    /// Ends when its process has ended by itself. That is the subject's failure, not the testbed's.
    pub fn exited(&self) -> impl Future<Output = ExitStatus> + Send + use<> {
        self.child.exited()
    }

    /// Ends it: SIGTERM, and SIGKILL after `grace`. What it started goes with it.
    pub async fn stop(self, grace: Duration) -> ExitStatus {
        self.child.stop(grace).await
    }
}

async fn apply_manifests(client: &Client, subject: &Subject) -> Result<(), StartError> {
    let namespace = &subject.process.service_account.namespace;
    for manifest in &subject.manifests {
        manifests::apply(client, &manifest.text, namespace)
            .await
            .map_err(|error| StartError::Manifest {
                subject: subject.name.clone(),
                manifest: manifest.path.to_string(),
                source: Box::new(error),
            })?;
    }
    Ok(())
}

/// A token of the account, as a pod of it would get.
async fn token(
    client: &Client,
    subject: &Subject,
    account: &AccountReference,
) -> Result<String, StartError> {
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), &account.namespace);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            expiration_seconds: Some(TOKEN_SECONDS),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let refused = |source| StartError::Account {
        subject: subject.name.clone(),
        namespace: account.namespace.clone(),
        account: account.name.clone(),
        source,
    };
    let answer = api
        .create_token_request(&account.name, &PostParams::default(), &request)
        .await
        .map_err(|error| refused(Box::new(error)))?;
    let token = answer.status.and_then(|status| status.token);
    token.ok_or_else(|| refused("the answer has no token".into()))
}

/// How to start the process.
fn spec(options: &StartOptions<'_>, kubeconfig: &Utf8Path) -> Result<Spec, StartError> {
    let StartOptions {
        subject,
        export,
        directory,
        logs,
        claimcheck,
        guard,
        ..
    } = *options;
    let log = logs.join("subject.log");
    let value = |placeholder| match placeholder {
        Placeholder::Claimcheck => claimcheck.to_string(),
        Placeholder::Kubeconfig => kubeconfig.to_string(),
        Placeholder::Namespace => subject.process.service_account.namespace.clone(),
        Placeholder::Provisioner => subject.provisioner.clone(),
        Placeholder::ExportServer => export.server.clone(),
        Placeholder::ExportPath => export.path.clone(),
        Placeholder::ExportPort => export.port.to_string(),
        Placeholder::ExportDirectory => export.directory.to_string(),
        Placeholder::Log => log.to_string(),
    };
    let filled = |text: &String| {
        let error = |error| cannot_start(subject, std::io::Error::other(format!("{text} {error}")));
        expand(text, value).map_err(error)
    };
    let mut command = subject.process.command.iter().map(filled);
    let program = command
        .next()
        .unwrap_or_else(|| Err(cannot_start(subject, std::io::Error::other("no command"))))?;
    let args = command.collect::<Result<_, _>>()?;
    let mut env = subject
        .process
        .env
        .iter()
        .map(|(name, text)| Ok((name.clone(), filled(text)?)))
        .collect::<Result<BTreeMap<_, _>, StartError>>()?;
    env.insert(MARK.to_owned(), directory.to_string());
    Ok(Spec {
        name: "subject".to_owned(),
        command: program,
        args,
        env,
        dir: directory.to_owned(),
        bind: bind(subject, &export.directory)?,
        log,
        guard: guard.map(Utf8Path::to_owned),
    })
}

/// The export at the path that the subject insists on.
fn bind(subject: &Subject, export: &Utf8Path) -> Result<Vec<Bind>, StartError> {
    let Some(path) = subject.bind() else {
        return Ok(Vec::new());
    };
    if !path.is_dir() {
        let subject = subject.name.clone();
        return Err(StartError::BindTarget {
            subject,
            path: path.to_owned(),
        });
    }
    Ok(vec![Bind {
        from: export.to_owned(),
        to: path.to_owned(),
    }])
}

/// Ends when the subject is ready.
async fn ready(client: &Client, subject: &Subject, child: &Child) -> Result<(), StartError> {
    let Some(readiness) = &subject.process.ready else {
        return Ok(());
    };
    let namespace = &subject.process.service_account.namespace;
    let (waited_for, until_ready) = match readiness {
        Readiness::Lease(name) => {
            let text = format!("no holder of Lease {namespace}/{name}");
            (
                text,
                futures::future::Either::Left(held(client, namespace, name)),
            )
        }
        Readiness::Log(line) => {
            let text = format!("no line with `{line}` in its log");
            (
                text,
                futures::future::Either::Right(logged(child.log(), line)),
            )
        }
    };
    tokio::select! {
        status = child.exited() => Err(StartError::Ended {
            subject: subject.name.clone(),
            status,
            log: child.log().to_owned(),
            tail: child.tail(TAIL),
        }),
        result = timeout(READY_LIMIT, until_ready) => match result {
            Ok(result) => result.map_err(|error| cannot_start(subject, error)),
            Err(_) => Err(StartError::NotReady {
                subject: subject.name.clone(),
                waited_for,
                limit: READY_LIMIT,
                log: child.log().to_owned(),
                tail: child.tail(TAIL),
            }),
        },
    }
}

/// Ends when the Lease has a holder.
async fn held(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<(), kube::runtime::wait::Error> {
    let api: Api<Lease> = Api::namespaced(client.clone(), namespace);
    await_condition(api, name, is_held).await.map(|_| ())
}

fn is_held(lease: Option<&Lease>) -> bool {
    let spec = lease.and_then(|lease| lease.spec.as_ref());
    spec.and_then(|spec| spec.holder_identity.as_deref())
        .is_some_and(|holder| !holder.is_empty())
}

/// Ends when the log holds the text.
async fn logged(log: &Utf8Path, text: &str) -> Result<(), kube::runtime::wait::Error> {
    while !tail(log, usize::MAX).contains(text) {
        sleep(LOG_POLL).await;
    }
    Ok(())
}

fn cannot_start(
    subject: &Subject,
    error: impl std::error::Error + Send + Sync + 'static,
) -> StartError {
    StartError::Process {
        subject: subject.name.clone(),
        source: Box::new(error),
    }
}
