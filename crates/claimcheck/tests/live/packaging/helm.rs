//! The programs that render and install, and what they are called with.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use serde_json::Value;
use tempfile::TempDir;
use testbed::tools::{NoProgress, Tool, ToolOptions, ToolSet, Tools};

use super::objects::Objects;
use crate::place::said;

/// A path in `deploy`.
pub(crate) fn deploy(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../deploy")
        .join(below)
}

/// The chart.
pub(crate) fn chart() -> PathBuf {
    deploy("helm/nfs-provisioner")
}

/// Found as any tool is: given, cached, downloaded or built.
static PROGRAMS: LazyLock<ToolSet> = LazyLock::new(|| {
    // Another may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut options = ToolOptions::from_env().unwrap();
    options.wanted = Tool::PACKAGING.to_vec();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime
        .block_on(Tools::resolve(&options, &NoProgress))
        .unwrap()
});

/// Where the programs work: a directory of their own, and the cluster that they ask, if any.
pub(crate) struct Helm {
    directory: TempDir,
    kubeconfig: String,
}

impl Helm {
    /// Without a cluster.
    pub(crate) fn alone() -> Self {
        Self::on("")
    }

    /// With the cluster of this kubeconfig.
    pub(crate) fn on(kubeconfig: &str) -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            kubeconfig: kubeconfig.to_owned(),
        }
    }

    /// Writes values, or manifests, to a file; JSON is YAML.
    pub(crate) fn file(&self, name: &str, content: &Value) -> PathBuf {
        let path = self.directory.path().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, content.to_string()).unwrap();
        path
    }

    /// Applies an object to the cluster.
    pub(crate) fn apply(&self, object: &Value) {
        let file = self.file("applied.json", object);
        self.kubectl(&format!(
            "apply --server-side --validate=strict --filename {}",
            file.display()
        ));
    }

    fn command(&self, tool: Tool, words: &str) -> Command {
        let mut command = Command::new(PROGRAMS.path(tool));
        self.environment(&mut command)
            .args(words.split_whitespace());
        command
    }

    /// Gives a command the programs, the cluster and nothing of the user's: no repositories, no
    /// plug-ins, no cache.
    pub(crate) fn environment<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let directory = self.directory.path();
        command
            .current_dir(directory)
            .env("HELM", PROGRAMS.path(Tool::Helm))
            .env("KUBECTL", PROGRAMS.path(Tool::Kubectl))
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", directory)
            .env("HELM_CACHE_HOME", directory.join("cache"))
            .env("HELM_CONFIG_HOME", directory.join("config"))
            .env("HELM_DATA_HOME", directory.join("data"))
            .stdin(Stdio::null())
    }

    /// Calls helm with these words; `CHART` stands for the chart's path.
    pub(crate) fn helm(&self, words: &str) -> Output {
        let chart = chart();
        let mut command = self.command(Tool::Helm, "");
        for word in words.split_whitespace() {
            if word == "CHART" {
                command.arg(&chart);
            } else {
                command.arg(word);
            }
        }
        command.output().unwrap()
    }

    /// As [`Self::helm`]; gives what it wrote.
    pub(crate) fn works(&self, words: &str) -> String {
        succeeded(&format!("helm {words}"), self.helm(words))
    }

    /// Calls kubectl with these words; gives what it wrote.
    pub(crate) fn kubectl(&self, words: &str) -> String {
        succeeded(&format!("kubectl {words}"), self.kubectl_says(words))
    }

    /// Calls kubectl with these words.
    pub(crate) fn kubectl_says(&self, words: &str) -> Output {
        self.command(Tool::Kubectl, words).output().unwrap()
    }

    /// An object of the cluster.
    pub(crate) fn get(&self, words: &str) -> Value {
        serde_json::from_str(&self.kubectl(&format!("get --output json {words}"))).unwrap()
    }

    /// What the chart renders to for the release `claims` in the namespace `storage`.
    ///
    /// # Errors
    /// What helm says where it refuses the values.
    pub(crate) fn render(&self, values: &[&Value]) -> Result<Objects, String> {
        self.render_as("claims", "storage", values)
    }

    /// As [`Self::render`], for another release.
    pub(crate) fn render_as(
        &self,
        release: &str,
        namespace: &str,
        values: &[&Value],
    ) -> Result<Objects, String> {
        let mut words = format!("template {release} CHART --namespace {namespace}");
        for (index, layer) in values.iter().enumerate() {
            let file = self.file(&format!("values-{index}.json"), layer);
            words = format!("{words} --values {}", file.display());
        }
        let output = self.helm(&words);
        if output.status.success() {
            Ok(Objects::parse(&String::from_utf8(output.stdout).unwrap()))
        } else {
            Err(String::from_utf8(output.stderr).unwrap())
        }
    }
}

fn succeeded(what: &str, output: Output) -> String {
    assert!(output.status.success(), "{what}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}
