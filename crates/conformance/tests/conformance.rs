//! The nextest entry: the same cases as `claimcheck run`, one test for each row of the catalogue.
//!
//! `claimcheck up` owns the testbed; each test, a process of its own, attaches to it. Which rows are
//! skipped is known at list time, from the subject file and the kind of cluster alone: they are
//! ignored tests whose names carry the reason.
//!
//! Environment: `CLAIMCHECK_SUBJECT` (default `reference`), `CLAIMCHECK_CLUSTER` (default `local`),
//! `CLAIMCHECK_NAME` (default `default`), `CLAIMCHECK_REPORT_DIR` (default `claimcheck-report`).

use std::env;
use std::process::ExitCode;

use conformance::case::Case;
use conformance::outcome::Outcome;
use conformance::report::model::CaseRecord;
use conformance::runner::{Keep, RunOptions, run_case};
use conformance::selection::{Planned, Selection, plan};
use conformance::subject::Subject;
use conformance::world::Ground;
use libtest_mimic::{Arguments, Failed, Trial};
use testbed::state::State;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    match trials() {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            // The harness speaks to nextest on standard output; people read standard error.
            #[expect(clippy::print_stderr, reason = "a test entry has no other printer")]
            {
                eprintln!("conformance: {error}");
            }
            ExitCode::from(2)
        }
    }
}

fn variable(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// A trial for each row, without a look at any cluster.
fn trials() -> Result<Vec<Trial>, Box<dyn std::error::Error>> {
    let cluster: testbed::kind::ClusterKind = variable("CLAIMCHECK_CLUSTER", "local").parse()?;
    let given = variable("CLAIMCHECK_SUBJECT", "reference");
    let file = testbed::subject::Subject::open(cluster.subject(&given))?;
    let subject = Subject::declared_by(&file)?;
    let planned = plan(&Selection::default(), &subject, &cluster.modes());
    Ok(planned
        .into_iter()
        .map(|planned| trial(planned, &subject))
        .collect())
}

fn trial(Planned { row, decision }: Planned, subject: &Subject) -> Trial {
    let name = format!("{}_{}", row.id, row.name.replace('-', "_"));
    match decision {
        Ok(case) => {
            let subject = subject.clone();
            Trial::test(name, move || judge(case, subject))
        }
        Err(reason) => {
            // Asked to run it all the same, it cannot pass.
            let failure = format!("not judged: {reason}");
            Trial::test(format!("{name} ({reason})"), move || {
                Err(Failed::from(failure))
            })
            .with_ignored_flag(true)
        }
    }
}

/// Attaches to the testbed and runs one case on a runtime of its own.
fn judge(case: &'static Case, subject: Subject) -> Result<(), Failed> {
    // A second installation is refused and changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let name = variable("CLAIMCHECK_NAME", "default");
        let state = State::load(&name)?;
        let ground = Ground::attach(state, subject).await?;
        let interrupted = CancellationToken::new();
        cancel_on_signal(&interrupted)?;
        let (_testbed, broken) = watch::channel(None);
        let report = variable("CLAIMCHECK_REPORT_DIR", "claimcheck-report");
        let options = RunOptions {
            parallel: 1,
            captures: camino::Utf8PathBuf::from(report).join("captures"),
            keep: Keep::Never,
            rerun: format!("claimcheck run --name {name}"),
            interrupted,
            broken,
        };
        let done = run_case(&ground, case, &options).await;
        match done.record.outcome {
            Outcome::Passed => Ok(()),
            _ => Err(Failed::from(sentence(&done.record))),
        }
    })
}

/// Nextest ends a test that takes too long with SIGTERM, and grants it time to clean up.
fn cancel_on_signal(interrupted: &CancellationToken) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signal = signal(kind)?;
        let interrupted = interrupted.clone();
        tokio::spawn(async move {
            signal.recv().await;
            interrupted.cancel();
        });
    }
    Ok(())
}

/// The verdict as a person reads it.
fn sentence(record: &CaseRecord) -> String {
    let head = format!("{} ({}, {})", record.title, record.level, record.source);
    let Some(failure) = &record.failure else {
        let reason = record.reason.as_deref().unwrap_or("no reason given");
        return format!("{head}\n{}: {reason}", record.outcome);
    };
    format!(
        "{head}\nexpected {}\nobserved {}\n{}\nrerun: {}",
        failure.expected,
        failure.observed,
        failure.evidence.join("\n"),
        failure.rerun
    )
}
