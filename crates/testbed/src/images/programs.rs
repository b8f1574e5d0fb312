//! Images of single programs: of one on this machine, and of one that a Go module pins.

use super::engine::Engine as _;
use super::inputs::Inputs;
use super::{Candidates, ImageError, ImageRef, Images, ProgramImage, program, recipe};
use crate::tools::{GoCommand, Progress, ToolOptions, build_module};

/// An image of a Go program that others publish, too.
pub struct GoImage<'a> {
    /// The published image, as manifests name it: `rancher/local-path-provisioner:v0.0.30`.
    pub published: &'a str,
    /// What is built where it cannot be pulled.
    pub command: &'a GoCommand,
    /// Of these count the cache, the Go command, and whether builds are allowed.
    pub tools: &'a ToolOptions,
    /// Hears of the Go build.
    pub progress: &'a dyn Progress,
}

/// An image of a program that is about to be built.
struct Making<'a> {
    image: &'a ProgramImage<'a>,
    title: &'a str,
    /// The name that the build gives it.
    built: &'a str,
    key: &'a str,
}

impl Images<'_> {
    /// An image of a program on this machine, with the shared libraries that it needs, always built.
    ///
    /// # Errors
    /// The program cannot be read, a library of it is missing, or the image cannot be made.
    pub async fn program(&self, image: &ProgramImage<'_>) -> Result<ImageRef, ImageError> {
        let libraries = program::libraries(image.program).await?;
        let key = program::key(image, &libraries)?;
        let built = self.name(image.name, &key);
        let title = format!("image of {}", image.name);
        let candidates = Candidates {
            what: &title,
            given: None,
            official: &[],
            built: &built,
        };
        self.obtain(self.policy, &candidates, async |_| {
            self.make(Making {
                image,
                title: &title,
                built: &built,
                key: &key,
            })
            .await
        })
        .await
    }

    /// The image of a Go program: in Docker already, pulled, or built of its module, as
    /// [`super::Policy`] allows. A built one starts the program as root, without arguments; manifests say
    /// more where that matters.
    ///
    /// # Errors
    /// It can neither be pulled nor built.
    pub async fn go_program(&self, go: &GoImage<'_>) -> Result<ImageRef, ImageError> {
        let failed = |source| ImageError::Go {
            published: go.published.to_owned(),
            source: Box::new(source),
        };
        let name = go.command.name().map_err(failed)?;
        let key = go_key(go.command);
        let built = self.name(name, &key);
        let title = format!("image of {name}");
        let candidates = Candidates {
            what: &title,
            given: None,
            official: &[go.published],
            built: &built,
        };
        self.obtain(self.policy, &candidates, async |_| {
            let binary = build_module(go.command, go.tools, go.progress)
                .await
                .map_err(failed)?;
            let entrypoint = format!("/usr/local/bin/{name}");
            let image = ProgramImage {
                name,
                program: &binary.path,
                entrypoint: &[entrypoint.as_str()],
                user: 0,
            };
            self.make(Making {
                image: &image,
                title: &title,
                built: &built,
                key: &key,
            })
            .await
        })
        .await
    }

    async fn make(&self, making: Making<'_>) -> Result<(), ImageError> {
        let Making {
            image,
            title,
            built,
            key,
        } = making;
        let libraries = program::libraries(image.program).await?;
        let bench = self.workshop.enter(self.say).await?;
        // Whoever held the lock may have built it meanwhile.
        if self.docker.present(built).await? {
            return Ok(());
        }
        let work = bench.work(&recipe::PROGRAM)?;
        program::lay_out(image, &libraries, &work.path().join("root"))?;
        let order = self.order(title, built, key, String::new());
        let variables = [
            ("ENTRYPOINT", image.entrypoint_json()),
            ("OWNER", image.user.to_string()),
        ];
        work.run(&order, &variables, self.say).await
    }
}

/// The hash of what an image of a Go program is made of. It is known before the program is built.
fn go_key(command: &GoCommand) -> String {
    let mut inputs = Inputs::of(&recipe::PROGRAM);
    inputs.add("go.mod", &command.go_mod);
    inputs.add("go.sum", &command.go_sum);
    inputs.add("package", &command.package);
    inputs.add("ldflags", &command.ldflags);
    inputs.key()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_of_a_module_makes_another_image() {
        let command = GoCommand {
            go_mod: "module m\nrequire example.org/x v1.0.0\n".to_owned(),
            go_sum: "sum\n".to_owned(),
            package: "example.org/x".to_owned(),
            ldflags: String::new(),
        };
        let mut newer = command.clone();
        newer.go_mod = newer.go_mod.replace("v1.0.0", "v1.0.1");
        assert_eq!(go_key(&command), go_key(&command.clone()));
        assert_ne!(go_key(&command), go_key(&newer));
    }
}
