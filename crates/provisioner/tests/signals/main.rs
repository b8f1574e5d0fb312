//! Signals that come while the program is still starting: it ends as one that was asked to stop.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops where its own set-up fails"
)]

mod start;

use std::process::Command;

use nix::sys::signal::Signal;

use start::Start;

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_nfs-provisioner"))
}

#[test]
fn a_signal_while_the_client_is_set_up_ends_it_in_order() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut start = Start::of(program());
        start.wait_until_it_reads_its_kubeconfig();
        start.send(signal);
        assert_eq!(start.exit_code(), Some(0), "{signal}");
    }
}

#[test]
fn a_signal_from_before_it_listens_is_not_lost() {
    let mut start = Start::held_back(program());
    start.send(Signal::SIGTERM);
    assert_eq!(start.exit_code(), Some(0));
}

/// A command that answers and ends is ended by a signal as any other program.
#[test]
fn a_command_that_answers_and_ends_is_ended_by_the_signal() {
    let mut command = program();
    command.arg("check");
    let mut start = Start::of(command);
    start.wait_until_it_reads_its_kubeconfig();
    start.send(Signal::SIGINT);
    assert_eq!(start.exit_code(), None);
}
