//! `nfs-provisioner`: the reference provisioner as a program of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    provisioner::cli::hold_signals();
    // Two rustls providers in one tree panic at first use; this is the one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    provisioner::cli::main()
}
