//! Removals from a Docker that is a script.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command};

use super::*;
use crate::state::MARK;

/// A Docker that is a script: containers and networks are files in its directory, and each call
/// is a line of its file `calls`.
struct Fake {
    directory: tempfile::TempDir,
}

impl Fake {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for what in ["containers", "networks"] {
            fs_err::create_dir(directory.path().join(what)).unwrap();
        }
        fs_err::write(directory.path().join("calls"), "").unwrap();
        let script = include_str!("../testdata/docker.sh");
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

    fn write(&self, name: &str, text: &str) {
        fs_err::write(self.path(name), text).unwrap();
    }

    /// Has a network of this id.
    fn network(&self, id: &str, name: &str, label: &str) {
        self.write(&format!("networks/{id}"), &format!("{name}\t{label}"));
    }

    fn remover(&self) -> Remover {
        Remover {
            docker: Client {
                program: self.path("docker"),
                limit: Duration::from_secs(20),
            },
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

    /// The calls that begin with one of these words.
    fn calls(&self, beginnings: &[&str]) -> Vec<String> {
        fs_err::read_to_string(self.path("calls"))
            .unwrap()
            .lines()
            .filter(|call| beginnings.iter().any(|words| call.starts_with(words)))
            .map(str::to_owned)
            .collect()
    }
}

/// A client of a testbed, as kind and a boot start it; killed when it is dropped.
struct Maker(Child);

impl Maker {
    /// One that makes a network as soon as the file `go` is there.
    fn start(fake: &Fake) -> Self {
        let child = Command::new(fake.path("docker"))
            .args(["network", "create", "cc-one-1"])
            .env(MARK, fake.path("bed"))
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Maker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn nodes_go_first_networks_last_and_what_belongs_to_others_stays() {
    let fake = Fake::new();
    let ours = format!("{LABEL}={}", fake.path("bed"));
    let node = format!("{KIND_LABEL}=cc-one-1");
    let other = format!("{KIND_LABEL}=cc-one-12");
    for (name, label) in [("node", &node), ("nfs", &ours), ("other", &other)] {
        fake.write(&format!("containers/{name}"), label);
    }
    fake.network("a1", "ours", fake.path("bed").as_str());
    fake.network("b2", "kind", "");
    fake.network("c3", "cc-one-12", fake.path("bed2").as_str());

    let removed = fake.remover().remove(Extent::Everything).unwrap();
    assert_eq!(removed.containers, ["node", "nfs"]);
    assert_eq!(removed.networks, ["ours"]);
    assert_eq!(fake.left("containers"), ["other"]);
    assert_eq!(fake.left("networks"), ["b2", "c3"]);
    assert_eq!(
        fake.calls(&["rm ", "network rm "]),
        [
            "rm --force --volumes node",
            "rm --force --volumes nfs",
            "network rm a1"
        ]
    );
}

#[test]
fn networks_of_the_cluster_go_without_a_label_and_also_when_they_share_their_name() {
    let fake = Fake::new();
    fake.network("a1", "cc-one-1", fake.path("bed").as_str());
    fake.network("b2", "cc-one-1", "");
    let removed = fake.remover().remove(Extent::Everything).unwrap();
    assert_eq!(removed.networks, ["cc-one-1"]);
    assert_eq!(fake.left("networks"), Vec::<String>::new());
}

#[test]
fn a_network_that_a_client_still_makes_is_waited_for_however_long_it_takes() {
    let fake = Fake::new();
    let _maker = Maker::start(&fake);
    let removed = thread::scope(|scope| {
        let sweep = scope.spawn(|| fake.remover().remove(Extent::Everything));
        // It has looked more than once, and would be done if nobody were at work.
        let looks = || fake.calls(&["ps "]).len();
        while looks() < 6 && !sweep.is_finished() {
            thread::sleep(Duration::from_millis(5));
        }
        fake.write("go", "");
        sweep.join().unwrap().unwrap()
    });
    assert_eq!(removed.networks, ["cc-one-1"]);
    assert_eq!(fake.left("networks"), Vec::<String>::new());
}

#[test]
fn nodes_are_not_gone_while_a_client_makes_some_and_a_client_that_hangs_is_named() {
    let fake = Fake::new();
    let maker = Maker::start(&fake);
    let mut remover = fake.remover();
    remover.docker.limit = Duration::from_secs(2);
    let error = remover.remove(Extent::Nodes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let pid = maker.0.id().to_string();
    assert!(error.to_string().contains(&pid), "{error}");
}

#[test]
fn a_network_that_is_in_use_for_a_moment_is_removed_after_it() {
    let fake = Fake::new();
    fake.network("a1", "cc-one-1", "");
    fake.write("refuse", "network cc-one-1 id a1 has active endpoints\n");
    let removed = fake.remover().remove(Extent::Everything).unwrap();
    assert_eq!(removed.networks, ["cc-one-1"]);
    assert_eq!(fake.left("networks"), Vec::<String>::new());
    assert_eq!(fake.calls(&["network rm "]), ["network rm a1"; 2]);
}

#[test]
fn what_docker_never_removes_is_an_error_with_its_words() {
    let fake = Fake::new();
    fake.network("a1", "cc-one-1", "");
    fake.write("refuse", &"has active endpoints\n".repeat(1000));
    let mut remover = fake.remover();
    remover.docker.limit = Duration::from_secs(2);
    let error = remover.remove(Extent::Everything).unwrap_err().to_string();
    assert!(error.contains("cc-one-1 are still there"), "{error}");
    assert!(error.contains("has active endpoints"), "{error}");
}

#[test]
fn a_container_that_was_on_its_way_when_its_maker_died_is_waited_for() {
    let fake = Fake::new();
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
    let found = remover.remove(Extent::Everything).unwrap();
    maker.join().unwrap();
    assert_eq!(found.containers, ["late"]);
}

#[test]
fn only_directories_of_the_testbed_are_emptied_from_inside() {
    let fake = Fake::new();
    let mounts = format!(
        "{}/nodes/one\t/opt/volumes\n/lib/modules\t/lib/modules\n{}2/x\t/other\n",
        fake.path("bed"),
        fake.path("bed")
    );
    fake.write("mounts", &mounts);
    fake.remover().empty("node");
    assert_eq!(
        fake.calls(&["exec"]),
        ["exec node find /opt/volumes -xdev -mindepth 1 -delete"]
    );
}

#[test]
fn a_docker_that_hangs_or_is_missing_is_an_error_that_says_so() {
    let fake = Fake::new();
    let mut remover = fake.remover();
    remover.docker.limit = Duration::from_millis(100);
    let error = remover.docker.call(&["hang"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    remover.docker.program = "/nonexistent/docker".into();
    let error = remover.remove(Extent::Everything).unwrap_err();
    assert!(error.to_string().contains("cannot be run"), "{error}");
}

#[test]
fn without_a_marker_docker_is_not_asked() {
    let directory = tempfile::tempdir().unwrap();
    let directory = Utf8Path::from_path(directory.path()).unwrap();
    assert_eq!(sweep("one", directory, false).unwrap(), Removed::default());
}
