//! A program for the tests of this crate: the guard of their children, and an owner of children that
//! can be killed.
//!
//! `testbed-probe hold LOG [--bind FROM TO] COMMAND...` starts one child. `testbed-probe cluster HOME
//! NAME` boots a local cluster with the tools of the environment. Both write `up PID...` to standard
//! output, with the pids of the children, and end with their children.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write as _;

use testbed::artifacts::{Home, fresh_logs};
use testbed::cluster::Cluster as _;
use testbed::cluster::local::{LocalBinaries, LocalCluster, LocalOptions};
use testbed::process::{Bind, Child, Spec};
use testbed::state::{ExportInfo, Owner, State, SubjectState, Timings};
use testbed::tools::{NoProgress, ToolOptions, Tools};

fn main() -> Result<(), Box<dyn Error>> {
    testbed::process::guard_if_asked();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match arguments[..] {
        ["hold", log, "--bind", from, to, ref command @ ..] => {
            let bind = vec![Bind {
                from: from.into(),
                to: to.into(),
            }];
            runtime.block_on(hold(log, bind, command))
        }
        ["hold", log, ref command @ ..] => runtime.block_on(hold(log, Vec::new(), command)),
        ["cluster", home, name] => runtime.block_on(cluster(&Home::at(home), name)),
        _ => Err("usage: testbed-probe hold LOG COMMAND... | cluster HOME NAME".into()),
    }
}

async fn hold(log: &str, bind: Vec<Bind>, command: &[&str]) -> Result<(), Box<dyn Error>> {
    let (program, args) = command.split_first().ok_or("no command")?;
    let child = Child::spawn(Spec {
        name: "held".to_owned(),
        command: (*program).to_owned(),
        args: args.iter().map(|argument| (*argument).to_owned()).collect(),
        env: BTreeMap::new(),
        dir: "/".into(),
        log: log.into(),
        bind,
        guard: None,
    })
    .await?;
    say_up([child.pid()])?;
    let status = child.exited().await;
    if status.success() {
        Ok(())
    } else {
        Err(status.to_string().into())
    }
}

async fn cluster(home: &Home, name: &str) -> Result<(), Box<dyn Error>> {
    let tools = Tools::resolve(&ToolOptions::from_env()?, &NoProgress).await?;
    let directory = home.claim(name)?;
    let logs = home.logs(name);
    fresh_logs(&logs)?;
    let options = LocalOptions {
        directory: directory.clone(),
        logs: logs.clone(),
        binaries: LocalBinaries::from(&tools),
        kubernetes: "v1.36.3".to_owned(),
        nodes: 3,
        guard: None,
    };
    let cluster = LocalCluster::up(&options).await?;
    let state = State {
        name: name.to_owned(),
        owner: Owner::this_process().ok_or("no /proc")?,
        logs,
        case_lock: directory.join("lock"),
        cluster: cluster.describe(),
        export: ExportInfo {
            server: String::new(),
            path: String::new(),
            port: 0,
            mount_port: 0,
            directory: directory.join("export"),
            container: None,
        },
        subject: SubjectState {
            file: "none".into(),
            sha256: String::new(),
            name: "none".to_owned(),
            version: None,
            provisioner: "none".to_owned(),
            pid: None,
        },
        children: cluster.children(),
        timings: Timings::default(),
        directory,
    };
    state.save()?;
    say_up(state.children.iter().map(|child| child.pid))?;
    Err(cluster.failed().await.to_string().into())
}

/// Tells the test that everything is started.
fn say_up(pids: impl IntoIterator<Item = u32>) -> std::io::Result<()> {
    let pids: Vec<String> = pids.into_iter().map(|pid| pid.to_string()).collect();
    writeln!(std::io::stdout(), "up {}", pids.join(" "))
}
