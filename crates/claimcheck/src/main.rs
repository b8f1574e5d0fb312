//! `claimcheck`: end-to-end conformance for Kubernetes storage provisioners.

use std::process::ExitCode;

fn main() -> ExitCode {
    // First of all: the guard of a child must still have one thread only.
    testbed::process::guard_if_asked();
    // Two rustls providers in one tree panic at first use; this is the one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    claimcheck::main()
}
