//! A program of this machine and its libraries, as the content of an image.

use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use tokio::process::Command;

use super::error::ImageError;
use super::inputs::Inputs;
use super::recipe;

/// An image that holds one program.
#[derive(Debug, Clone)]
pub struct ProgramImage<'a> {
    /// The last part of the image's name, such as `provisioner`.
    pub name: &'a str,
    /// The program on this machine, an absolute path. It lies in the image as
    /// `/usr/local/bin/FILE`, where FILE is the path's last part.
    pub program: &'a Utf8Path,
    /// What is executed, the program's path in the image first.
    pub entrypoint: &'a [&'a str],
    /// The user id that it runs as; 65532 has a name and a home in the image, `nonroot` and `/tmp`.
    pub user: u32,
}

impl ProgramImage<'_> {
    /// The user that the images of programs run as when nothing speaks for another.
    pub const NONROOT: u32 = 65532;

    pub(crate) fn entrypoint_json(&self) -> String {
        serde_json::Value::from(self.entrypoint.to_vec()).to_string()
    }

    fn refuse(&self, reason: impl Into<String>) -> ImageError {
        refuse(self.program, reason)
    }
}

fn refuse(program: &Utf8Path, reason: impl Into<String>) -> ImageError {
    ImageError::Program {
        path: program.to_owned(),
        reason: reason.into(),
    }
}

/// The shared libraries of a program, the loader among them, by `ldd`; none for a static one.
pub(crate) async fn libraries(program: &Utf8Path) -> Result<Vec<Utf8PathBuf>, ImageError> {
    let output = Command::new("ldd")
        .arg(program)
        .env("LC_ALL", "C")
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| refuse(program, format!("`ldd` cannot be run: {error}")))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("not a dynamic executable") {
        return Ok(Vec::new());
    }
    let listed = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(refuse(program, format!("`ldd` says: {}", said.trim())));
    }
    in_ldd(&listed).map_err(|missing| {
        refuse(
            program,
            format!("its library {missing} is not on this machine"),
        )
    })
}

/// The paths that `ldd` lists, or the name of a library that it did not find.
fn in_ldd(listed: &str) -> Result<Vec<Utf8PathBuf>, String> {
    let mut paths = Vec::new();
    for line in listed.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [name, "=>", "not", "found"] => return Err((*name).to_owned()),
            // The second form is the loader's; the kernel's own object has no path.
            [_, "=>", path, ..] | [path, ..] if path.starts_with('/') => {
                paths.push(Utf8PathBuf::from(*path));
            }
            _ => {}
        }
    }
    Ok(paths)
}

/// The hash of everything that goes into the image. Blocks while it reads the program.
pub(crate) fn key(
    image: &ProgramImage<'_>,
    libraries: &[Utf8PathBuf],
) -> Result<String, ImageError> {
    let mut inputs = Inputs::of(&recipe::PROGRAM);
    inputs.add("entrypoint", &image.entrypoint_json());
    inputs.add("user", &image.user.to_string());
    for path in std::iter::once(image.program).chain(libraries.iter().map(AsRef::as_ref)) {
        inputs
            .add_file(path.as_str(), path)
            .map_err(|error| image.refuse(error.to_string()))?;
    }
    Ok(inputs.key())
}

/// Copies the program and its libraries to where they belong below `root`.
pub(crate) fn lay_out(
    image: &ProgramImage<'_>,
    libraries: &[Utf8PathBuf],
    root: &Utf8Path,
) -> Result<(), ImageError> {
    let file = image
        .program
        .file_name()
        .ok_or_else(|| image.refuse("it has no file name"))?;
    let program = Utf8Path::new("/usr/local/bin").join(file);
    let copies = libraries
        .iter()
        .map(|library| (library.as_path(), library.as_path()))
        .chain([(image.program, program.as_path())]);
    for (from, place) in copies {
        let to = root.join(place.as_str().trim_start_matches('/'));
        let copy = || -> std::io::Result<()> {
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent)?;
            }
            // Follows links, as the loader does.
            fs::copy(from, &to)?;
            fs::set_permissions(&to, std::fs::Permissions::from_mode(0o755))
        };
        copy().map_err(|error| image.refuse(error.to_string()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = "\tlinux-vdso.so.1 (0x00007ffd)\n\
        \tlibgcc_s.so.1 => /lib/x86_64-linux-gnu/libgcc_s.so.1 (0x00007f1)\n\
        \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f2)\n\
        \t/lib64/ld-linux-x86-64.so.2 (0x00007f3)\n";

    #[test]
    fn libraries_and_loader_are_read_from_ldd() {
        assert_eq!(
            in_ldd(LISTED).unwrap(),
            [
                "/lib/x86_64-linux-gnu/libgcc_s.so.1",
                "/lib/x86_64-linux-gnu/libc.so.6",
                "/lib64/ld-linux-x86-64.so.2"
            ]
        );
        assert_eq!(
            in_ldd("\tstatically linked\n").unwrap(),
            Vec::<Utf8PathBuf>::new()
        );
        assert_eq!(
            in_ldd("\tlibx.so.1 => not found\n").unwrap_err(),
            "libx.so.1"
        );
    }

    #[tokio::test]
    async fn this_very_program_and_its_libraries_are_laid_out() {
        let program = Utf8PathBuf::from_path_buf(std::env::current_exe().unwrap()).unwrap();
        let image = ProgramImage {
            name: "probe",
            program: &program,
            entrypoint: &["/usr/local/bin/probe", "run"],
            user: ProgramImage::NONROOT,
        };
        let libraries = libraries(&program).await.unwrap();
        assert!(
            libraries
                .iter()
                .any(|path| path.as_str().contains("libc.so")),
            "{libraries:?}"
        );
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(directory.path()).unwrap();
        lay_out(&image, &libraries, root).unwrap();
        let name = program.file_name().unwrap();
        let laid = root.join("usr/local/bin").join(name);
        assert_eq!(
            fs::metadata(&laid).unwrap().len(),
            fs::metadata(&program).unwrap().len()
        );
        for library in &libraries {
            let laid = root.join(library.as_str().trim_start_matches('/'));
            assert!(laid.is_file(), "{laid}");
        }
        let other = ProgramImage {
            user: 0,
            ..image.clone()
        };
        assert_ne!(
            key(&image, &libraries).unwrap(),
            key(&other, &libraries).unwrap()
        );
    }

    #[tokio::test]
    async fn what_is_no_program_is_refused_by_name() {
        let error = libraries(Utf8Path::new("/nowhere/program"))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("/nowhere/program"), "{error}");
    }

    #[tokio::test]
    async fn a_script_has_no_libraries() {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(directory.path())
            .unwrap()
            .join("script");
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(libraries(&path).await.unwrap(), Vec::<Utf8PathBuf>::new());
    }
}
