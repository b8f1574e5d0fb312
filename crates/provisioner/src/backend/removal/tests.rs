//! The walk over a tree in memory, with whatever a file system may answer in between.

use std::collections::{BTreeMap, HashSet};

use super::*;

/// A directory: names with subdirectories, `None` for files.
#[derive(Debug, Default)]
struct Tree(BTreeMap<String, Option<Tree>>);

impl Tree {
    fn of(paths: &[&str]) -> Self {
        let mut root = Self::default();
        for path in paths {
            let (directories, leaf) = path.rsplit_once('/').unwrap_or(("", path));
            let mut tree = &mut root;
            for name in directories.split('/').filter(|name| !name.is_empty()) {
                tree = tree
                    .0
                    .entry(name.to_owned())
                    .or_insert_with(|| Some(Self::default()))
                    .as_mut()
                    .unwrap();
            }
            if !leaf.is_empty() {
                tree.0.insert(leaf.to_owned(), None);
            }
        }
        root
    }

    fn paths(&self) -> Vec<String> {
        self.0
            .iter()
            .flat_map(|(name, below)| {
                let below = below.iter().flat_map(Self::paths);
                std::iter::once(name.clone()).chain(below.map(move |path| format!("{name}/{path}")))
            })
            .collect()
    }
}

/// What a path answers instead of being removed, and how often (`None`: always).
type Trouble = BTreeMap<String, (Failure, Option<usize>)>;

struct Memory {
    root: Tree,
    at: Vec<String>,
    trouble: Trouble,
    batch: usize,
    pauses: usize,
    calls: usize,
}

impl Memory {
    fn new(paths: &[&str]) -> Self {
        Self {
            root: Tree::of(paths),
            at: Vec::new(),
            trouble: Trouble::new(),
            batch: 2,
            pauses: 0,
            calls: 0,
        }
    }

    fn with(mut self, path: &str, failure: Failure, times: Option<usize>) -> Self {
        self.trouble.insert(path.to_owned(), (failure, times));
        self
    }

    fn here(&mut self) -> &mut Tree {
        self.at.iter().fold(&mut self.root, |tree, name| {
            tree.0.get_mut(name).and_then(Option::as_mut).unwrap()
        })
    }

    fn troubled(&mut self, name: &str) -> Result<(), Failure> {
        self.calls += 1;
        let path = self
            .at
            .iter()
            .map(String::as_str)
            .chain([name])
            .collect::<Vec<_>>()
            .join("/");
        match self.trouble.get_mut(&path) {
            Some((failure, None)) => Err(failure.clone()),
            Some((failure, Some(times))) if *times > 0 => {
                *times -= 1;
                Err(failure.clone())
            }
            _ => Ok(()),
        }
    }
}

impl Cursor for Memory {
    type Name = String;

    async fn batch(&mut self, skip: &HashSet<String>) -> Result<Batch<String>, Failure> {
        let most = self.batch;
        let left: Vec<(String, bool)> = self
            .here()
            .0
            .iter()
            .filter(|(name, _)| !skip.contains(*name))
            .map(|(name, below)| (name.clone(), below.is_some()))
            .collect();
        let end = left.len() <= most;
        let (directories, others): (Vec<_>, Vec<_>) = left
            .into_iter()
            .take(most)
            .partition(|(_, is_directory)| *is_directory);
        let names = |list: Vec<(String, bool)>| list.into_iter().map(|(name, _)| name).collect();
        Ok(Batch {
            directories: names(directories),
            others: names(others),
            end,
        })
    }

    async fn unlink(&mut self, names: Vec<String>) -> Vec<(String, Result<(), Failure>)> {
        let mut results = Vec::new();
        for name in names {
            let result = self.troubled(&name);
            if result.is_ok() {
                self.here().0.remove(&name);
            }
            results.push((name, result));
        }
        results
    }

    async fn enter(&mut self, name: &String) -> Result<(), Failure> {
        self.troubled(&format!("{name}/"))?;
        match self.here().0.get(name) {
            Some(Some(_)) => {
                self.at.push(name.clone());
                Ok(())
            }
            Some(None) => Err(Failure::definite(Cause::NotADirectory, "")),
            None => Err(Failure::definite(Cause::NotFound, "")),
        }
    }

    async fn leave(&mut self) -> Result<(), Failure> {
        self.at.pop();
        Ok(())
    }

    async fn rmdir(&mut self, name: &String) -> Result<(), Failure> {
        self.troubled(name)?;
        match self.here().0.get(name) {
            Some(Some(tree)) if tree.0.is_empty() => {
                self.here().0.remove(name);
                Ok(())
            }
            Some(Some(_)) => Err(Failure::definite(Cause::NotEmpty, "")),
            Some(None) => Err(Failure::definite(Cause::NotADirectory, "")),
            None => Err(Failure::definite(Cause::NotFound, "")),
        }
    }

    async fn pause(&mut self, _: Duration) {
        self.pauses += 1;
    }
}

const TREE: [&str; 7] = [
    "top/a/1",
    "top/a/2",
    "top/a/b/c/3",
    "top/a/empty/",
    "top/d/4",
    "top/5",
    "other/6",
];

