//! Driving kind.

use std::time::Duration;

use camino::Utf8Path;
use tokio::sync::watch;
use tokio::time::sleep;

use super::plan::Plan;
use super::{KindOptions, environment};
use crate::cluster::ClusterError;
use crate::process::{Child, Spec};
use crate::state::makes;

/// How often kind's log is looked at: a file tells nobody that it grew.
const POLL: Duration = Duration::from_millis(100);
/// Lines of kind's log that an error shows.
const TAIL: usize = 15;
/// How kind's log marks what is done.
const DONE: &str = " ✓ ";

/// How far kind has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Milestone {
    /// It was started.
    Started,
    /// The nodes' containers run.
    Nodes,
    /// The API server answers, and kubeadm's own objects are there.
    ControlPlane,
    /// All nodes have joined.
    Joined,
}

/// Starts `kind create cluster` with the configuration at `config`. What fails is left in place: the
/// logs in the nodes say why.
pub(super) async fn start(
    options: &KindOptions,
    plan: &Plan,
    config: &Utf8Path,
    kubeconfig: &Utf8Path,
) -> Result<Child, ClusterError> {
    let mut env = environment::for_docker(&options.directory);
    env.extend(
        [
            ("KIND_EXPERIMENTAL_PROVIDER", "docker"),
            (
                "KIND_EXPERIMENTAL_DOCKER_NETWORK",
                options.network.name.as_str(),
            ),
            // Beside the flag, for whatever kind starts: the user's own file is never touched.
            ("KUBECONFIG", kubeconfig.as_str()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let args = [
        "create",
        "cluster",
        "--name",
        &plan.cluster,
        "--image",
        &options.node_image,
        "--config",
        config.as_str(),
        "--kubeconfig",
        kubeconfig.as_str(),
        "--wait",
        "0s",
        "--retain",
        "--verbosity",
        "1",
    ];
    let spec = Spec {
        name: "kind".to_owned(),
        command: options.kind.to_string(),
        args: args.map(str::to_owned).to_vec(),
        env,
        dir: options.directory.clone(),
        log: options.logs.join("kind.log"),
        bind: Vec::new(),
        guard: options.guard.clone(),
    };
    // Its calls of Docker that make nodes end by themselves, so that it is known what they made.
    Ok(Child::spawn_sparing(spec, makes).await?)
}

/// Ends when kind has, after telling of each of its steps and marking how far it came.
///
/// # Errors
/// kind failed.
pub(super) async fn finish(
    kind: &Child,
    reached: &watch::Sender<Milestone>,
    told: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), ClusterError> {
    let status = tokio::select! {
        status = kind.exited() => status,
        result = follow(kind.log(), reached, told) => match result? {},
    };
    if status.success() {
        reached.send_replace(Milestone::Joined);
        return Ok(());
    }
    Err(ClusterError::Kind {
        status,
        log: kind.log().to_owned(),
        said: reason(&fs_err::read_to_string(kind.log()).unwrap_or_default()),
    })
}

/// Reads kind's log as it grows.
async fn follow(
    log: &Utf8Path,
    reached: &watch::Sender<Milestone>,
    told: &(dyn Fn(&str) + Send + Sync),
) -> Result<std::convert::Infallible, ClusterError> {
    let mut seen = 0;
    loop {
        let bytes = fs_err::read(log)?;
        let text = String::from_utf8_lossy(&bytes);
        // The last line may still be half written.
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        for step in steps(complete).skip(seen) {
            seen += 1;
            told(&format!("kind: {step}"));
            if let Some(milestone) = milestone(step) {
                reached.send_replace(milestone);
            }
        }
        sleep(POLL).await;
    }
}

/// What a log of kind says is done, without the pictures that follow.
fn steps(log: &str) -> impl Iterator<Item = &str> {
    log.lines()
        .filter_map(|line| line.strip_prefix(DONE))
        .map(|step| {
            let pictures = step.find(|c: char| !c.is_ascii()).unwrap_or(step.len());
            step[..pictures].trim()
        })
}

/// What the end of a step means.
fn milestone(step: &str) -> Option<Milestone> {
    match step {
        "Preparing nodes" => Some(Milestone::Nodes),
        "Starting control-plane" => Some(Milestone::ControlPlane),
        _ => None,
    }
}

/// The part of a failed kind's log that says why: the line that says it is an error, and the end of what
/// the failed command in a node wrote, without stacks and what was only told.
fn reason(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines
        .iter()
        .rposition(|line| line.starts_with("ERROR: "))
        .unwrap_or_default();
    let until = lines[from..]
        .iter()
        .position(|line| line.starts_with("Stack Trace:"))
        .map_or(lines.len(), |length| from + length);
    let said: Vec<&str> = lines[from..until]
        .iter()
        .enumerate()
        .filter(|(index, line)| !is_told(line) && !is_frame(&lines[from + index..]))
        .map(|(_, line)| *line)
        .collect();
    if said.len() <= TAIL {
        return said.join("\n");
    }
    let end = &said[said.len() - (TAIL - 1)..];
    format!("{}\n...\n{}", said[0], end.join("\n"))
}

/// Whether a line is information in the format of Kubernetes' logs: `I1122 21:09:36.822435 ...`.
fn is_told(line: &str) -> bool {
    line.strip_prefix('I')
        .and_then(|rest| rest.get(..5))
        .is_some_and(|date| date.ends_with(' ') && date[..4].bytes().all(|b| b.is_ascii_digit()))
}

/// Whether the first of these lines belongs to a stack as Go writes it: a function's name, and below it
/// its place in a file.
fn is_frame(lines: &[&str]) -> bool {
    lines
        .iter()
        .take(2)
        .any(|line| line.starts_with('\t') && line.contains(".go:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "Creating cluster \"x\" ...\n • Preparing nodes 📦 📦  ...\n \
                       ✓ Preparing nodes 📦 📦 \n • Writing configuration 📜  ...\n \
                       ✓ Writing configuration 📜\n ✓ Starting control-plane 🕹\u{fe0f}\n";

    #[test]
    fn steps_are_those_that_are_done_and_two_of_them_are_waited_for() {
        let steps: Vec<_> = steps(LOG).collect();
        assert_eq!(
            steps,
            [
                "Preparing nodes",
                "Writing configuration",
                "Starting control-plane"
            ]
        );
        let milestones: Vec<_> = steps.iter().map(|step| milestone(step)).collect();
        assert_eq!(
            milestones,
            [Some(Milestone::Nodes), None, Some(Milestone::ControlPlane)]
        );
        assert!(Milestone::Nodes < Milestone::ControlPlane);
    }

    #[test]
    fn the_reason_is_the_error_and_what_kubeadm_complains_of_without_stacks() {
        let told = "I1122 21:09:36.822435 1 x.go:1] told\n".repeat(100);
        let output = [
            "[kubelet-check] The kubelet is not healthy\n\nthe cause\n",
            "k8s.io/kubernetes/cmd/kubeadm.run\n\tk8s.io/kubernetes/cmd/run.go:262\n",
            "main.main\n\tmain.go:25\n",
        ]
        .concat();
        let log = format!(
            "{LOG}ERROR: failed to create cluster: failed to init node with kubeadm\n\
             Command Output: I1122 21:09:36.822435 1 x.go:1] first\n\
             {told}{output}Stack Trace:\nsigs.k8s.io/kind\n"
        );
        let reason = reason(&log);
        let lines: Vec<_> = reason.lines().collect();
        assert!(lines[0].starts_with("ERROR: failed to create cluster: failed to init"));
        assert_eq!(
            lines[2..],
            ["[kubelet-check] The kubelet is not healthy", "the cause"],
            "{reason}"
        );
    }

    #[test]
    fn a_long_reason_is_cut_in_its_middle() {
        let output = "more\n".repeat(100);
        let reason = reason(&format!("{LOG}ERROR: no\n{output}last\n"));
        assert!(reason.starts_with("ERROR: no\n...\nmore\n"), "{reason}");
        assert!(reason.ends_with("\nmore\nlast"));
        assert_eq!(reason.lines().count(), TAIL + 1);
    }

    #[test]
    fn without_an_error_line_the_end_of_the_log_is_the_reason() {
        assert_eq!(
            reason("guard: cannot execute kind\n"),
            "guard: cannot execute kind"
        );
    }
}
