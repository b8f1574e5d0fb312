//! `provisioner`: signals that come while it is still starting.

#[path = "../../../provisioner/tests/signals/start.rs"]
mod start;

use std::process::Command;

use nix::sys::signal::Signal;

use self::start::Start;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_claimcheck"));
    command.arg("provisioner");
    command
}

#[test]
fn a_signal_while_it_starts_ends_it_in_order() {
    let mut start = Start::of(program());
    start.wait_until_it_reads_its_kubeconfig();
    start.send(Signal::SIGTERM);
    assert_eq!(start.exit_code(), Some(0));
}

#[test]
fn a_signal_from_before_it_listens_is_not_lost() {
    let mut start = Start::held_back(program());
    start.send(Signal::SIGINT);
    assert_eq!(start.exit_code(), Some(0));
}
