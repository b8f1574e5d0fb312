//! The command line of a mount helper (mount(8), "EXTERNAL HELPERS").

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::error::MountError;
use crate::options::Options;
use crate::source::Source;

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Arguments {
    /// What is mounted.
    pub(crate) source: Source,
    /// Where, as it was given.
    pub(crate) target: PathBuf,
    /// How.
    pub(crate) options: Options,
    /// `-f`: everything but the mount itself.
    pub(crate) fake: bool,
    /// `-v`: the log goes to stderr.
    pub(crate) verbose: bool,
}

/// The command line before its options are judged.
#[derive(Debug, Default)]
struct Raw {
    positional: Vec<OsString>,
    options: Vec<String>,
    kind: Option<String>,
    sloppy: bool,
    fake: bool,
    verbose: bool,
}

impl Arguments {
    /// Parses what follows the program's name.
    pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Self, MountError> {
        let raw = Raw::parse(arguments)?;
        if let Some(kind) = raw.kind.as_deref()
            && kind != "nfs"
        {
            return Err(MountError::Value {
                name: "-t".to_owned(),
                value: kind.to_owned(),
                allowed: "only `nfs` is spoken here, as NFSv3; use it, or mount on a node whose \
                          kernel has NFS"
                    .to_owned(),
            });
        }
        let options = Options::parse(raw.options.iter().map(String::as_str), raw.sloppy)?;
        let mut positional = raw.positional.into_iter();
        let (Some(source), Some(target), None) =
            (positional.next(), positional.next(), positional.next())
        else {
            return Err(MountError::Usage(
                "give one source and one directory".to_owned(),
            ));
        };
        Ok(Self {
            source: Source::parse(&source)?,
            target: PathBuf::from(target),
            options,
            fake: raw.fake,
            verbose: raw.verbose,
        })
    }
}

impl Raw {
    fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Self, MountError> {
        let mut raw = Self::default();
        let mut only_positional = false;
        while let Some(argument) = arguments.next() {
            let flags = match argument.to_str() {
                _ if only_positional => None,
                Some("--") => {
                    only_positional = true;
                    continue;
                }
                Some(text) if text.len() > 1 => text.strip_prefix('-'),
                _ => None,
            };
            let Some(flags) = flags.map(str::to_owned) else {
                raw.positional.push(argument);
                continue;
            };
            raw.flags(&flags, &mut arguments)?;
        }
        Ok(raw)
    }

    /// A cluster of short flags; a value may follow in the same argument or the next.
    fn flags(
        &mut self,
        flags: &str,
        arguments: &mut impl Iterator<Item = OsString>,
    ) -> Result<(), MountError> {
        for (at, flag) in flags.char_indices() {
            match flag {
                's' => self.sloppy = true,
                'f' => self.fake = true,
                'v' => self.verbose = true,
                // The table of mounts is the kernel's own nowadays.
                'n' => {}
                'r' => self.options.push("ro".to_owned()),
                'w' => self.options.push("rw".to_owned()),
                'o' | 't' | 'N' => {
                    let rest = &flags[at + 1..];
                    let value = if rest.is_empty() {
                        arguments
                            .next()
                            .as_deref()
                            .and_then(OsStr::to_str)
                            .map(str::to_owned)
                    } else {
                        Some(rest.to_owned())
                    };
                    let value = value.ok_or_else(|| {
                        MountError::Usage(format!("flag -{flag} needs a value in UTF-8"))
                    })?;
                    match flag {
                        'o' => self.options.push(value),
                        't' => self.kind = Some(value),
                        // mount(8) enters the namespace before it calls a helper.
                        _ => {}
                    }
                    return Ok(());
                }
                other => return Err(MountError::Usage(format!("flag -{other} is not known"))),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use nix::mount::MsFlags;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, MountError> {
        Arguments::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn a_kubelets_call_is_understood() {
        let arguments =
            parse("10.0.0.1:/export /var/lib/kubelet/pods/u/v -n -o hard,nolock,ro").expect("fine");
        assert_eq!(arguments.source.host, "10.0.0.1");
        assert_eq!(arguments.target, PathBuf::from("/var/lib/kubelet/pods/u/v"));
        assert_eq!(arguments.options.flags, MsFlags::MS_RDONLY);
        assert!(!arguments.options.is_soft());
    }

    #[test]
    fn flags_cluster_and_later_options_win() {
        let arguments = parse("-sfv -o ro,frobnicate -orw h:/e /mnt -t nfs").expect("fine");
        assert!(arguments.fake && arguments.verbose && arguments.options.flags.is_empty());
    }

    #[test]
    fn other_types_wrong_flags_and_missing_places_are_refused() {
        for (line, wanted) in [
            ("h:/e /mnt -t nfs4", "nfs4"),
            ("h:/e /mnt -x", "-x"),
            ("h:/e", "one directory"),
            ("h:/e /mnt /more", "one directory"),
            ("h:/e /mnt -o", "-o"),
        ] {
            let error = parse(line).expect_err(line);
            assert_eq!(error.exit_code(), 1, "{line}");
            assert!(error.to_string().contains(wanted), "{line}: {error}");
        }
    }
}
