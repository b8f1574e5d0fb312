//! What a testbed has in Docker, removed from outside: by label and name, whoever made it.
//!
//! These calls block, and each is bounded in time: a sweep stands before other commands.

use std::io::{self, ErrorKind, Read as _};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use nix::unistd::geteuid;

use crate::docker::{LABEL, resource_name, says_missing};

/// File in a testbed's directory that says that it may have something in Docker.
const MARKER: &str = "docker";
/// The label that kind gives to the containers of a cluster.
const KIND_LABEL: &str = "io.x-k8s.kind.cluster";
/// How long one call of Docker may take. Three nodes are gone after a second or two.
const CALL_LIMIT: Duration = Duration::from_mins(1);
/// How long a container is waited for that may still be on its way: a client asked for it before it
/// was killed, and Docker goes on.
const SETTLE: Duration = Duration::from_millis(1500);
/// How often Docker is asked, which ends no call when something appears.
const POLL: Duration = Duration::from_millis(100);

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Removed {
    /// Names of containers.
    pub(super) containers: Vec<String>,
    /// Names of networks.
    pub(super) networks: Vec<String>,
}

/// Leaves a note in a testbed's directory that it may have something in Docker. Before the first call
/// that makes something there, since a crash may follow.
///
/// # Errors
/// The file cannot be written.
pub fn mark_docker(directory: &Utf8Path) -> io::Result<()> {
    fs_err::write(directory.join(MARKER), "")
}

/// Removes the nodes of the testbed `name` in `directory`, and gives their names. This blocks.
///
/// # Errors
/// Docker cannot be run, refuses, or does not answer in time.
#[cfg(feature = "kind")]
pub(crate) fn remove_nodes(name: &str, directory: &Utf8Path) -> io::Result<Vec<String>> {
    Remover::new(name, directory, true).nodes()
}

/// Removes the containers and the networks of the testbed `name` in `directory`, which was up. This
/// blocks.
///
/// # Errors
/// As [`remove_nodes`].
#[cfg(feature = "kind")]
pub(crate) fn remove_containers(name: &str, directory: &Utf8Path) -> io::Result<()> {
    Remover::new(name, directory, true).all().map(|_| ())
}

/// Removes whatever the testbed `name` in `directory` has in Docker, if it ever had something.
/// `was_up` says that all of it was made.
pub(super) fn sweep(name: &str, directory: &Utf8Path, was_up: bool) -> io::Result<Removed> {
    if !directory.join(MARKER).exists() {
        return Ok(Removed::default());
    }
    let remover = Remover::new(name, directory, was_up);
    remover.all().map_err(|error| {
        let text = format!(
            "containers of testbed `{name}` cannot be removed: {error}; start Docker, or remove the \
             file {} to give them up",
            directory.join(MARKER)
        );
        io::Error::new(error.kind(), text)
    })
}

/// Removes one testbed's part of Docker.
struct Remover {
    docker: Utf8PathBuf,
    limit: Duration,
    /// How long a container may still appear.
    settle: Duration,
    cluster: String,
    directory: Utf8PathBuf,
}

impl Remover {
    fn new(name: &str, directory: &Utf8Path, was_up: bool) -> Self {
        Self {
            docker: "docker".into(),
            limit: CALL_LIMIT,
            settle: if was_up { Duration::ZERO } else { SETTLE },
            cluster: resource_name(name, directory),
            directory: directory.to_owned(),
        }
    }

    /// Everything: nodes first, since a mount in a node waits for its server, and networks last,
    /// since one that is in use stays.
    fn all(&self) -> io::Result<Removed> {
        let mut removed = Removed::default();
        let started = Instant::now();
        loop {
            let mut found = self.nodes()?;
            found.extend(self.remove_listed(&format!("label={LABEL}={}", self.directory))?);
            let networks = self.networks()?;
            if found.is_empty() && networks.is_empty() && started.elapsed() >= self.settle {
                return Ok(removed);
            }
            // One that was removed while it was being started is still listed for a moment.
            if started.elapsed() >= self.limit + self.settle {
                let left = [found, networks].concat().join(", ");
                return Err(io::Error::new(
                    ErrorKind::TimedOut,
                    format!("they come back however often they are removed: {left}"),
                ));
            }
            keep_new(&mut removed.containers, found);
            keep_new(&mut removed.networks, networks);
            thread::sleep(POLL);
        }
    }

    fn nodes(&self) -> io::Result<Vec<String>> {
        self.remove_listed(&format!("label={KIND_LABEL}={}", self.cluster))
    }

