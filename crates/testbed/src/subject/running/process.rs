//! Starting a subject that is a process of this machine.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::Utf8Path;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use tokio::time::timeout;

use super::super::error::StartError;
use super::super::placeholder::expand;
use super::super::start::{AccountReference, ProcessStart};
use super::{StartOptions, TAIL, cannot_start, kubeconfig, readiness};
use crate::process::{Bind, Child, Spec};
use crate::state::MARK;

/// How long a subject may take to become ready.
const READY_LIMIT: Duration = Duration::from_mins(1);
/// How long its token holds, in seconds: longer than any run.
const TOKEN_SECONDS: i64 = 24 * 60 * 60;

/// Starts the process and ends when it is ready.
pub(super) async fn start(
    options: &StartOptions<'_>,
    start: &ProcessStart,
) -> Result<Child, StartError> {
    let subject = options.subject;
    let account = &start.service_account;
    let token = token(options, account).await?;
    let kubeconfig = options.directory.join("subject.kubeconfig");
    kubeconfig::with_token(options.kubeconfig, &kubeconfig, &token, &account.namespace)
        .map_err(|error| cannot_start(subject, error))?;
    let spec = spec(options, start, &kubeconfig)?;
    let child = Child::spawn(spec)
        .await
        .map_err(|error| cannot_start(subject, error))?;
    ready(options, &child).await?;
    Ok(child)
}

/// A token of the account, as a pod of it would get.
async fn token(
    options: &StartOptions<'_>,
    account: &AccountReference,
) -> Result<String, StartError> {
    let api: Api<ServiceAccount> = Api::namespaced(options.client.clone(), &account.namespace);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            expiration_seconds: Some(TOKEN_SECONDS),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let refused = |source| StartError::Account {
        subject: options.subject.name.clone(),
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
fn spec(
    options: &StartOptions<'_>,
    start: &ProcessStart,
    kubeconfig: &Utf8Path,
) -> Result<Spec, StartError> {
    let subject = options.subject;
    let filled = |text: &String| {
        let error = |error| cannot_start(subject, std::io::Error::other(format!("{text} {error}")));
        expand(text, |placeholder| options.value(placeholder, kubeconfig)).map_err(error)
    };
    let mut command = start.command.iter().map(filled);
    let program = command
        .next()
        .unwrap_or_else(|| Err(cannot_start(subject, std::io::Error::other("no command"))))?;
    let args = command.collect::<Result<_, _>>()?;
    let mut env = start
        .env
        .iter()
        .map(|(name, text)| Ok((name.clone(), filled(text)?)))
        .collect::<Result<BTreeMap<_, _>, StartError>>()?;
    env.insert(MARK.to_owned(), options.directory.to_string());
    Ok(Spec {
        name: "subject".to_owned(),
        command: program,
        args,
        env,
        dir: options.directory.to_owned(),
        bind: bind(options)?,
        log: options.log(),
        guard: options.guard.map(Utf8Path::to_owned),
    })
}

/// The export at the path that the subject insists on.
fn bind(options: &StartOptions<'_>) -> Result<Vec<Bind>, StartError> {
    let Some(path) = options.subject.bind() else {
        return Ok(Vec::new());
    };
    if !path.is_dir() {
        let subject = options.subject.name.clone();
        return Err(StartError::BindTarget {
            subject,
            path: path.to_owned(),
        });
    }
    Ok(vec![Bind {
        from: options.export.directory.clone(),
        to: path.to_owned(),
    }])
}

/// Ends when the subject is ready.
async fn ready(options: &StartOptions<'_>, child: &Child) -> Result<(), StartError> {
    let subject = options.subject;
    let Some(ready) = subject.start.ready() else {
        return Ok(());
    };
    let (waited_for, until_ready) = readiness(options, ready);
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
