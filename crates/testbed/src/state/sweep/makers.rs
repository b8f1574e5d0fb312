//! Clients of Docker that make something for a testbed.
//!
//! Docker goes on with a request whose client is dead, for as long as it takes, and nothing tells when
//! it is done. So a client that makes something is not killed with the rest of a testbed: once it has
//! ended by itself, what it made is there, and can be removed.

use std::sync::{Mutex, MutexGuard, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};

use super::marked;

/// The directories of the testbeds that this process makes something for, each as often as it does.
static UNDER_WAY: Mutex<Vec<Utf8PathBuf>> = Mutex::new(Vec::new());

/// Says, until it is dropped, that this process is a client that makes something for a testbed.
#[cfg(feature = "kind")]
#[derive(Debug)]
pub(crate) struct UnderWay(Utf8PathBuf);

#[cfg(feature = "kind")]
impl UnderWay {
    /// For the testbed in `directory`.
    pub(crate) fn of(directory: &Utf8Path) -> Self {
        under_way().push(directory.to_owned());
        Self(directory.to_owned())
    }
}

#[cfg(feature = "kind")]
impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut all = under_way();
        if let Some(at) = all.iter().position(|directory| *directory == self.0) {
            all.swap_remove(at);
        }
    }
}

fn under_way() -> MutexGuard<'static, Vec<Utf8PathBuf>> {
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The clients that make something for the testbed in `directory` now.
pub(super) fn makers(directory: &Utf8Path) -> Vec<u32> {
    let own = under_way()
        .iter()
        .any(|busy| busy == directory)
        .then(std::process::id);
    marked(directory)
        .into_iter()
        .map(|(_, owner)| owner.pid)
        .filter(|pid| is_maker(*pid))
        .chain(own)
        .collect()
}

/// Whether a process is a client that makes something.
pub(super) fn is_maker(pid: u32) -> bool {
    makes(&arguments(pid))
}

/// The arguments of a process, its own name first; none when it is gone.
pub(crate) fn arguments(pid: u32) -> Vec<String> {
    let text = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    text.split(|byte| *byte == 0)
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .collect()
}

/// Whether a process with these arguments, its own name first, is a call of `docker` that makes a
/// container or a network and ends soon after.
pub(crate) fn makes(arguments: &[String]) -> bool {
    // The second one where `docker` is a script.
    let name = arguments
        .iter()
        .take(2)
        .position(|argument| Utf8Path::new(argument).file_name() == Some("docker"));
    let Some(name) = name else {
        return false;
    };
    let call: Vec<&str> = arguments[name + 1..].iter().map(String::as_str).collect();
    match call[..] {
        ["network", "create", ..] => true,
        // Without it the client stays until the container ends.
        ["run", ref rest @ ..] => rest.contains(&"--detach"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("docker network create --label x=y cc-one-1", true)]
    #[case("/usr/bin/docker network create -d=bridge cc-one-1", true)]
    #[case(
        "/bin/sh /usr/bin/docker run --name cc-one-1-worker --detach image",
        true
    )]
    // What may last, and what makes nothing.
    #[case("docker run --name x image", false)]
    #[case("docker exec --privileged node kubeadm init", false)]
    #[case("docker wait cc-one-1-worker", false)]
    #[case("docker network ls", false)]
    #[case("docker", false)]
    // What is started with such words is another program.
    #[case("kind create cluster docker network create", false)]
    #[case("", false)]
    fn only_calls_that_make_something_and_end_are_waited_for(
        #[case] line: &str,
        #[case] expected: bool,
    ) {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        assert_eq!(makes(&arguments), expected, "{line}");
    }

    #[cfg(feature = "kind")]
    #[test]
    fn this_process_makes_something_until_all_it_makes_is_made() {
        let (one, other) = (Utf8Path::new("/bed/one"), Utf8Path::new("/bed/other"));
        let (first, second) = (UnderWay::of(one), UnderWay::of(one));
        assert_eq!(makers(one), [std::process::id()]);
        assert_eq!(makers(other), [0; 0]);
        drop(first);
        assert_eq!(makers(one), [std::process::id()]);
        drop(second);
        assert_eq!(makers(one), [0; 0]);
    }

    #[test]
    fn this_process_has_arguments_and_a_pid_that_is_none_has_not() {
        let own = arguments(std::process::id());
        assert_eq!(own[0], std::env::args().next().unwrap());
        assert!(arguments(u32::MAX).iter().all(String::is_empty));
    }
}
