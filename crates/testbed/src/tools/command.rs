//! Go commands that are no tools of the project, for instance provisioners that are judged.

use std::time::Instant;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;

use super::build::{self, Recipe};
use super::cache::{Cache, CacheRecord, Found, Key, Source};
use super::checksum::Hasher;
use super::error::CommandError;
use super::options::ToolOptions;
use super::progress::{Progress, ToolEvent};
use super::resolve::blocking;
use super::set::Origin;

/// So much of the hash names an entry of the cache.
const HASH_LENGTH: usize = 16;

/// A Go command and the module that pins it with all it is made of.
///
/// The module requires the command's module in a fixed version and holds no source of its own; its
/// two files are all that the build sees, so a `replace` by a relative path does not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoCommand {
    /// The text of `go.mod`.
    pub go_mod: String,
    /// The text of `go.sum`, which vouches for every module that is downloaded.
    pub go_sum: String,
    /// The import path of the command.
    pub package: String,
    /// The value of `-ldflags`, for instance `-s -w -X main.VERSION=v1.0.0`; may be empty.
    pub ldflags: String,
}

/// A Go command that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoBinary {
    /// Its file name, the last part of its package's path.
    pub name: String,
    /// The binary in the cache, statically linked.
    pub path: Utf8PathBuf,
    /// Its sha256, in hexadecimal.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
}

impl GoBinary {
    fn cached(name: String, path: Utf8PathBuf, record: CacheRecord) -> Self {
        Self {
            name,
            path,
            sha256: record.sha256,
            size: record.size,
        }
    }
}

impl GoCommand {
    /// The command `package` as the `go.mod` and `go.sum` in `directory` pin it. Blocks.
    ///
    /// # Errors
    /// [`CommandError::Module`] when one of the two files does not read.
    pub fn read(directory: &Utf8Path, package: &str, ldflags: &str) -> Result<Self, CommandError> {
        let read = |file| {
            fs::read_to_string(directory.join(file)).map_err(|source| CommandError::Module {
                directory: directory.to_owned(),
                source,
            })
        };
        Ok(Self {
            go_mod: read("go.mod")?,
            go_sum: read("go.sum")?,
            package: package.to_owned(),
            ldflags: ldflags.to_owned(),
        })
    }

    /// The name that Go gives the binary: the last part of the path that is no major version.
    ///
    /// # Errors
    /// [`CommandError::Package`] for a text that is no import path, among them all that `go` would
    /// take for a flag or a pattern, and all that would leave the cache directory.
    pub fn name(&self) -> Result<&str, CommandError> {
        let refuse = |problem| CommandError::Package {
            package: self.package.clone(),
            problem,
        };
        let mut name = None;
        for part in self.package.split('/') {
            if part.is_empty() || part.starts_with(['.', '-']) {
                return Err(refuse(
                    "a part of the path is empty or starts with `.` or `-`",
                ));
            }
            let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            if !part.bytes().all(known) {
                return Err(refuse("a part of the path has a character Go refuses"));
            }
            if name.is_none() || !is_major_version(part) {
                name = Some(part);
            }
        }
        name.ok_or_else(|| refuse("it is empty"))
    }

    /// A hash of all that decides what the binary is, but for the platform and Go itself. Each text
    /// is preceded by its length, so that no two commands run together into the same bytes.
    fn hash(&self) -> String {
        let mut hasher = Hasher::default();
        for text in [&self.go_mod, &self.go_sum, &self.package, &self.ldflags] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        let mut hash = hasher.finish();
        hash.truncate(HASH_LENGTH);
        hash
    }
}

