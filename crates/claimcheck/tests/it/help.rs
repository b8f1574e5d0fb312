//! Help is public: a flag that changes shows here.

use insta::assert_snapshot;

use crate::support::Place;

#[test]
fn the_help_of_the_program_lists_its_commands_and_exit_codes() {
    assert_snapshot!(Place::new().call("--help").shown());
}

#[test]
fn the_help_of_each_command_lists_its_flags() {
    for command in [
        "run",
        "list",
        "explain",
        "up",
        "down",
        "status",
        "tools",
        "completions",
    ] {
        let call = Place::new().call(&format!("{command} --help"));
        assert_snapshot!(format!("help_of_{command}"), call.shown());
    }
}

#[test]
fn the_provisioner_takes_the_flags_of_its_own_program() {
    let help = Place::new().call("provisioner --help").stdout();
    for flag in [
        "--provisioner-name",
        "--nfs-server",
        "--nfs-path",
        "--backend",
        "--kubeconfig",
    ] {
        assert!(help.contains(flag), "{flag} is missing in {help}");
    }
}

#[test]
fn the_provisioner_takes_the_one_dash_flags_of_its_predecessor() {
    let call = Place::new().call("provisioner -v=4 -logtostderr");
    // It gets as far as its settings, of which there are none.
    assert_eq!(call.code(), 2, "{}", call.shown());
    assert!(
        !call.stderr().contains("unexpected argument"),
        "{}",
        call.shown()
    );
}

#[test]
fn the_version_goes_to_standard_output() {
    let call = Place::new().call("--version");
    assert_eq!(
        call.stdout(),
        concat!("claimcheck ", env!("CARGO_PKG_VERSION"), "\n")
    );
    assert_eq!(call.code(), 0);
}

#[test]
fn completions_complete_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let call = Place::new().call(&format!("completions {shell}"));
        assert_eq!(call.code(), 0);
        assert!(
            call.stdout().contains("explain"),
            "{shell} has no `explain`"
        );
        assert_eq!(call.stderr(), "");
    }
}
