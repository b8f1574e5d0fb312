//! The guard: what a child is before it becomes the command.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{getegid, geteuid, getppid};

use super::Bind;

/// First argument that makes an executable the guard.
const GUARD: &str = "__guard";
/// Ends the guard's own arguments.
const END: &str = "--";
/// Exit status of a guard that could not become its command, as a shell's "cannot execute".
pub(super) const GUARD_FAILED: i32 = 126;

/// Becomes the command of a child when this process was started as its guard; else returns at once.
///
/// Every `main` whose executable starts children calls this first thing, before any thread is
/// started: a user namespace can only be entered by a process with one thread (unshare(2)).
pub fn guard_if_asked() {
    let mut arguments = env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(GUARD)) {
        return;
    }
    let error = become_command(arguments.collect());
    // Standard error is the child's log.
    let _ = writeln!(io::stderr(), "guard: {error}");
    #[expect(
        clippy::exit,
        reason = "this process was only ever the guard; nothing is left to do"
    )]
    std::process::exit(GUARD_FAILED);
}

/// What the guard is told.
#[derive(Debug, PartialEq, Eq)]
struct Orders {
    owner: i32,
    binds: Vec<(OsString, OsString)>,
    command: OsString,
    args: Vec<OsString>,
}

/// The arguments that make an executable guard `command`.
pub(super) fn arguments<'a>(
    owner: u32,
    binds: &'a [Bind],
    command: &'a str,
    args: &'a [String],
) -> Vec<String> {
    let mut all = vec![GUARD.to_owned(), owner.to_string()];
    for bind in binds {
        all.extend([bind.from.to_string(), bind.to.to_string()]);
    }
    all.extend([END.to_owned(), command.to_owned()]);
    all.extend(args.iter().cloned());
    all
}

fn parse(arguments: Vec<OsString>) -> Option<Orders> {
    let mut arguments = arguments.into_iter();
    let owner = arguments.next()?.to_str()?.parse().ok()?;
    let mut binds = Vec::new();
    loop {
        let next = arguments.next()?;
        if next == END {
            break;
        }
        binds.push((next, arguments.next()?));
    }
    let command = arguments.next()?;
    Some(Orders {
        owner,
        binds,
        command,
        args: arguments.collect(),
    })
}

/// Does as ordered. Returns only what prevented it.
fn become_command(arguments: Vec<OsString>) -> io::Error {
    let Some(orders) = parse(arguments) else {
        return io::Error::other(format!(
            "`{GUARD}` is internal: it takes no arguments from people"
        ));
    };
    match prepare(&orders) {
        Ok(()) => {
            let error = Command::new(&orders.command).args(&orders.args).exec();
            named(
                &format!("cannot execute {}", orders.command.display()),
                error,
            )
        }
        Err(error) => error,
    }
}

fn prepare(orders: &Orders) -> io::Result<()> {
    if !orders.binds.is_empty() {
        bind_all(&orders.binds)?;
    }
    // After the namespaces: a change of credentials takes the wish back (prctl(2)).
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    // The owner may have died before that call, and then no signal comes.
    if getppid().as_raw() != orders.owner {
        return Err(io::Error::other(format!(
            "owner process {} is gone",
            orders.owner
        )));
    }
    Ok(())
}

/// Binds the paths in a mount namespace of this process alone. Root needs no more; anyone else gets
/// a user namespace first, in which they keep their own ids.
fn bind_all(binds: &[(OsString, OsString)]) -> io::Result<()> {
    let (user, group) = (geteuid(), getegid());
    if user.is_root() {
        unshare(CloneFlags::CLONE_NEWNS).map_err(|error| named("no mount namespace", error))?;
    } else {
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).map_err(|error| {
            named(
                "no user namespace, which binding a path without root needs",
                error,
            )
        })?;
        // The order is the kernel's: groups can only be mapped once setgroups is denied
        // (user_namespaces(7)).
        fs_err::write("/proc/self/setgroups", "deny")?;
        fs_err::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
        fs_err::write("/proc/self/gid_map", format!("{group} {group} 1"))?;
    }
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(|error| named("cannot make mounts private", error))?;
    for (from, to) in binds {
        mount(
            Some(from.as_os_str()),
            to.as_os_str(),
            none,
            MsFlags::MS_BIND | MsFlags::MS_REC,
            none,
        )
        .map_err(|error| {
            named(
                &format!("cannot bind {} to {}", from.display(), to.display()),
                error,
            )
        })?;
    }
    Ok(())
}

fn named(what: &str, error: impl Into<io::Error>) -> io::Error {
    let error = error.into();
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_owner_writes_is_what_the_guard_reads() {
        let binds = [Bind {
            from: "/a".into(),
            to: "/b".into(),
        }];
        let args = ["--".to_owned(), "-x".to_owned()];
        let written = arguments(7, &binds, "cmd", &args);
        assert_eq!(written[0], GUARD);
        let read = parse(written.into_iter().skip(1).map(OsString::from).collect());
        let expected = Orders {
            owner: 7,
            binds: vec![("/a".into(), "/b".into())],
            command: "cmd".into(),
            args: vec!["--".into(), "-x".into()],
        };
        assert_eq!(read, Some(expected));
    }

    #[test]
    fn orders_without_a_command_are_refused() {
        assert_eq!(parse(vec!["7".into(), "--".into()]), None);
        assert_eq!(
            parse(vec!["7".into(), "/a".into(), "--".into(), "cmd".into()]),
            None
        );
        assert_eq!(parse(vec![]), None);
    }
}
