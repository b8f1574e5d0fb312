//! Where Debian's packages come from, and whether a Debian image can be made here.

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;

use super::error::ImageError;

/// Suites by which a machine's package source is known to be Debian's. A mirror that has one of them
/// has the others too.
const SUITES: [&str; 7] = [
    "bookworm",
    "trixie",
    "forky",
    "sid",
    "stable",
    "testing",
    "oldstable",
];

/// The mirror that this machine's own packages come from, if it runs Debian. Without one, debootstrap
/// and the images that were pulled know Debian's own.
pub(crate) fn mirror_here() -> Option<String> {
    let directory = Utf8Path::new("/etc/apt");
    let mut paths: Vec<Utf8PathBuf> = directory
        .join("sources.list.d")
        .read_dir_utf8()
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.into_path()))
        .collect();
    paths.push(directory.join("sources.list"));
    paths.sort();
    paths
        .iter()
        .filter_map(|path| Some((path, fs::read_to_string(path).ok()?)))
        .find_map(|(path, text)| match path.extension() {
            Some("list") => in_lines(&text),
            Some("sources") => in_stanzas(&text),
            _ => None,
        })
}

/// The first Debian mirror in the one-line format of sources.list(5).
fn in_lines(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let line = line.split('#').next()?.trim();
        let rest = line.strip_prefix("deb ")?.trim_start();
        // Options stand in brackets and may hold spaces.
        let rest = match rest.strip_prefix('[') {
            Some(options) => options.split_once(']')?.1,
            None => rest,
        };
        let mut words = rest.split_whitespace();
        let (address, suite) = (words.next()?, words.next()?);
        let fits = SUITES.contains(&suite) && words.any(|component| component == "main");
        (fits && is_mirror(address)).then(|| address.trim_end_matches('/').to_owned())
    })
}

/// The first Debian mirror in the deb822 format of sources.list(5).
fn in_stanzas(text: &str) -> Option<String> {
    let text: String = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| [line.trim_end(), "\n"])
        .collect();
    text.split("\n\n").find_map(|stanza| {
        let words = |field: &str| {
            stanza
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case(field))
                .map(|(_, value)| value.split_whitespace().collect::<Vec<_>>())
                .unwrap_or_default()
        };
        let fits = words("Types").contains(&"deb")
            && words("Components").contains(&"main")
            && words("Suites").iter().any(|suite| SUITES.contains(suite))
            && words("Enabled") != ["no"];
        let address = words("URIs")
            .into_iter()
            .find(|address| is_mirror(address))?;
        fits.then(|| address.trim_end_matches('/').to_owned())
    })
}

/// Whether debootstrap and a container can use an address. Others publish packages for Debian's
/// suites too; a mirror of Debian itself has `debian` in its path.
fn is_mirror(address: &str) -> bool {
    let path = address
        .strip_prefix("http://")
        .or_else(|| address.strip_prefix("https://"))
        .and_then(|rest| rest.split_once('/'))
        .map(|(_, path)| path);
    path.is_some_and(|path| path.split('/').any(|part| part == "debian"))
}

/// Whether a line of debootstrap, of the wget that it calls or of apt says that a mirror, or something
/// on it, is not reached.
pub(crate) fn says_unreached(line: &str) -> bool {
    const SIGNS: [&str; 9] = [
        // debootstrap
        "failed getting release file",
        "couldn't download",
        // wget
        "unable to resolve host address",
        "failed: connection ",
        "failed: network is unreachable",
        // apt
        "could not resolve '",
        "temporary failure resolving",
        "could not connect to",
        "failed to fetch",
    ];
    let line = line.to_lowercase();
    SIGNS.iter().any(|sign| line.contains(sign))
}

/// A mirror, as a message names it; the empty one is that which debootstrap and Debian's images know.
pub(crate) fn described(mirror: &str) -> String {
    if mirror.is_empty() {
        "Debian's own mirror, since this machine's package sources name no other".to_owned()
    } else {
        format!("the Debian mirror {mirror}")
    }
}

