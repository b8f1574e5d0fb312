//! Names of directories and archives, and the rules a rendered path has to obey.
//!
//! Source: nfs-subdir #83 #139 #149 #250; csi-driver-nfs #673; CVE-2025-62878, CVE-2026-3864,
//! CVE-2026-3865; RFC 1813 (`MNTPATHLEN`, `name_max`).

use sha2::{Digest, Sha256};

use super::pattern::Rendered;
use super::{COMPONENT_MAX, Component, ComponentError, RelativePath};
use crate::config::{ExportPath, MOUNT_PATH_MAX};
use crate::constants::{ARCHIVED_PREFIX, STATE_DIRECTORY};

/// Names at the export root that servers and this provisioner use themselves.
const RESERVED_AT_ROOT: [&str; 4] = [STATE_DIRECTORY, "lost+found", ".snapshot", ".zfs"];
/// What an NFS client calls a file that was removed while open; refused as a prefix anywhere.
const SILLY_RENAME_PREFIX: &str = ".nfs";

/// Why a path cannot hold a volume.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// One component breaks a rule.
    #[error(
        "component {position} of the path {path:?} {error}{}",
        absent_text(absent)
    )]
    Component {
        /// The whole path as rendered.
        path: String,
        /// Counted from 1.
        position: usize,
        /// The rule.
        error: ComponentError,
        /// Labels and annotations that were absent on the claim.
        absent: Vec<String>,
    },
    /// A name that servers or this provisioner use themselves.
    #[error("the path {path:?} holds the reserved name `{name}`")]
    Reserved {
        /// The whole path.
        path: String,
        /// The name.
        name: String,
    },
    /// Export path and directory together do not fit a mount request.
    #[error(
        "the path {path:?} makes {length} bytes with the export's, more than the 1024 that can be mounted"
    )]
    TooLong {
        /// The whole path below the export.
        path: String,
        /// Bytes of both.
        length: usize,
    },
}

fn absent_text(absent: &[String]) -> String {
    if absent.is_empty() {
        String::new()
    } else {
        format!("; the claim has no {}", absent.join(", no "))
    }
}

/// The directory of a claim without a pattern: `<namespace>-<claim>-<volume>`, the claim's part cut
/// where all three do not fit one component.
///
/// # Errors
/// The rule it breaks. The API gives DNS names only, with which none does.
pub fn default_directory(
    namespace: &str,
    claim: &str,
    volume: &str,
    export: &ExportPath,
) -> Result<RelativePath, PathError> {
    let name = fit(&format!("{namespace}-"), claim, &format!("-{volume}"));
    let name = Component::new(name.as_str()).map_err(|error| PathError::Component {
        path: name,
        position: 1,
        error,
        absent: Vec::new(),
    })?;
    let path = RelativePath::root().join(name);
    check(&path, export).map(|()| path)
}

/// Checks a rendered pattern; `None` for a wholly empty one, which means the default name.
///
/// # Errors
/// The first rule it breaks.
pub fn checked(
    rendered: &Rendered,
    export: &ExportPath,
) -> Result<Option<RelativePath>, PathError> {
    if rendered.text.is_empty() {
        return Ok(None);
    }
    let path = RelativePath::parse(&rendered.text).map_err(|(at, error)| PathError::Component {
        path: rendered.text.clone(),
        position: at + 1,
        error,
        absent: rendered.absent.clone(),
    })?;
    check(&path, export).map(|()| Some(path))
}

/// Checks a path of well-formed components against the rules that hold for volumes.
///
/// # Errors
/// [`PathError::Reserved`] and [`PathError::TooLong`].
pub fn check(path: &RelativePath, export: &ExportPath) -> Result<(), PathError> {
    if let Some(component) = reserved(path) {
        return Err(PathError::Reserved {
            path: path.to_string(),
            name: component.to_string(),
        });
    }
    let length = export.join(path).len();
    if length > MOUNT_PATH_MAX {
        return Err(PathError::TooLong {
            path: path.to_string(),
            length,
        });
    }
    Ok(())
}

/// The component of a path that servers or this provisioner use themselves.
pub(crate) fn reserved(path: &RelativePath) -> Option<&Component> {
    let found = path
        .components()
        .iter()
        .enumerate()
        .find(|(at, component)| {
            let name = component.as_str();
            // A server that folds case would give the very same directory.
            (*at == 0
                && RESERVED_AT_ROOT
                    .iter()
                    .any(|reserved| reserved.eq_ignore_ascii_case(name)))
                || name
                    .get(..SILLY_RENAME_PREFIX.len())
                    .is_some_and(|head| head.eq_ignore_ascii_case(SILLY_RENAME_PREFIX))
        });
    found.map(|(_, component)| component)
}

