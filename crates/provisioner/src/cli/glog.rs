//! The flags of glog, the only ones nfs-subdir has: taken with one dash or two.

use std::ffi::OsString;

use clap::Args;

/// glog's other flags: taken, and ignored with one warning.
#[derive(Clone, Debug, Args)]
pub(super) struct GlogArgs {
    #[arg(long, hide = true)]
    vmodule: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    logtostderr: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    alsologtostderr: Option<String>,
    #[arg(long, hide = true)]
    stderrthreshold: Option<String>,
    #[arg(long = "log_dir", hide = true)]
    log_dir: Option<String>,
    #[arg(long = "log_backtrace_at", hide = true)]
    log_backtrace_at: Option<String>,
}

impl GlogArgs {
    pub(super) fn given(&self) -> Vec<&'static str> {
        [
            ("vmodule", &self.vmodule),
            ("logtostderr", &self.logtostderr),
            ("alsologtostderr", &self.alsologtostderr),
            ("stderrthreshold", &self.stderrthreshold),
            ("log_dir", &self.log_dir),
            ("log_backtrace_at", &self.log_backtrace_at),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.as_ref().map(|_| name))
        .collect()
    }
}

/// The flags of glog, which Go takes with one dash as well as with two.
const GLOG_FLAGS: [&str; 7] = [
    "v",
    "vmodule",
    "logtostderr",
    "alsologtostderr",
    "stderrthreshold",
    "log_dir",
    "log_backtrace_at",
];

/// Gives glog's flags the two dashes that clap wants; everything else stays as it is. Both binaries
/// pass their arguments through it before parsing.
pub fn normalise(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    arguments
        .into_iter()
        .map(|argument| {
            let Some(text) = argument.to_str() else {
                return argument;
            };
            let Some(flag) = text.strip_prefix('-') else {
                return argument;
            };
            let name = flag.split_once('=').map_or(flag, |(name, _)| name);
            if GLOG_FLAGS.contains(&name) {
                format!("--{flag}").into()
            } else {
                argument
            }
        })
        .collect()
}
