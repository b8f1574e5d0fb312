//! Runs on `kind` clusters: interrupted at each stage of their boot, they leave Docker and the
//! machine's mounts as they were.

mod chart;
mod hang;

use std::collections::BTreeSet;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::place::{Place, said};

/// What is said when each stage of a boot begins, in order.
const STAGES: [&str; 5] = [
    "booting cluster",
    "kind creates",
    "kind: ",
    "loading images",
    "cluster up after",
];

/// Everything that Docker has, apart from images, and every mount that this process sees.
fn inventory() -> BTreeSet<String> {
    let lists: [&[&str]; 3] = [
        &["ps", "--all", "--format", "container {{.Names}}"],
        &["network", "ls", "--format", "network {{.Name}}"],
        &["volume", "ls", "--format", "volume {{.Name}}"],
    ];
    let mut found = BTreeSet::new();
    for list in lists {
        let output = Command::new("docker").args(list).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        found.extend(text.lines().map(str::to_owned));
    }
    let mounts = fs_err::read_to_string("/proc/self/mountinfo").unwrap();
    found.extend(mounts.lines().filter_map(|line| {
        let point = line.split(' ').nth(4)?;
        Some(format!("mount {point}"))
    }));
    found
}

/// Takes the testbed of a test down when it fails: its supervisor is no child of the test.
struct Down<'a> {
    place: &'a Place,
    name: &'a str,
}

impl Drop for Down<'_> {
    fn drop(&mut self) {
        self.place.call(&format!("down --name {}", self.name));
    }
}

/// What the owner of the testbed `stopped` and kind logged.
fn logs(place: &Place) -> String {
    let directory = place.home().logs("stopped");
    let text = |name| fs_err::read_to_string(directory.join(name)).unwrap_or_default();
    [text("supervisor.log"), text("kind.log")].concat()
}

#[test]
fn a_boot_that_is_interrupted_at_any_stage_leaves_nothing() {
    let place = Place::new();
    let _down = Down {
        place: &place,
        name: "stopped",
    };
    let before = inventory();
    for stage in STAGES {
        let mut up = place.start("up --cluster kind --name stopped");
        up.says(stage);
        up.signal(Signal::SIGINT);
        let (status, out) = up.ends();
        assert_eq!(status.code(), Some(130), "interrupted at `{stage}`: {out}");
        let after = inventory();
        assert_eq!(after, before, "interrupted at `{stage}`: {}", logs(&place));
        place.nothing_is_left();
    }
}

#[test]
fn a_boot_whose_owner_is_killed_at_any_stage_is_swept_by_the_next_command() {
    let place = Place::new();
    let _down = Down {
        place: &place,
        name: "killed",
    };
    let before = inventory();
    for stage in STAGES {
        let mut run = place.start("run --cluster kind --only B01 --name killed");
        run.says(stage);
        run.signal(Signal::SIGKILL);
        let (status, _) = run.ends();
        assert_eq!(status.code(), None);
        let down = place.call("down --name killed");
        assert_eq!(down.status.code(), Some(0), "{}", said(&down));
        assert!(
            said(&down).contains("swept testbed `killed`"),
            "killed at `{stage}`: {}",
            said(&down)
        );
        assert_eq!(inventory(), before, "killed at `{stage}`");
        place.nothing_is_left();
    }
}
