//! Which images every testbed of `kind` needs, and which of them are there already.

use futures::future::join_all;

use super::sources::present;
use super::{BUSYBOX, Candidates, Images, NGINX, NodeRequest, node, recipe};
use crate::tools::{NoProgress, ToolOptions, versions};

/// An image that every `kind` testbed needs, whatever its subject is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeededImage {
    /// That of the nodes.
    Node,
    /// That of the NFS server.
    NfsServer,
    /// `busybox`, which pods of cases run.
    Busybox,
    /// `nginx`, likewise.
    Nginx,
}

impl NeededImage {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Node, Self::NfsServer, Self::Busybox, Self::Nginx];

    /// What people call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Node => recipe::NODE.title,
            Self::NfsServer => recipe::NFS_SERVER.title,
            Self::Busybox => recipe::BUSYBOX.title,
            Self::Nginx => recipe::NGINX.title,
        }
    }
}

impl Images<'_> {
    /// The needed images that Docker has under the names which a testbed would take now: a build of
    /// older inputs does not count, nor a pulled one where only builds may be used. One of which
    /// Docker cannot say is none.
    ///
    /// Nothing is pulled or built. It reads those tools of `tools` that the user gives by their paths.
    pub async fn at_hand(&self, tools: &ToolOptions) -> Vec<NeededImage> {
        let asked = NeededImage::ALL.map(async |image| {
            let there = self.has(image, tools).await;
            there.then_some(image)
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    async fn has(&self, image: NeededImage, tools: &ToolOptions) -> bool {
        let (official, built) = match image {
            NeededImage::Node => {
                let request = NodeRequest {
                    kubernetes: versions::KUBERNETES,
                    given: None,
                    tools,
                    progress: &NoProgress,
                };
                match self.node_name(&request) {
                    Ok(built) => (Some(node::official(versions::KUBERNETES)), built),
                    Err(error) => {
                        tracing::warn!(%error, "whether there is a node image is not known");
                        return false;
                    }
                }
            }
            NeededImage::NfsServer => (None, self.recipe_name(&recipe::NFS_SERVER)),
            NeededImage::Busybox => (Some(BUSYBOX.to_owned()), self.recipe_name(&recipe::BUSYBOX)),
            NeededImage::Nginx => (Some(NGINX.to_owned()), self.recipe_name(&recipe::NGINX)),
        };
        let official: Vec<&str> = official.iter().map(String::as_str).collect();
        let candidates = Candidates {
            what: image.title(),
            given: None,
            official: &official,
            built: &built,
        };
        match present(&self.docker, self.policy, &candidates).await {
            Ok(found) => found.is_some(),
            Err(error) => {
                tracing::debug!(%error, what = image.title(), "Docker does not say");
                false
            }
        }
    }
}
