//! Running a shell script in a node.

use std::process::Stdio;

use crate::docker::{self, DockerError};

/// Runs `script` in the container with `sh -eu` and gives what it wrote.
///
/// # Errors
/// The script fails, or Docker does.
pub(super) async fn run(container: &str, script: &str) -> Result<String, DockerError> {
    let args = ["exec", "--interactive", container, "sh", "-eu", "-s"];
    docker::run_with_input(&args, script.as_bytes()).await
}

/// The part of a script that writes a file with the given mode, by a name of its own first, so that
/// whoever watches its directory never sees half of it.
///
/// The text must not hold a line `END_OF_FILE`.
pub(super) fn write_file(path: &str, mode: &str, text: &str) -> String {
    let directory = path
        .rsplit_once('/')
        .map_or("/", |(directory, _)| directory);
    let text = text.trim_end_matches('\n');
    format!(
        "mkdir -p {directory}\ncat > {path}.new <<'END_OF_FILE'\n{text}\nEND_OF_FILE\n\
         chmod {mode} {path}.new\nmv {path}.new {path}\n"
    )
}

/// A command whose streams the caller joins: `docker exec -i CONTAINER ARGS`, reading its input.
pub(super) fn fed(container: &str, args: &[&str]) -> tokio::process::Command {
    let call: Vec<&str> = ["exec", "--interactive", container]
        .iter()
        .chain(args)
        .copied()
        .collect();
    let mut command = docker::command(&call);
    command.stdin(Stdio::piped());
    command
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_written_file_has_the_text_and_the_mode_whatever_the_text_is() {
        use std::os::unix::fs::PermissionsExt as _;

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b");
        let text = "exec \"$@\" `date` ' \\\n\nlast\n";
        let script = write_file(path.to_str().unwrap(), "0755", text);
        let status = Command::new("sh").args(["-euc", &script]).status().unwrap();
        assert!(status.success());
        assert_eq!(fs_err::read_to_string(&path).unwrap(), text);
        assert_eq!(
            fs_err::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o755
        );
    }
}
