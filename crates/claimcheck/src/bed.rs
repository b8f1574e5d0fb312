//! A testbed that this process owns: cluster, export and subject, with the state others attach by.

use std::convert::Infallible;
use std::future::pending;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use futures::FutureExt as _;
use futures::future::{LocalBoxFuture, join, select};
use testbed::artifacts::Home;
use testbed::state::{self, Owner, State, StateError, Timings};
use testbed::subject::{RunningSubject, StartOptions, Subject};
use tokio::sync::watch;

use self::ground::Ground;
pub(crate) use self::parts::Parts;
use crate::failure::Failure;

mod ground;
mod kind;
mod local;
mod parts;

/// How long a subject may take to end in order, to give back its Lease for instance.
const SUBJECT_GRACE: Duration = Duration::from_secs(2);

/// What a testbed is made of.
#[derive(Debug)]
pub(crate) struct BedOptions<'a> {
    /// The state root.
    pub(crate) home: &'a Home,
    /// Its name.
    pub(crate) name: &'a str,
    /// Where its logs go, absolute; the directory exists.
    pub(crate) logs: &'a Utf8Path,
    /// The subject.
    pub(crate) subject: &'a Subject,
    /// The kind of cluster, with its programs and images.
    pub(crate) parts: &'a Parts,
    /// How long finding them took.
    pub(crate) parts_ms: u64,
}

/// A testbed that is up. Dropping it kills its processes; [`Bed::down`] and [`discard`] remove the
/// rest.
pub(crate) struct Bed {
    home: Home,
    state: State,
    ground: Ground,
    subject: RunningSubject,
}

impl Bed {
    /// Boots everything; `told` hears of each stage. The name must have been claimed, and is given
    /// back by the caller ([`discard`]) when this fails or is dropped.
    ///
    /// # Errors
    /// A part of the testbed does not start.
    pub(crate) fn up<'a>(
        options: &'a BedOptions<'_>,
        told: &'a (dyn Fn(&str) + Send + Sync),
    ) -> LocalBoxFuture<'a, Result<Self, Failure>> {
        // A boot is a large future; callers hold a pointer to it.
        Self::boot(options, told).boxed_local()
    }

    async fn boot(
        options: &BedOptions<'_>,
        told: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Self, Failure> {
        let BedOptions {
            home,
            name,
            logs,
            subject,
            parts,
            parts_ms,
        } = *options;
        let directory = home.cluster(name);
        let owner = Owner::this_process().ok_or(StateError::NoProc)?;
        told(&format!(
            "booting cluster `{name}` ({}, kubernetes {})",
            parts.kind(),
            parts.kubernetes()
        ));
        let started = Instant::now();
        let ground = match parts {
            Parts::Local(binaries) => Box::pin(local::boot(binaries, &directory, logs)).await?,
            Parts::Kind(parts) => Box::pin(kind::boot(parts, options, &directory, told)).await?,
        };
        let boot_ms = millis(started.elapsed());
        told(&format!("cluster up after {}", seconds(boot_ms)));

        let started = Instant::now();
        let running = start_subject(subject, &ground, &directory, logs).await?;
        let deploy_ms = millis(started.elapsed());

        let mut children = ground.cluster().children();
        children.extend(running.record().cloned());
        let state = State {
            name: name.to_owned(),
            owner,
            logs: logs.to_owned(),
            case_lock: directory.join("case.lock"),
            directory,
            cluster: ground.cluster().describe(),
            export: ground.export(),
            subject: running.state().clone(),
            children,
            timings: Timings {
                tools_ms: parts_ms,
                boot_ms,
                deploy_ms,
            },
        };
        state.save()?;
        // Not before the state is there: whoever waits for this line may read it.
        told(&format!(
            "subject `{}` ready after {}",
            subject.name,
            seconds(deploy_ms)
        ));
        Ok(Self {
            home: home.clone(),
            state,
            ground,
            subject: running,
        })
    }

    /// What others need to know of it.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Says in `broken` when a part of the cluster ends; tells of a subject that ends by itself,
    /// which is the subject's failure and breaks nothing.
    pub(crate) async fn watch(
        &self,
        broken: &watch::Sender<Option<String>>,
        told: &(dyn Fn(&str) + Sync),
    ) -> Infallible {
        let cluster = async {
            let cause = self.failed().await;
            told(&cause);
            broken.send_replace(Some(cause));
        };
        let subject = async {
            let end = self.subject.exited().await;
            told(&format!(
                "subject `{}` ended by itself ({end}); log {}",
                self.state.subject.name,
                self.subject.log()
            ));
        };
        join(cluster, subject).await;
        pending().await
    }

    /// Ends when a part of the testbed ends, with what did.
    pub(crate) async fn failed(&self) -> String {
        self.ground.failed().await
    }

    /// Takes everything down, in order, and removes its directory. Logs stay.
    ///
    /// # Errors
    /// A part does not end, or the directory cannot be removed.
    pub(crate) async fn down(self) -> Result<(), Failure> {
        let Self {
            home,
            state,
            ground,
            subject,
        } = self;
        // What it has in a cluster that goes anyway goes with it.
        if subject.record().is_some()
            && let Err(error) = subject.stop(SUBJECT_GRACE).await
        {
            tracing::warn!("the subject is not wholly stopped: {error}");
        }
        ground.end().await;
        discard(&home, &state.name).await
    }
}