    /// Removes the containers that a filter lists, with their volumes.
    fn remove_listed(&self, filter: &str) -> io::Result<Vec<String>> {
        let names = self.list(&["ps", "--all", "--filter", filter, "--format", "{{.Names}}"])?;
        if names.is_empty() {
            return Ok(names);
        }
        if !geteuid().is_root() {
            for name in &names {
                self.empty(name);
            }
        }
        let remove = ["rm", "--force", "--volumes"];
        let call: Vec<&str> = remove
            .into_iter()
            .chain(names.iter().map(String::as_str))
            .collect();
        self.tolerate_missing(&call)?;
        Ok(names)
    }

    /// Empties the directories of the testbed that a container has, from inside: what root made there
    /// cannot be removed by anyone else from outside. Nothing is lost when it cannot be done: the
    /// removal of the testbed's directory says so.
    fn empty(&self, container: &str) {
        let format = "{{range .Mounts}}{{if .RW}}{{.Source}}\t{{.Destination}}\n{{end}}{{end}}";
        let mounts = self
            .list(&["inspect", "--format", format, container])
            .unwrap_or_default();
        for mount in mounts {
            if let Some((source, destination)) = mount.split_once('\t')
                && Utf8Path::new(source).starts_with(&self.directory)
            {
                let all = ["-xdev", "-mindepth", "1", "-delete"];
                let call: Vec<&str> = ["exec", container, "find", destination]
                    .into_iter()
                    .chain(all)
                    .collect();
                let _ = self.call(&call);
            }
        }
    }

    fn networks(&self) -> io::Result<Vec<String>> {
        let label = format!("label={LABEL}={}", self.directory);
        let call = ["network", "ls", "--filter", &label, "--format", "{{.Name}}"];
        let names = self.list(&call)?;
        for name in &names {
            self.tolerate_missing(&["network", "rm", name])?;
        }
        Ok(names)
    }

    /// The lines that a call writes, without empty ones.
    fn list(&self, args: &[&str]) -> io::Result<Vec<String>> {
        let text = self.call(args)?;
        Ok(text
            .lines()
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect())
    }

    /// Runs a removal. Somebody else may have been faster, or Docker still at it, which is as good:
    /// what counts is what is listed after.
    fn tolerate_missing(&self, args: &[&str]) -> io::Result<()> {
        match self.call(args) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Runs `docker ARGS` and gives what it wrote. [`ErrorKind::NotFound`] says that Docker does not
    /// know an object.
    fn call(&self, args: &[&str]) -> io::Result<String> {
        let shown = format!("`docker {}`", args.join(" "));
        let mut child = Command::new(&self.docker)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| io::Error::other(format!("{shown} cannot be run: {error}")))?;
        let (mut stdout, mut stderr) = (
            child.stdout.take().expect("standard output is a pipe"),
            child.stderr.take().expect("standard error is a pipe"),
        );
        // Each pipe has a reader of its own, so that neither fills up while the end is waited for.
        let said = thread::spawn(move || {
            let mut text = String::new();
            let _ = stderr.read_to_string(&mut text);
            text
        });
        let written = thread::spawn(move || {
            let mut text = String::new();
            let _ = stdout.read_to_string(&mut text);
            text
        });
        let until = Instant::now() + self.limit;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if Instant::now() >= until {
                child.kill()?;
                child.wait()?;
                let limit = self.limit.as_secs();
                let text = format!("{shown} did not end within {limit} s");
                return Err(io::Error::new(ErrorKind::TimedOut, text));
            }
            thread::sleep(Duration::from_millis(5));
        };
        let (said, written) = (
            said.join().unwrap_or_default(),
            written.join().unwrap_or_default(),
        );
        if status.success() {
            return Ok(written);
        }
        let said = said.trim();
        // Of a removal: somebody else is at it.
        let going = said.to_lowercase().contains("already in progress");
        let kind = if going || says_missing(said) {
            ErrorKind::NotFound
        } else {
            ErrorKind::Other
        };
        Err(io::Error::new(
            kind,
            format!("{shown} failed ({status}): {said}"),
        ))
    }
}