/// `v2` and up: the suffix of a module's path that is no part of its name.
fn is_major_version(part: &str) -> bool {
    part.strip_prefix('v').is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Builds a Go command, or finds it in the cache. Built without cgo, it is one static file.
///
/// Of `options`, the cache directory, the platform, the Go command and whether builds are allowed
/// count; there are no downloads but Go's own of modules.
///
/// Cancel safe, as [`Tools::resolve`](super::Tools::resolve) is: dropping the future stops Go and
/// removes what it had written. Two runs at once build once.
///
/// # Errors
/// [`CommandError::Package`] for a package that is none, [`CommandError::Build`] when it cannot be
/// built, and [`CommandError::Cache`] when the cache cannot be used.
pub async fn build_module(
    command: &GoCommand,
    options: &ToolOptions,
    progress: &dyn Progress,
) -> Result<GoBinary, CommandError> {
    let name = command.name()?;
    let key = Key {
        name: name.to_owned(),
        version: command.hash(),
    };
    let cache = Cache::modules(&options.cache, options.platform);
    let cached = |path, record| GoBinary::cached(name.to_owned(), path, record);
    match cache.find(&key) {
        Found::Entry { path, record } => return Ok(cached(path, record)),
        Found::Damaged(problem) => {
            let warning = format!("replacing the cached one: {problem}");
            progress.on(name, ToolEvent::Warning(warning));
        }
        Found::Nothing => {}
    }
    let failed = |reason: String| CommandError::Build {
        package: command.package.clone(),
        go: options.go.clone(),
        reason,
    };
    if !options.build {
        return Err(failed("builds are switched off".to_owned()));
    }
    let since = Instant::now();
    let lock = cache.lock(&key, progress).await?;
    let (path, record) = match cache.find(&key) {
        Found::Entry { path, record } => (path, record),
        Found::Damaged(_) | Found::Nothing => {
            let staging = lock.stage()?;
            let recipe = Recipe {
                name,
                go_mod: &command.go_mod,
                go_sum: &command.go_sum,
                package: &command.package,
                ldflags: &command.ldflags,
            };
            build::build(recipe, options.platform, &options.go, &staging, progress)
                .await
                .map_err(failed)?;
            let (store, from) = (cache.clone(), command.package.clone());
            blocking(move || store.commit(&staging, Source::Build, from, None)).await?;
            cache.committed(&key)?
        }
    };
    progress.on(
        name,
        ToolEvent::Finished {
            origin: Origin::Build,
            elapsed: since.elapsed(),
        },
    );
    Ok(cached(path, record))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(package: &str) -> GoCommand {
        GoCommand {
            go_mod: "module m\n".to_owned(),
            go_sum: "sum\n".to_owned(),
            package: package.to_owned(),
            ldflags: "-s".to_owned(),
        }
    }

    #[test]
    fn the_name_is_the_last_part_that_is_no_major_version() {
        for (package, name) in [
            (
                "github.com/rancher/local-path-provisioner",
                "local-path-provisioner",
            ),
            ("example.org/tool/v4", "tool"),
            ("example.org/tool/v4/cmd/ctl", "ctl"),
            ("example.org/x/vet", "vet"),
        ] {
            assert_eq!(command(package).name().unwrap(), name);
        }
    }

    #[test]
    fn what_is_no_import_path_is_refused() {
        for package in [
            "",
            "-toolexec=sh",
            "./cmd",
            "../../x",
            "a/../b",
            "/abs",
            "a//b",
            "a/...",
            "a b",
            "example.org/x@v1",
            "a/-o",
        ] {
            let error = command(package).name().unwrap_err();
            assert!(matches!(error, CommandError::Package { .. }), "{package}");
            assert!(error.to_string().contains("import path"), "{error}");
        }
    }

    #[test]
    fn everything_that_decides_what_is_built_is_in_the_hash() {
        let one = command("example.org/x");
        assert_eq!(one.hash().len(), HASH_LENGTH);
        let mut others = vec![command("example.org/y")];
        let mut changed = one.clone();
        changed.go_mod.push('x');
        others.push(changed);
        let mut changed = one.clone();
        changed.go_sum.push('x');
        others.push(changed);
        let mut changed = one.clone();
        changed.ldflags.push('x');
        others.push(changed);
        // The same bytes, cut elsewhere.
        let mut moved = one.clone();
        moved.go_sum.insert(0, moved.go_mod.pop().unwrap());
        others.push(moved);
        for other in others {
            assert_ne!(other.hash(), one.hash(), "{other:?}");
        }
    }
}
