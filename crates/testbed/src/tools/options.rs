//! Where tools may come from.

use std::collections::BTreeMap;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::error::ToolError;
use super::platform::Platform;
use super::tool::Tool;
use super::versions::{self, Host};

/// How long connecting to a host may take, name resolution included. Short, since a machine without
/// a network must get to the build soon.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// How long a connected host may take until the head of its answer, redirects included.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// How long a download may stand still.
const STALL_LIMIT: Duration = Duration::from_secs(30);

/// Base addresses, without a trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirrors {
    /// In place of `https://dl.k8s.io`.
    pub kubernetes: String,
    /// In place of `https://github.com`.
    pub github: String,
    /// In place of `https://api.github.com`.
    pub github_api: String,
    /// In place of `https://get.helm.sh`.
    pub helm: String,
}

impl Default for Mirrors {
    fn default() -> Self {
        Self {
            kubernetes: versions::KUBERNETES_BASE.to_owned(),
            github: versions::GITHUB_BASE.to_owned(),
            github_api: versions::GITHUB_API_BASE.to_owned(),
            helm: versions::HELM_BASE.to_owned(),
        }
    }
}

impl Mirrors {
    pub(crate) fn base(&self, host: Host) -> &str {
        match host {
            Host::Kubernetes => &self.kubernetes,
            Host::Github => &self.github,
            Host::GithubApi => &self.github_api,
            Host::Helm => &self.helm,
        }
        .trim_end_matches('/')
    }
}

/// Which tools are wanted and where they may come from.
#[derive(Debug, Clone)]
pub struct ToolOptions {
    /// The tools, in the order in which they are resolved.
    pub wanted: Vec<Tool>,
    /// For which system.
    pub platform: Platform,
    /// Paths the user gives; they come before every other source and are never fallen back from.
    pub paths: BTreeMap<Tool, Utf8PathBuf>,
    /// The cache directory of claimcheck, absolute; tools are in `tools` below it.
    pub cache: Utf8PathBuf,
    /// Base addresses of downloads.
    pub mirrors: Mirrors,
    /// The Go command: a path, or a name looked up on `PATH`.
    pub go: Utf8PathBuf,
    /// Whether official downloads may be tried.
    pub download: bool,
    /// Whether a build may be tried.
    pub build: bool,
    /// Limit for connecting to a host.
    pub connect_limit: Duration,
    /// Limit for the head of an answer.
    pub answer_limit: Duration,
    /// Limit for a pause within a download.
    pub stall_limit: Duration,
}

impl ToolOptions {
    /// The tools of a `local` cluster for this machine from every source, with the given cache
    /// directory.
    ///
    /// # Errors
    /// [`ToolError::Platform`] on a system for which no tools are published.
    pub fn new(cache: Utf8PathBuf) -> Result<Self, ToolError> {
        Ok(Self {
            wanted: Tool::LOCAL.to_vec(),
            platform: Platform::current()?,
            paths: BTreeMap::new(),
            cache,
            mirrors: Mirrors::default(),
            go: Utf8PathBuf::from("go"),
            download: true,
            build: true,
            connect_limit: CONNECT_LIMIT,
            answer_limit: ANSWER_LIMIT,
            stall_limit: STALL_LIMIT,
        })
    }

