//! Container images: those that a `kind` testbed needs, with and without a registry.
//!
//! An image comes from the first of these that has it: a reference the user gives, Docker's own
//! store, a registry, a build by a recipe in `kind/`. What is built is named
//! `claimcheck/WHAT:VERSION-KEY`, where the key is a hash of everything that went into it, so that
//! a second call finds it at once and a changed recipe makes a new one. After a build, all but the
//! newest two of that name go.
//!
//! [`Images`] does all of it and reports single lines through a callback; nothing here prints.
//! Dropping a future stops the build under way and removes what it had made; what a killed process
//! left is removed before the next build.

mod debian;
mod engine;
mod error;
mod inputs;
mod needed;
mod node;
mod program;
mod programs;
mod recipe;
mod sources;
mod superseded;
mod workshop;

use std::fmt;

use camino::Utf8Path;
use jiff::SignedDuration;

pub use error::ImageError;
pub use needed::NeededImage;
pub use node::{NodeBinaries, NodeRequest};
pub use program::ProgramImage;
pub use programs::GoImage;
pub use sources::Policy;

use crate::tools::versions;
use engine::{Docker, Engine as _};
use inputs::Inputs;
use recipe::Recipe;
use sources::{Candidates, obtain};
use workshop::{Bench, Order, Workshop};

/// The first part of the names of built images.
const NAMESPACE: &str = "claimcheck";
/// What test scenarios call `busybox` and `nginx`, as published.
const BUSYBOX: &str = "docker.io/library/busybox:1.37.0";
const NGINX: &str = "docker.io/library/nginx:1.28";

/// The Debian suite of everything that is built. Its systemd still runs on cgroup v1; from version
/// 256 on it refuses.
const SUITE: &str = "bookworm";

/// Receives single lines on what is being done. Called from one task at a time; must not block.
pub type Say<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// How an image came to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageOrigin {
    /// The user named it.
    Given,
    /// Docker had it already, from an earlier pull or build.
    Present,
    /// It was pulled from a registry just now.
    Pulled,
    /// It was built just now.
    Built,
}

/// An image that Docker on this machine has.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ImageRef {
    /// The name by which Docker finds it.
    pub reference: String,
    /// How it came to be there.
    pub origin: ImageOrigin,
}

impl fmt::Display for ImageRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.reference)
    }
}

/// The way to images.
pub struct Images<'a> {
    policy: Policy,
    mirror: String,
    namespace: String,
    base_namespace: String,
    grace: SignedDuration,
    workshop: Workshop,
    docker: Docker,
    say: Say<'a>,
}

