//! `mount.nfs`: called by mount(8) for `mount -t nfs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    nfs_mount::run(&nfs_mount::Program::default(), std::env::args_os().skip(1))
}