fn run(memory: &mut Memory, stall: Duration) -> Result<(), Failure> {
    let progress = Progress::new(stall);
    futures::executor::block_on(remove(memory, "top".to_owned(), &progress))
}

const LONG: Duration = Duration::from_mins(1);

#[test]
fn everything_below_goes_and_nothing_else() {
    let mut memory = Memory::new(&TREE);
    run(&mut memory, LONG).unwrap();
    assert_eq!(memory.root.paths(), ["other", "other/6"]);
    assert!(memory.at.is_empty(), "the walk ends where it began");
}

#[test]
fn a_tree_that_is_gone_is_done() {
    let mut memory = Memory::new(&["other/6"]);
    run(&mut memory, LONG).unwrap();
}

#[test]
fn a_tree_that_is_no_directory_is_an_error() {
    let mut memory = Memory::new(&["top"]);
    assert_eq!(
        run(&mut memory, LONG).unwrap_err().cause,
        Cause::NotADirectory
    );
    assert_eq!(memory.root.paths(), ["top"]);
}

#[test]
fn what_is_refused_stays_and_is_named_and_the_rest_goes() {
    let denied = Failure::definite(Cause::PermissionDenied, "no");
    let mut memory = Memory::new(&TREE).with("top/a/b/c/3", denied, None);
    let failure = run(&mut memory, LONG).unwrap_err();
    assert_eq!(failure.cause, Cause::PermissionDenied);
    assert_eq!(failure.detail, "a/b/c/3: no");
    let left = [
        "other",
        "other/6",
        "top",
        "top/a",
        "top/a/b",
        "top/a/b/c",
        "top/a/b/c/3",
    ];
    assert_eq!(memory.root.paths(), left);
}

#[test]
fn more_refused_entries_than_a_batch_holds_do_not_hide_the_others() {
    let mut memory = Memory::new(&["top/1", "top/2", "top/3", "top/4", "top/5"]);
    for name in ["top/1", "top/2", "top/3"] {
        memory = memory.with(name, Failure::definite(Cause::PermissionDenied, ""), None);
    }
    run(&mut memory, LONG).unwrap_err();
    assert_eq!(memory.root.paths(), ["top", "top/1", "top/2", "top/3"]);
}

#[test]
fn another_file_system_is_left_alone() {
    let foreign = Failure::definite(Cause::CrossDevice, "mounted");
    let mut memory = Memory::new(&TREE).with("top/a/b/", foreign, None);
    let failure = run(&mut memory, LONG).unwrap_err();
    assert_eq!(
        (failure.cause, failure.detail.as_str()),
        (Cause::CrossDevice, "a/b: mounted")
    );
    assert!(memory.root.paths().contains(&"top/a/b/c/3".to_owned()));
    assert!(!memory.root.paths().contains(&"top/d".to_owned()));
}

#[test]
fn what_is_in_use_is_tried_again() {
    let busy = Failure {
        special: Special::Busy,
        ..Failure::definite(Cause::Io, "EBUSY")
    };
    let mut memory = Memory::new(&TREE).with("top/a/1", busy, Some(3));
    run(&mut memory, LONG).unwrap();
    assert_eq!(memory.root.paths(), ["other", "other/6"]);
    assert!(memory.pauses > 0, "it rests between the tries");
}

#[test]
fn what_stays_in_use_ends_at_the_stall_limit_and_is_named() {
    let busy = Failure {
        special: Special::Busy,
        ..Failure::definite(Cause::Io, "EBUSY")
    };
    let mut memory = Memory::new(&TREE).with("top/a/1", busy, None);
    let failure = run(&mut memory, Duration::from_millis(50)).unwrap_err();
    assert_eq!(failure.detail, "a/1: EBUSY");
    assert_eq!(
        memory.root.paths(),
        ["other", "other/6", "top", "top/a", "top/a/1"]
    );
}

#[test]
fn a_directory_that_refills_ends_at_the_stall_limit() {
    let full = Failure::definite(Cause::NotEmpty, "");
    let mut memory = Memory::new(&["top/a/1"]).with("top/a", full, None);
    let failure = run(&mut memory, Duration::from_millis(50)).unwrap_err();
    assert_eq!(failure.cause, Cause::NotEmpty);
    assert_eq!(failure.detail, "a: it keeps getting entries");
}

#[test]
fn a_lost_connection_ends_the_walk_and_a_second_one_finishes() {
    let lost = Failure {
        lost: true,
        ..Failure::uncertain(Cause::Unreachable, "reset")
    };
    let mut memory = Memory::new(&TREE).with("top/a/b/c/3", lost, Some(1));
    assert!(run(&mut memory, LONG).unwrap_err().lost);
    memory.at.clear();
    run(&mut memory, LONG).unwrap();
    assert_eq!(memory.root.paths(), ["other", "other/6"]);
}

#[test]
fn nobody_waiting_ends_the_walk() {
    let mut memory = Memory::new(&TREE);
    let progress = Progress::new(LONG);
    progress.cancel();
    let walk = remove(&mut memory, "top".to_owned(), &progress);
    let failure = futures::executor::block_on(walk).unwrap_err();
    assert_eq!(
        (failure.cause, failure.certainty),
        (Cause::TimedOut, Certainty::Uncertain)
    );
    assert_eq!(memory.calls, 1, "nothing but the way in was tried");
}