impl<'a> Images<'a> {
    /// Images with work files in `images` below claimcheck's cache directory, by the environment:
    ///
    /// - `CLAIMCHECK_IMAGES`: `auto` (the default), `pull` or `build`, see [`Policy`];
    /// - `CLAIMCHECK_DEBIAN_MIRROR`: the address of a Debian mirror; else that of this machine's
    ///   package sources, else Debian's own.
    ///
    /// # Errors
    /// [`ImageError::Policy`] for another value of `CLAIMCHECK_IMAGES`.
    pub fn from_env(cache: &Utf8Path, say: Say<'a>) -> Result<Self, ImageError> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let policy = match variable("CLAIMCHECK_IMAGES") {
            None => Policy::Auto,
            Some(value) => value.parse().map_err(|()| ImageError::Policy { value })?,
        };
        let mirror = variable("CLAIMCHECK_DEBIAN_MIRROR")
            .or_else(debian::mirror_here)
            .unwrap_or_default();
        Ok(Self {
            policy,
            mirror,
            namespace: NAMESPACE.to_owned(),
            base_namespace: NAMESPACE.to_owned(),
            grace: superseded::GRACE,
            workshop: Workshop::new(cache.join("images")),
            docker: Docker::default(),
            say,
        })
    }

    /// The same with another policy.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// The same with another first part of the names of built images than `claimcheck`. The Debian
    /// image that they are built on is shared all the same.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.namespace);
        self
    }

    /// The same with a Debian image of its own to build on, with the first part of the name that
    /// built images have.
    #[must_use]
    pub fn own_base(mut self) -> Self {
        self.base_namespace.clone_from(&self.namespace);
        self
    }

    /// The same with another Debian mirror; with an empty one, Debian's own.
    #[must_use]
    pub fn mirror(mut self, mirror: &str) -> Self {
        mirror.clone_into(&mut self.mirror);
        self
    }

    /// The same with another age, 15 minutes unless given, from which on a build is removed that two
    /// newer ones have taken the place of. A younger one may be on its way into somebody's nodes.
    #[must_use]
    pub fn grace(mut self, grace: SignedDuration) -> Self {
        self.grace = grace;
        self
    }

    /// The Debian image that others are built on. Gets it by itself, so that a caller can tell early
    /// whether anything can be built here.
    ///
    /// # Errors
    /// [`ImageError::Base`] when it can neither be pulled nor built, with what is missing.
    pub async fn base_image(&self) -> Result<ImageRef, ImageError> {
        let bench = self.workshop.enter(self.say).await?;
        self.base(&bench).await
    }

    /// The image of kind's nodes.
    ///
    /// A build needs the tools of [`crate::tools::Tool::NODE_IMAGE`], which are resolved then and
    /// only then, and supports only the Kubernetes version that the tool chain pins.
    ///
    /// # Errors
    /// No source has the image; the error says why of each.
    pub async fn node(&self, request: &NodeRequest<'_>) -> Result<ImageRef, ImageError> {
        let official = node::official(request.kubernetes);
        let built = self.node_name(request)?;
        let candidates = Candidates {
            what: recipe::NODE.title,
            given: request.given,
            official: &[&official],
            built: &built,
        };
        self.obtain(self.policy, &candidates, async |pull| {
            if request.kubernetes != versions::KUBERNETES {
                return Err(ImageError::Kubernetes {
                    wanted: request.kubernetes.to_owned(),
                    pull: pull.to_owned(),
                });
            }
            self.build_node(request, &built).await
        })
        .await
    }

    /// The image of the NFS server, always built: none is published that fits.
    ///
    /// # Errors
    /// It cannot be built.
    pub async fn nfs_server(&self) -> Result<ImageRef, ImageError> {
        self.by_recipe(&recipe::NFS_SERVER, &[]).await
    }

    /// The image `busybox` of test scenarios, or a stand-in.
    ///
    /// # Errors
    /// It can neither be pulled nor built.
    pub async fn busybox(&self) -> Result<ImageRef, ImageError> {
        self.by_recipe(&recipe::BUSYBOX, &[BUSYBOX]).await
    }

    /// The image `nginx` of test scenarios, or a stand-in.
    ///
    /// # Errors
    /// It can neither be pulled nor built.
    pub async fn nginx(&self) -> Result<ImageRef, ImageError> {
        self.by_recipe(&recipe::NGINX, &[NGINX]).await
    }

    async fn by_recipe(
        &self,
        recipe: &'static Recipe,
        official: &[&str],
    ) -> Result<ImageRef, ImageError> {
        let key = recipe_key(recipe);
        let built = self.recipe_name(recipe);
        let candidates = Candidates {
            what: recipe.title,
            given: None,
            official,
            built: &built,
        };
        self.obtain(self.policy, &candidates, async |_| {
            let bench = self.workshop.enter(self.say).await?;
            // Whoever held the lock may have built it meanwhile.
            if self.docker.present(&built).await? {
                return Ok(());
            }
            let base = self.base(&bench).await?.reference;
            let order = self.order(recipe.title, &built, &key, base);
            bench.work(recipe)?.run(&order, &[], self.say).await
        })
        .await
    }

    async fn build_node(&self, request: &NodeRequest<'_>, built: &str) -> Result<(), ImageError> {
        let binaries = request.binaries().await?;
        let bench = self.workshop.enter(self.say).await?;
        if self.docker.present(built).await? {
            return Ok(());
        }
        let base = self.base(&bench).await?.reference;
        let work = bench.work(&recipe::NODE)?;
        let go = &request.tools.go;
        let files = node::kind_files(go, &work.path().join("kind")).await?;
        let directory = work.path().join("binaries");
        binaries
            .link(&directory)
            .map_err(|error| ImageError::cache(format!("link {directory}"), error))?;
        let key = node::key(request)?;
        let order = self.order(recipe::NODE.title, built, &key, base);
        let variables = [
            ("KIND_FILES", files.into_string()),
            ("BINARIES", directory.into_string()),
            ("GO", go.to_string()),
            ("KUBERNETES", request.kubernetes.to_owned()),
        ];
        work.run(&order, &variables, self.say).await
    }

    /// The image that others are built on: Debian's, or one made by debootstrap.
    async fn base(&self, bench: &Bench) -> Result<ImageRef, ImageError> {
        let official = format!("docker.io/library/debian:{SUITE}-slim");
        let key = recipe_key(&recipe::BASE);
        let built = format!(
            "{}/{}:{SUITE}-{key}",
            self.base_namespace,
            recipe::BASE.what
        );
        let candidates = Candidates {
            what: recipe::BASE.title,
            given: None,
            official: &[&official],
            built: &built,
        };
        // The caller is building, so `pull` cannot mean that this one must be pulled.
        let policy = match self.policy {
            Policy::Pull => Policy::Auto,
            other => other,
        };
        self.obtain(policy, &candidates, async |pull| {
            debian::can_bootstrap(pull)?;
            let order = self.order(recipe::BASE.title, &built, &key, String::new());
            bench.work(&recipe::BASE)?.run(&order, &[], self.say).await
        })
        .await
    }

    /// Gets an image from the first source that has it. After a build, older ones go.
    async fn obtain(
        &self,
        policy: Policy,
        candidates: &Candidates<'_>,
        build: impl AsyncFnOnce(&str) -> Result<(), ImageError>,
    ) -> Result<ImageRef, ImageError> {
        let image = obtain(&self.docker, policy, candidates, self.say, build).await?;
        if image.origin == ImageOrigin::Built {
            superseded::remove(&image.reference, self.grace).await;
        }
        Ok(image)
    }

    fn order<'o>(&'o self, title: &'o str, tag: &'o str, key: &'o str, base: String) -> Order<'o> {
        Order {
            title,
            tag,
            key,
            base,
            mirror: &self.mirror,
            suite: SUITE,
        }
    }

    /// The name of a node image that is built here.
    fn node_name(&self, request: &NodeRequest<'_>) -> Result<String, ImageError> {
        let version = format!("{}-{}", request.kubernetes, node::key(request)?);
        Ok(self.name(recipe::NODE.what, &version))
    }

    /// The name of an image that has no inputs beside its recipe.
    fn recipe_name(&self, recipe: &Recipe) -> String {
        self.name(recipe.what, &format!("{SUITE}-{}", recipe_key(recipe)))
    }

    fn name(&self, what: &str, version: &str) -> String {
        format!("{}/{what}:{version}", self.namespace)
    }
}

impl fmt::Debug for Images<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Images")
            .field("policy", &self.policy)
            .field("namespace", &self.namespace)
            .field("workshop", &self.workshop)
            .finish_non_exhaustive()
    }
}

/// The key of an image that has no inputs beside its recipe.
fn recipe_key(recipe: &Recipe) -> String {
    let mut inputs = Inputs::of(recipe);
    inputs.add("suite", SUITE);
    inputs.key()
}