/// Says what is missing for making a Debian image here; `pull` is why none was pulled.
///
/// # Errors
/// [`ImageError::Base`] with what to install.
pub(crate) fn can_bootstrap(pull: &str) -> Result<(), ImageError> {
    let lacking = |problem: &str| {
        Err(ImageError::Base {
            pull: pull.to_owned(),
            problem: problem.to_owned(),
        })
    };
    if !nix::unistd::geteuid().is_root() {
        return lacking(
            "debootstrap needs root; run this once as root, or where images can be pulled",
        );
    }
    if !is_command("debootstrap") || !is_command("unshare") {
        return lacking(
            "debootstrap is not there: apt-get install debootstrap debian-archive-keyring util-linux",
        );
    }
    if !Utf8Path::new("/usr/share/keyrings/debian-archive-keyring.gpg").exists() {
        return lacking("Debian's keys are not there: apt-get install debian-archive-keyring");
    }
    Ok(())
}

fn is_command(name: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::plain(
        "deb http://m.example/debian bookworm main",
        Some("http://m.example/debian")
    )]
    #[case::options_and_slash(
        "# x\ndeb [arch=amd64 signed-by=/k.gpg] https://m.example/debian/ trixie main contrib # y",
        Some("https://m.example/debian")
    )]
    #[case::not_only_debian(
        "deb https://download.example/linux/debian bookworm stable\ndeb https://apt.example bookworm main\n\
         deb http://s.example/archive/debian/20250101T000000Z bookworm main",
        Some("http://s.example/archive/debian/20250101T000000Z")
    )]
    #[case::ubuntu("deb http://archive.example/ubuntu noble main universe", None)]
    #[case::security_only("deb http://m.example/debian-security bookworm-security main", None)]
    #[case::sources_only("deb-src http://m.example/debian bookworm main", None)]
    #[case::no_network(
        "deb cdrom:[Debian]/ bookworm main\n#deb http://m.example/debian bookworm main",
        None
    )]
    fn mirrors_are_read_from_lines(#[case] text: &str, #[case] mirror: Option<&str>) {
        assert_eq!(in_lines(text).as_deref(), mirror);
    }

    #[rstest]
    #[case::two_stanzas(
        "Types: deb\nURIs: http://m.example/debian-security\nSuites: bookworm-security\nComponents: main\n\
         \nTypes: deb deb-src\n# a comment\nURIs: http://m.example/debian/\nSuites: bookworm bookworm-updates\n\
         Components: main\nSigned-By: /k.gpg\n",
        Some("http://m.example/debian")
    )]
    #[case::switched_off(
        "Enabled: no\nTypes: deb\nURIs: http://m.example/debian\nSuites: bookworm\nComponents: main\n",
        None
    )]
    #[case::ubuntu(
        "Types: deb\nURIs: http://archive.example/ubuntu/\nSuites: noble\nComponents: main\n",
        None
    )]
    fn mirrors_are_read_from_stanzas(#[case] text: &str, #[case] mirror: Option<&str>) {
        assert_eq!(in_stanzas(text).as_deref(), mirror);
    }

    #[rstest]
    #[case::debootstrap(
        "E: Failed getting release file http://m.example/debian/dists/bookworm/Release",
        true
    )]
    #[case::debootstrap_package("E: Couldn't download packages: base-files", true)]
    #[case::no_name("wget: unable to resolve host address 'm.example'", true)]
    #[case::closed("Connecting to 127.0.0.1:1... failed: Connection refused.", true)]
    #[case::apt("Err:1 http://m.example/debian bookworm InRelease", false)]
    #[case::apt_no_name("  Could not resolve 'm.example'", true)]
    #[case::apt_closed(
        "  Could not connect to 127.0.0.1:1 (127.0.0.1). - connect (111: Connection refused)",
        true
    )]
    #[case::apt_missing(
        "E: Failed to fetch http://m.example/debian/x.deb  404  Not Found",
        true
    )]
    #[case::a_package_that_breaks("dpkg: error processing package x (--configure):", false)]
    #[case::full("tar: ./bin: Cannot write: No space left on device", false)]
    fn a_mirror_that_is_not_reached_is_told_from_other_failures(
        #[case] line: &str,
        #[case] unreached: bool,
    ) {
        assert_eq!(says_unreached(line), unreached);
    }

    #[test]
    fn what_this_machine_gives_is_a_mirror() {
        let found = mirror_here();
        assert!(found.iter().all(|mirror| is_mirror(mirror)), "{found:?}");
    }
}
