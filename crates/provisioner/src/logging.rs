//! Where logs go: to stderr, as text or as JSON objects with the fields at the top level.

use tracing_subscriber::EnvFilter;

use crate::error::Error;
use crate::operations::LogFormat;

/// The filter for a level in glog's sense. Commands that answer and end log warnings only.
const fn directives(verbosity: u8, serves: bool) -> &'static str {
    match verbosity {
        0..=3 if !serves => "warn,kube_client=error,nfs_rs=error",
        0..=3 => "info,kube_client=error,nfs_rs=error",
        4..=5 => "info,nfs_rs=error,provisioner=debug",
        _ => "info,provisioner=trace,kube=debug",
    }
}

/// Sends logs to stderr: `RUST_LOG` if it is set, else the level that `-v` means. `serves` is whether
/// claims are served, or a question is answered.
///
/// # Errors
/// [`Error::Logging`] when a subscriber is installed already.
pub fn init(format: LogFormat, verbosity: u8, serves: bool) -> Result<(), Error> {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(directives(verbosity, serves)));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .try_init(),
    }
    .map_err(|error| Error::Logging(error.to_string()))
}