/// Adds the names that are not there yet.
fn keep_new(names: &mut Vec<String>, found: Vec<String>) {
    for name in found {
        if !names.contains(&name) {
            names.push(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A Docker that is a script: containers and networks are files in its directory, and each call
    /// is a line of its file `calls`.
    struct Fake {
        directory: tempfile::TempDir,
    }

    impl Fake {
        fn new(containers: &[(&str, &str)], networks: &[(&str, &str)]) -> Self {
            let directory = tempfile::tempdir().unwrap();
            for (what, objects) in [("containers", containers), ("networks", networks)] {
                fs_err::create_dir(directory.path().join(what)).unwrap();
                for (name, label) in objects {
                    fs_err::write(directory.path().join(what).join(name), label).unwrap();
                }
            }
            fs_err::write(directory.path().join("calls"), "").unwrap();
            let script = include_str!("testdata/docker.sh");
            let program = directory.path().join("docker");
            fs_err::write(&program, script).unwrap();
            let mode = std::fs::Permissions::from_mode(0o755);
            fs_err::set_permissions(&program, mode).unwrap();
            Self { directory }
        }

        fn path(&self, name: &str) -> Utf8PathBuf {
            Utf8Path::from_path(self.directory.path())
                .unwrap()
                .join(name)
        }

        fn remover(&self) -> Remover {
            Remover {
                docker: self.path("docker"),
                limit: Duration::from_secs(10),
                settle: Duration::ZERO,
                cluster: "cc-one-1".to_owned(),
                directory: self.path("bed"),
            }
        }

        fn left(&self, what: &str) -> Vec<String> {
            let mut names: Vec<_> = fs_err::read_dir(self.path(what))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    #[test]
    fn nodes_go_first_networks_last_and_what_belongs_to_others_stays() {
        let fake = Fake::new(&[], &[]);
        let ours = format!("{LABEL}={}", fake.path("bed"));
        let node = format!("{KIND_LABEL}=cc-one-1");
        let other = format!("{KIND_LABEL}=cc-one-12");
        for (name, label) in [("node", &node), ("nfs", &ours), ("other", &other)] {
            fs_err::write(fake.path("containers").join(name), label).unwrap();
        }
        fs_err::write(fake.path("networks/ours"), &ours).unwrap();
        fs_err::write(fake.path("networks/kind"), "x=y").unwrap();

        let removed = fake.remover().all().unwrap();
        assert_eq!(removed.containers, ["node", "nfs"]);
        assert_eq!(removed.networks, ["ours"]);
        assert_eq!(fake.left("containers"), ["other"]);
        assert_eq!(fake.left("networks"), ["kind"]);
        let calls = fs_err::read_to_string(fake.path("calls")).unwrap();
        let removals: Vec<_> = calls
            .lines()
            .filter(|call| call.starts_with("rm ") || call.starts_with("network rm "))
            .collect();
        assert_eq!(
            removals,
            [
                "rm --force --volumes node",
                "rm --force --volumes nfs",
                "network rm ours"
            ]
        );
    }

    #[test]
    fn a_container_that_was_on_its_way_when_its_maker_died_is_waited_for() {
        let fake = Fake::new(&[], &[]);
        let mut remover = fake.remover();
        remover.settle = SETTLE;
        let late = fake.path("containers/late");
        let node = format!("{KIND_LABEL}=cc-one-1");
        let maker = thread::spawn(move || {
            thread::sleep(Duration::from_millis(400));
            // All at once, as Docker makes one.
            let aside = late.with_file_name("../late");
            fs_err::write(&aside, node).unwrap();
            fs_err::rename(&aside, &late).unwrap();
        });
        let found = remover.all().unwrap();
        maker.join().unwrap();
        assert_eq!(found.containers, ["late"]);
    }

    #[test]
    fn only_directories_of_the_testbed_are_emptied_from_inside() {
        let fake = Fake::new(&[], &[]);
        let mounts = format!(
            "{}/nodes/one\t/opt/volumes\n/lib/modules\t/lib/modules\n{}2/x\t/other\n",
            fake.path("bed"),
            fake.path("bed")
        );
        fs_err::write(fake.path("mounts"), mounts).unwrap();
        fake.remover().empty("node");
        let calls = fs_err::read_to_string(fake.path("calls")).unwrap();
        let emptied: Vec<_> = calls.lines().filter(|call| call.contains("exec")).collect();
        assert_eq!(
            emptied,
            ["exec node find /opt/volumes -xdev -mindepth 1 -delete"]
        );
    }

    #[test]
    fn a_docker_that_hangs_or_is_missing_is_an_error_that_says_so() {
        let fake = Fake::new(&[], &[]);
        let mut remover = fake.remover();
        remover.limit = Duration::from_millis(100);
        let error = remover.call(&["hang"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        remover.docker = "/nonexistent/docker".into();
        let error = remover.all().unwrap_err();
        assert!(error.to_string().contains("cannot be run"), "{error}");
    }

    #[test]
    fn without_a_marker_docker_is_not_asked() {
        let directory = tempfile::tempdir().unwrap();
        let directory = Utf8Path::from_path(directory.path()).unwrap();
        assert_eq!(sweep("one", directory, false).unwrap(), Removed::default());
    }
}
