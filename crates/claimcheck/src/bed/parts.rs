//! What a testbed needs before anything of it is started: programs and, for real nodes, images.

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use testbed::cluster::local::LocalBinaries;
use testbed::images::{GoImage, ImageError, ImageRef, Images, NodeRequest, ProgramImage};
use testbed::kind::ClusterKind;
use testbed::subject::{ImageSource, Layout, Subject};
use testbed::tools::{GoCommand, Tool, ToolOptions, Tools, versions};

use super::this_program;
use crate::cli::tools::ToolProgress;
use crate::failure::{Failure, tool_failure};
use crate::options::{ClusterChoice, KindChoice};

/// Images that cases name, and the walkthrough's manifests: nodes have them, so that nothing is
/// pulled while a case waits.
const CASE_IMAGES: [(&str, ImageSource); 2] = [
    ("busybox", ImageSource::Busybox),
    ("nginx", ImageSource::Nginx),
];
/// What the entry point of an image made of this program adds to it.
const PROVISIONER: [&str; 2] = ["provisioner", "run"];

/// The parts of a testbed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Parts {
    /// The programs of a `local` cluster.
    Local(LocalBinaries),
    /// What a `kind` cluster is made of.
    Kind(KindParts),
}

/// What a `kind` cluster is made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KindParts {
    /// The program kind.
    pub(super) program: Utf8PathBuf,
    /// The nodes' version of Kubernetes, with a leading `v`.
    pub(super) kubernetes: String,
    /// Nodes beside the control plane.
    pub(super) workers: usize,
    /// The nodes' image.
    pub(super) node_image: String,
    /// The NFS server's image; none for a subject that keeps volumes on the nodes.
    pub(super) server_image: Option<String>,
    /// What nodes have before the subject is started.
    pub(super) images: Vec<LoadedImage>,
}

/// An image that is put into the nodes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LoadedImage {
    /// The name by which this machine's Docker has it.
    pub(super) reference: String,
    /// The name by which manifests call it.
    pub(super) name: String,
}

impl Parts {
    /// Finds, downloads, pulls or builds them; `told` hears of images.
    ///
    /// # Errors
    /// One cannot be had.
    pub(crate) async fn find(
        choice: &ClusterChoice,
        subject: &Subject,
        tools: &ToolOptions,
        told: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Self, Failure> {
        match choice {
            ClusterChoice::Local => {
                let options = wanting(tools, &Tool::LOCAL);
                let found = Tools::resolve(&options, &ToolProgress::stderr())
                    .await
                    .map_err(tool_failure)?;
                Ok(Self::Local(LocalBinaries::from(&found)))
            }
            ClusterChoice::Kind(choice) => {
                let finder = Finder {
                    tools,
                    images: Images::from_env(&tools.cache, told).map_err(image_failure)?,
                };
                finder.kind(choice, subject).await.map(Self::Kind)
            }
        }
    }

    /// The kind of cluster.
    pub(super) fn kind(&self) -> ClusterKind {
        match self {
            Self::Local(_) => ClusterKind::Local,
            Self::Kind(_) => ClusterKind::Kind,
        }
    }

    /// The version of Kubernetes.
    pub(super) fn kubernetes(&self) -> &str {
        match self {
            Self::Local(_) => versions::KUBERNETES,
            Self::Kind(parts) => &parts.kubernetes,
        }
    }
}

struct Finder<'a> {
    tools: &'a ToolOptions,
    images: Images<'a>,
}

impl Finder<'_> {
    async fn kind(&self, choice: &KindChoice, subject: &Subject) -> Result<KindParts, Failure> {
        let progress = ToolProgress::stderr();
        let found = Tools::resolve(&wanting(self.tools, &Tool::KIND), &progress)
            .await
            .map_err(tool_failure)?;
        let KindChoice {
            workers,
            kubernetes,
            node_image,
        } = choice;
        let node_image = self
            .images
            .node(&NodeRequest {
                kubernetes,
                given: node_image.as_deref(),
                tools: self.tools,
                progress: &progress,
            })
            .await
            .map_err(image_failure)?;
        let server_image = match subject.layout {
            Layout::Nfs => Some(self.images.nfs_server().await.map_err(image_failure)?),
            Layout::NodeDirectory { .. } => None,
        };
        let mut images = Vec::new();
        for (name, source) in &CASE_IMAGES {
            images.push(self.loaded(name, source).await?);
        }
        for image in subject.images() {
            if !images.iter().any(|loaded| loaded.name == image.name) {
                images.push(self.loaded(&image.name, &image.from).await?);
            }
        }
        Ok(KindParts {
            program: found.path(Tool::Kind).to_owned(),
            kubernetes: kubernetes.clone(),
            workers: *workers,
            node_image: node_image.reference,
            server_image: server_image.map(|image| image.reference),
            images,
        })
    }

    async fn loaded(&self, name: &str, source: &ImageSource) -> Result<LoadedImage, Failure> {
        let image = match source {
            ImageSource::Busybox => self.images.busybox().await,
            ImageSource::Nginx => self.images.nginx().await,
            ImageSource::Claimcheck => self.provisioner(&this_program()?).await,
            ImageSource::Go(go) => {
                let command = GoCommand {
                    go_mod: go.go_mod.clone(),
                    go_sum: go.go_sum.clone(),
                    package: go.package.clone(),
                    ldflags: "-s -w".to_owned(),
                };
                let image = GoImage {
                    published: name,
                    command: &command,
                    tools: self.tools,
                    progress: &ToolProgress::stderr(),
                };
                self.images.go_program(&image).await
            }
        };
        Ok(LoadedImage {
            reference: image.map_err(image_failure)?.reference,
            name: name.to_owned(),
        })
    }

    /// The image of the reference: this program, which starts as the provisioner.
    async fn provisioner(&self, program: &Utf8Path) -> Result<ImageRef, ImageError> {
        let name = "provisioner";
        let path = format!("/usr/local/bin/{}", program.file_name().unwrap_or(name));
        let [command, action] = PROVISIONER;
        let image = ProgramImage {
            name,
            program,
            entrypoint: &[&path, command, action],
            user: ProgramImage::NONROOT,
        };
        self.images.program(&image).await
    }
}

/// The same options for these tools.
fn wanting(options: &ToolOptions, tools: &[Tool]) -> ToolOptions {
    ToolOptions {
        wanted: tools.to_vec(),
        ..options.clone()
    }
}

fn image_failure(error: ImageError) -> Failure {
    match error {
        ImageError::Policy { .. } => Failure::usage(error),
        _ => Failure::testbed(error),
    }
}