/// The name an archive gets at attempt `attempt`: `<parent>/archived-<base>`, then with
/// `-<volume>`, then with a number after it. The root has none.
pub fn archive_name(path: &RelativePath, volume: &str, attempt: u32) -> Option<RelativePath> {
    let base = path.leaf()?.as_str();
    let own_suffix = format!("-{volume}");
    let (middle, mut suffix) = match base.strip_suffix(&own_suffix) {
        Some(middle) => (middle, own_suffix.clone()),
        None => (base, String::new()),
    };
    match attempt {
        0 => {}
        1 => suffix.push_str(&own_suffix),
        more => {
            suffix.push_str(&own_suffix);
            suffix = format!("{suffix}-{more}");
        }
    }
    let name = Component::new(fit(ARCHIVED_PREFIX, middle, &suffix)).ok()?;
    Some(path.parent()?.join(name))
}

/// `prefix`, `middle` and `suffix` in one component: where they do not fit, the middle is cut at a
/// character boundary and ends in a hash of the whole, so that the result stays the same for the
/// same input and different for a different one. A suffix that leaves no room is cut too.
fn fit(prefix: &str, middle: &str, suffix: &str) -> String {
    let whole = format!("{prefix}{middle}{suffix}");
    if whole.len() <= COMPONENT_MAX {
        return whole;
    }
    let hash = Sha256::digest(whole.as_bytes());
    let hash = format!(
        "{:02x}{:02x}{:02x}{:02x}",
        hash[0], hash[1], hash[2], hash[3]
    );
    let taken = prefix.len() + hash.len() + 1;
    let suffix = &suffix[..suffix.floor_char_boundary(COMPONENT_MAX.saturating_sub(taken))];
    let room = COMPONENT_MAX.saturating_sub(taken + suffix.len());
    let cut = middle.floor_char_boundary(room);
    format!("{prefix}{}-{hash}{suffix}", &middle[..cut])
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn export() -> ExportPath {
        ExportPath::new("/export").unwrap()
    }

    fn rendered(text: &str) -> Rendered {
        Rendered {
            text: text.to_owned(),
            absent: Vec::new(),
        }
    }

    fn usual(namespace: &str, claim: &str, volume: &str) -> RelativePath {
        default_directory(namespace, claim, volume, &export()).unwrap()
    }

    #[rstest]
    #[case("..", "claim")]
    #[case("../..", "claim")]
    #[case("ns", "a/b")]
    #[case("", "\u{0}")]
    #[case(".nfs", "x")]
    #[case(".claimcheck/x", "y")]
    fn names_the_api_never_gives_are_no_way_out_either(
        #[case] namespace: &str,
        #[case] claim: &str,
    ) {
        let path = default_directory(namespace, claim, "pvc-1", &export());
        assert!(
            path.as_ref()
                .map_or(true, |path| path.components().len() == 1),
            "{path:?}"
        );
    }

    #[test]
    fn an_archive_has_a_name_however_long_the_volumes_is() {
        let path = RelativePath::parse(&"d".repeat(COMPONENT_MAX)).unwrap();
        let volume = "v".repeat(253);
        let names: Vec<String> = (0..4)
            .map(|attempt| archive_name(&path, &volume, attempt).unwrap().to_string())
            .collect();
        for (at, name) in names.iter().enumerate() {
            assert!(name.starts_with("archived-") && name.len() == COMPONENT_MAX);
            assert!(!names[..at].contains(name));
        }
    }

    #[test]
    fn the_default_name_is_that_of_nfs_subdir() {
        let path = usual("default", "nfs-pv1", "pvc-0b7e");
        assert_eq!(path.to_string(), "default-nfs-pv1-pvc-0b7e");
    }

    #[test]
    fn a_name_too_long_is_cut_in_the_claims_part_and_stays_unique() {
        let volume = "pvc-00000000-0000-0000-0000-000000000000";
        let namespace = "n".repeat(63);
        let one = usual(&namespace, &format!("{}a", "c".repeat(252)), volume);
        let two = usual(&namespace, &format!("{}b", "c".repeat(252)), volume);
        assert_ne!(one, two);
        for path in [&one, &two] {
            let name = path.leaf().unwrap().as_str();
            assert_eq!(name.len(), COMPONENT_MAX);
            assert!(name.starts_with(&format!("{namespace}-ccc")));
            assert!(name.ends_with(&format!("-{volume}")));
        }
        assert_eq!(
            one,
            usual(&namespace, &format!("{}a", "c".repeat(252)), volume)
        );
        let archive = archive_name(&one, volume, 0).unwrap();
        let name = archive.leaf().unwrap().as_str();
        assert_eq!(name.len(), COMPONENT_MAX);
        assert!(name.starts_with("archived-nnn") && name.ends_with(volume));
    }

    #[test]
    fn a_cut_keeps_characters_whole() {
        let name = fit("a-", &"é".repeat(200), "-z");
        assert!(name.len() <= COMPONENT_MAX);
        assert!(name.starts_with("a-éé") && name.ends_with("-z"));
    }

    #[rstest]
    #[case("data", 0, "archived-data")]
    #[case("data", 1, "archived-data-pvc-1")]
    #[case("data", 2, "archived-data-pvc-1-2")]
    #[case("ns1/data", 0, "ns1/archived-data")]
    #[case("a/b/data", 1, "a/b/archived-data-pvc-1")]
    #[case("ns-claim-pvc-1", 0, "archived-ns-claim-pvc-1")]
    #[case("ns-claim-pvc-1", 1, "archived-ns-claim-pvc-1-pvc-1")]
    fn archives_keep_their_parent_and_get_the_volumes_name_when_taken(
        #[case] path: &str,
        #[case] attempt: u32,
        #[case] expected: &str,
    ) {
        let path = RelativePath::parse(path).unwrap();
        assert_eq!(
            archive_name(&path, "pvc-1", attempt).unwrap().to_string(),
            expected
        );
    }

    #[test]
    fn the_root_has_no_archive_name() {
        assert_eq!(archive_name(&RelativePath::root(), "pvc-1", 0), None);
    }

    #[rstest]
    #[case("a")]
    #[case("a/b/c")]
    #[case("-dash")]
    #[case("with space/inside it")]
    #[case("ünï/日本")]
    #[case("a/lost+found")]
    #[case("a/.claimcheck")]
    #[case("archived-x")]
    #[case(".hidden")]
    #[case("'quoted'")]
    fn good_paths_are_taken_as_they_are(#[case] text: &str) {
        assert_eq!(
            checked(&rendered(text), &export())
                .unwrap()
                .unwrap()
                .to_string(),
            text
        );
    }

    #[rstest]
    #[case("/a")]
    #[case("a/")]
    #[case("a//b")]
    #[case("/")]
    #[case("//")]
    #[case(".")]
    #[case("..")]
    #[case("../x")]
    #[case("a/../b")]
    #[case("a/./b")]
    #[case("a/..")]
    #[case("a\0b")]
    #[case("a\nb")]
    #[case("a\u{7f}")]
    #[case("a\u{85}b")]
    #[case("a\\b")]
    #[case(" a")]
    #[case("a ")]
    #[case("a/ /b")]
    #[case("a\u{a0}")]
    #[case(".claimcheck")]
    #[case(".Claimcheck/x")]
    #[case("lost+found")]
    #[case(".snapshot/x")]
    #[case(".zfs")]
    #[case("a/.nfs0001")]
    #[case(".NFSx")]
    fn bad_paths_are_refused(#[case] text: &str) {
        assert!(checked(&rendered(text), &export()).is_err(), "{text:?}");
    }

    #[test]
    fn every_mixture_of_bad_segments_is_refused() {
        // A table of all paths of up to three segments with at least one that is not allowed.
        let good = ["a", "b-1", "...", ".a"];
        let bad = ["", ".", "..", " ", "a\\", "\t", ".nfs1"];
        for one in bad {
            for left in good.iter().chain(&bad) {
                for right in good.iter().chain(&bad) {
                    for text in [
                        format!("{left}/{one}/{right}"),
                        format!("{one}/{left}"),
                        format!("{right}/{one}"),
                    ] {
                        assert!(checked(&rendered(&text), &export()).is_err(), "{text:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_wholly_empty_result_means_the_default_name() {
        assert_eq!(checked(&rendered(""), &export()), Ok(None));
    }

    #[test]
    fn an_empty_segment_names_the_missing_key() {
        let rendered = Rendered {
            text: "ns/".to_owned(),
            absent: vec!["annotation nfs.io/path".to_owned()],
        };
        let error = checked(&rendered, &export()).unwrap_err().to_string();
        assert_eq!(
            error,
            "component 2 of the path \"ns/\" is empty; the claim has no annotation nfs.io/path"
        );
    }

    #[test]
    fn the_longest_path_that_can_be_mounted() {
        let fits = vec!["x".repeat(253); 4].join("/");
        assert_eq!("/export/".len() + fits.len(), 1023);
        assert!(checked(&rendered(&fits), &export()).is_ok());
        let too_long = format!("{fits}/x");
        assert!(matches!(
            checked(&rendered(&too_long), &export()),
            Err(PathError::TooLong { length: 1025, .. })
        ));
        assert!(checked(&rendered(&"x".repeat(256)), &export()).is_err());
    }
}
