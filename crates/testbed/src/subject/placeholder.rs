//! Placeholders in a subject's command, environment and settings: `${name}`, a closed set.

use std::fmt;

/// What a placeholder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placeholder {
    /// Path of the running `claimcheck`.
    Claimcheck,
    /// Path of a kubeconfig with the token of the subject's `ServiceAccount`.
    Kubeconfig,
    /// Namespace of the subject's `ServiceAccount`.
    Namespace,
    /// The provisioner's name, as the file gives it.
    Provisioner,
    /// Host name or address of the NFS server.
    ExportServer,
    /// The exported path on the server.
    ExportPath,
    /// The server's TCP port of NFS.
    ExportPort,
    /// The server's TCP port of MOUNT (RFC 1813, appendix I), which may be the same.
    ExportMountPort,
    /// The exported directory on this machine.
    ExportDirectory,
    /// Path of the subject's log.
    Log,
}

impl Placeholder {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Claimcheck,
        Self::Kubeconfig,
        Self::Namespace,
        Self::Provisioner,
        Self::ExportServer,
        Self::ExportPath,
        Self::ExportPort,
        Self::ExportMountPort,
        Self::ExportDirectory,
        Self::Log,
    ];

    /// Its name between `${` and `}`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Claimcheck => "claimcheck",
            Self::Kubeconfig => "kubeconfig",
            Self::Namespace => "namespace",
            Self::Provisioner => "provisioner",
            Self::ExportServer => "export.server",
            Self::ExportPath => "export.path",
            Self::ExportPort => "export.port",
            Self::ExportMountPort => "export.mountPort",
            Self::ExportDirectory => "export.directory",
            Self::Log => "log",
        }
    }

    /// Whether it means something inside the cluster: a path of this machine does not.
    pub fn in_cluster(self) -> bool {
        match self {
            Self::Claimcheck | Self::Kubeconfig | Self::ExportDirectory | Self::Log => false,
            Self::Namespace
            | Self::Provisioner
            | Self::ExportServer
            | Self::ExportPath
            | Self::ExportPort
            | Self::ExportMountPort => true,
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|placeholder| placeholder.name() == name)
    }
}

/// What is wrong with the placeholders of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PlaceholderError {
    /// A name that is none of the set.
    Unknown(String),
    /// A `${` without `}`.
    Open,
}

impl fmt::Display for PlaceholderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(f, "has the unknown placeholder `${{{name}}}`"),
            Self::Open => write!(f, "has a `${{` without its `}}`"),
        }
    }
}

/// Puts values in the place of all placeholders in `text`.
pub(super) fn expand(
    text: &str,
    value: impl Fn(Placeholder) -> String,
) -> Result<String, PlaceholderError> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, behind) = after.split_once('}').ok_or(PlaceholderError::Open)?;
        let placeholder =
            Placeholder::named(name).ok_or_else(|| PlaceholderError::Unknown(name.to_owned()))?;
        expanded.push_str(before);
        expanded.push_str(&value(placeholder));
        rest = behind;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("plain $HOME {x}", Ok("plain $HOME {x}"))]
    #[case("${export.server}:${export.path}", Ok("<export.server>:<export.path>"))]
    #[case("${nope}", Err(PlaceholderError::Unknown("nope".to_owned())))]
    #[case("a ${log", Err(PlaceholderError::Open))]
    fn known_placeholders_are_replaced_and_others_refused(
        #[case] text: &str,
        #[case] expected: Result<&str, PlaceholderError>,
    ) {
        let result = expand(text, |placeholder| format!("<{}>", placeholder.name()));
        assert_eq!(result.as_deref(), expected.as_ref().map(|text| *text));
    }

    #[test]
    fn what_is_put_in_is_not_looked_at_again() {
        assert_eq!(
            expand("${log}", |_| "${nope}".to_owned()),
            Ok("${nope}".to_owned())
        );
    }
}
