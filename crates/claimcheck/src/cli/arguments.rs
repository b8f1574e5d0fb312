//! Flags that several commands have. Their values are checked where they are resolved, together
//! with those of the environment and the file.

use clap::{ArgAction, Args};

/// What is judged, and where.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SubjectFlags {
    /// The provisioner under test: a subject file, or the built-in `reference`
    /// (unless given), `reference-mount` or `idle`
    #[arg(long, value_name = "FILE|NAME")]
    pub(crate) subject: Option<String>,
    /// The kind of cluster: `local` (unless given) or `kind`
    #[arg(long, value_name = "KIND")]
    pub(crate) cluster: Option<String>,
}

/// What a cluster of kind `kind` is made of.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ClusterFlags {
    /// Nodes beside the control plane, 2 unless given; with `--cluster kind`
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<String>,
    /// The version of Kubernetes, that of this program unless given; with `--cluster kind`
    #[arg(long, value_name = "VERSION")]
    pub(crate) kubernetes: Option<String>,
    /// The image of the nodes; without it the official one is pulled, and else one is built
    #[arg(long, value_name = "IMAGE")]
    pub(crate) node_image: Option<String>,
}

/// Which cases.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SelectionFlags {
    /// Only cases of these profiles, separated by commas
    #[arg(long, value_name = "PROFILE,...")]
    pub(crate) profile: Vec<String>,
    /// Only these cases, by id or name, separated by commas
    #[arg(long, value_name = "CASE,...")]
    pub(crate) only: Vec<String>,
    /// Not these cases, by id or name, separated by commas
    #[arg(long, value_name = "CASE,...")]
    pub(crate) exclude: Vec<String>,
}

/// How much is said.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct LogFlags {
    /// Say more: -v every skipped case and what happens, -vv and -vvv for debugging
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}