/// Removes what is left of a testbed of this process, whose parts were stopped or dropped.
///
/// # Errors
/// A process does not end, or the directory cannot be removed.
pub(crate) async fn discard(home: &Home, name: &str) -> Result<(), Failure> {
    let (home, name) = (home.clone(), name.to_owned());
    tokio::task::spawn_blocking(move || state::end(&home, &name, Duration::ZERO))
        .await
        .map_err(Failure::defect)??;
    Ok(())
}

/// Runs `boot` under a claimed name, and gives the name back when it does not succeed or `stop`
/// comes first.
///
/// # Errors
/// The name is taken, `boot` fails, or `stop` came first.
pub(crate) async fn claimed<T>(
    home: &Home,
    name: &str,
    stop: impl Future<Output = ()>,
    boot: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    home.claim(name)?;
    let result = {
        let (boot, stop) = (std::pin::pin!(boot), std::pin::pin!(stop));
        match select(boot, stop).await {
            futures::future::Either::Left((result, _)) => result,
            futures::future::Either::Right(_) => Err(Failure::interrupted()),
        }
    };
    if result.is_err()
        && let Err(failure) = discard(home, name).await
    {
        tracing::warn!("testbed {name} is not wholly removed: {:#}", failure.error);
    }
    result
}

async fn start_subject(
    subject: &Subject,
    ground: &Ground,
    directory: &Utf8Path,
    logs: &Utf8Path,
) -> Result<RunningSubject, Failure> {
    let options = StartOptions {
        subject,
        client: ground.client(),
        kubeconfig: &ground.cluster().describe().kubeconfig,
        export: &ground.export(),
        directory,
        logs,
        claimcheck: &this_program()?,
        guard: None,
    };
    RunningSubject::start(options)
        .await
        .map_err(Failure::testbed)
}

/// The path of this executable, also after its file was replaced by a newer build (proc(5)).
pub(crate) fn this_program() -> Result<Utf8PathBuf, Failure> {
    let path = std::env::current_exe()
        .context("cannot find this executable")
        .and_then(|path| Utf8PathBuf::try_from(path).context("cannot name this executable"))
        .map_err(Failure::defect)?;
    if path.exists() {
        return Ok(path);
    }
    Ok(format!("/proc/{}/exe", std::process::id()).into())
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds as a person reads them: `312 ms`, `4.1 s`.
pub(crate) fn seconds(millis: u64) -> String {
    if millis < 1000 {
        format!("{millis} ms")
    } else {
        let duration = Duration::from_millis(millis);
        format!("{:.1} s", duration.as_secs_f64())
    }
}
