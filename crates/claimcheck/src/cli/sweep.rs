//! The sweep that commands begin with: testbeds whose owner is dead are removed.

use testbed::artifacts::Home;
use testbed::state::{Swept, sweep_dead};

use crate::failure::Failure;
use crate::printer::Printer;

/// Sweeps, and says what was swept.
///
/// # Errors
/// Something that is dead cannot be removed.
pub(crate) fn dead(home: &Home, printer: &Printer) -> Result<Vec<Swept>, Failure> {
    // Where no testbed ever was, nothing is made for the sake of looking.
    if !home.clusters().exists() {
        return Ok(Vec::new());
    }
    let swept = sweep_dead(home)?;
    for one in &swept {
        printer.note(&format!("swept {}", told(one)));
    }
    Ok(swept)
}

/// Sweeps for a command that needs no testbed, and so does not fail for one.
pub(crate) fn quietly(printer: &Printer) {
    let Ok(home) = Home::from_environment() else {
        return;
    };
    if let Err(failure) = dead(&home, printer) {
        tracing::warn!("a dead testbed cannot be swept: {:#}", failure.error);
    }
}

/// What was removed of a testbed, in one line.
pub(crate) fn told(swept: &Swept) -> String {
    let Swept {
        name,
        processes,
        mounts,
        containers,
        networks,
        logs,
    } = swept;
    let mut text = format!("testbed `{name}`, left by a dead process: ");
    let processes = processes
        .iter()
        .map(|(name, pid)| format!("{name} ({pid})"));
    let mounts = mounts.iter().map(|mount| format!("mount {mount}"));
    let containers = containers.iter().map(|name| format!("container {name}"));
    let networks = networks.iter().map(|name| format!("network {name}"));
    let parts: Vec<String> = processes
        .chain(mounts)
        .chain(containers)
        .chain(networks)
        .collect();
    if parts.is_empty() {
        text.push_str("its directory");
    } else {
        text.push_str(&parts.join(", "));
    }
    if let Some(logs) = logs {
        text.push_str("; logs remain in ");
        text.push_str(logs.as_str());
    }
    text
}