    /// As [`ToolOptions::new`], changed by the environment:
    ///
    /// - `CLAIMCHECK_TOOL_<NAME>`: the path of a tool;
    /// - `CLAIMCHECK_CACHE`, else `claimcheck` in `XDG_CACHE_HOME`, else in `~/.cache`;
    /// - `CLAIMCHECK_MIRROR_KUBERNETES`, `CLAIMCHECK_MIRROR_GITHUB`,
    ///   `CLAIMCHECK_MIRROR_GITHUB_API`, `CLAIMCHECK_MIRROR_HELM`: base addresses;
    /// - `CLAIMCHECK_GO`: the Go command.
    ///
    /// # Errors
    /// [`ToolError::NoCache`], [`ToolError::Platform`], or [`ToolError::Variable`] for a value that
    /// is not UTF-8.
    pub fn from_env() -> Result<Self, ToolError> {
        Self::from_lookup(|name| match std::env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => Err(ToolError::Variable {
                name: name.to_owned(),
            }),
        })
    }

    /// An empty variable counts as one that is not set, as shells write it.
    fn from_lookup(
        lookup: impl Fn(&str) -> Result<Option<String>, ToolError>,
    ) -> Result<Self, ToolError> {
        let get = |name: &str| lookup(name).map(|value| value.filter(|text| !text.is_empty()));
        let mut options = Self::new(cache_directory(&get)?)?;
        for tool in Tool::ALL {
            if let Some(path) = get(&tool.variable())? {
                options.paths.insert(tool, path.into());
            }
        }
        let mirrors = &mut options.mirrors;
        for (name, base) in [
            ("CLAIMCHECK_MIRROR_KUBERNETES", &mut mirrors.kubernetes),
            ("CLAIMCHECK_MIRROR_GITHUB", &mut mirrors.github),
            ("CLAIMCHECK_MIRROR_GITHUB_API", &mut mirrors.github_api),
            ("CLAIMCHECK_MIRROR_HELM", &mut mirrors.helm),
        ] {
            if let Some(value) = get(name)? {
                *base = value;
            }
        }
        if let Some(go) = get("CLAIMCHECK_GO")? {
            options.go = go.into();
        }
        Ok(options)
    }
}

/// The XDG base directory specification has relative paths ignored.
fn cache_directory(
    get: &impl Fn(&str) -> Result<Option<String>, ToolError>,
) -> Result<Utf8PathBuf, ToolError> {
    for (name, below) in [
        ("CLAIMCHECK_CACHE", ""),
        ("XDG_CACHE_HOME", "claimcheck"),
        ("HOME", ".cache/claimcheck"),
    ] {
        if let Some(value) = get(name)?
            && Utf8Path::new(&value).is_absolute()
        {
            let directory = Utf8PathBuf::from(value);
            return Ok(if below.is_empty() {
                directory
            } else {
                directory.join(below)
            });
        }
    }
    Err(ToolError::NoCache)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(pairs: &[(&str, &str)]) -> Result<ToolOptions, ToolError> {
        ToolOptions::from_lookup(|name| {
            Ok(pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned()))
        })
    }

    #[test]
    fn the_cache_is_the_first_directory_the_environment_names() {
        let all = [
            ("CLAIMCHECK_CACHE", "/own"),
            ("XDG_CACHE_HOME", "/xdg"),
            ("HOME", "/home/me"),
        ];
        assert_eq!(from(&all).unwrap().cache, "/own");
        assert_eq!(from(&all[1..]).unwrap().cache, "/xdg/claimcheck");
        assert_eq!(from(&all[2..]).unwrap().cache, "/home/me/.cache/claimcheck");
        assert!(matches!(from(&[]), Err(ToolError::NoCache)));
    }

    #[test]
    fn a_relative_cache_is_passed_over() {
        let options = from(&[("XDG_CACHE_HOME", "here"), ("HOME", "/home/me")]).unwrap();
        assert_eq!(options.cache, "/home/me/.cache/claimcheck");
    }

    #[test]
    fn paths_mirrors_and_go_come_from_the_environment() {
        let options = from(&[
            ("HOME", "/home/me"),
            ("CLAIMCHECK_TOOL_KUBE_SCHEDULER", "/opt/kube-scheduler"),
            ("CLAIMCHECK_TOOL_ETCD", ""),
            ("CLAIMCHECK_MIRROR_GITHUB", "http://mirror.example/"),
            ("CLAIMCHECK_MIRROR_HELM", "http://charts.example"),
            ("CLAIMCHECK_GO", "/opt/go/bin/go"),
        ])
        .unwrap();
        assert_eq!(options.paths.len(), 1);
        assert_eq!(options.paths[&Tool::KubeScheduler], "/opt/kube-scheduler");
        assert_eq!(options.mirrors.base(Host::Github), "http://mirror.example");
        assert_eq!(options.mirrors.base(Host::Helm), "http://charts.example");
        assert_eq!(
            options.mirrors.base(Host::Kubernetes),
            versions::KUBERNETES_BASE
        );
        assert_eq!(options.go, "/opt/go/bin/go");
    }
}
