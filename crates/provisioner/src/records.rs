//! What the provisioner remembers about one volume, durably and on the share itself, so that no
//! crash, lost object or second deployment makes it guess.
//!
//! A record is one JSON file, `.claimcheck/<owner>/records/<volume>`. It is outside every volume:
//! a marker inside could be forged by whoever mounts it.

use serde::{Deserialize, Serialize};

use crate::backend::Identity;
use crate::class::{OnDelete, SharedDirectory};
use crate::path::{Component, RelativePath, naming};

/// The format this program writes; a higher one was written by a newer program and is left alone.
pub const FORMAT: u32 = 1;

/// The claim a volume was made for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimId {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID: the same name later is another claim.
    pub uid: String,
}

/// Where a directory came from; only what was created here is ever removed or renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Made by this provisioner.
    Created,
    /// It existed and no record knew it.
    Reused,
    /// Taken over from another provisioner.
    Adopted,
}

impl Origin {
    /// The word in annotations and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Reused => "reused",
            Self::Adopted => "adopted",
        }
    }
}

/// How far a volume has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its directory is about to be made.
    Intent,
    /// Its directory is there.
    Ready,
    /// Its volume object is stored.
    Saved,
    /// Its directory is being removed.
    Deleting,
    /// Its directory is being renamed to [`Record::archive`].
    Archiving,
    /// Its volume is gone and its directory stays.
    Kept,
}

/// What a directory is known by, in a form that outlives a remount: the kernel's NFS client gives
/// the export's own file system another number at every mount, so that number counts only for
/// directories on another file system than the export's root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryIdentity {
    /// File system, as seen when the record was written.
    pub fsid: u64,
    /// The directory in it.
    pub fileid: u64,
    /// Whether the file system is that of the export's root.
    pub on_root: bool,
}

impl DirectoryIdentity {
    /// `seen`, on an export whose root lies on the file system `root`.
    pub const fn new(seen: Identity, root: u64) -> Self {
        Self {
            fsid: seen.fsid,
            fileid: seen.fileid,
            on_root: seen.fsid == root,
        }
    }

    /// Whether both name the same directory.
    pub const fn matches(&self, other: &Self) -> bool {
        self.fileid == other.fileid
            && ((self.on_root && other.on_root)
                || (!self.on_root && !other.on_root && self.fsid == other.fsid))
    }
}

/// On what terms a volume has its directory, beyond what happens to it in the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Which other claims may have it at the same time.
    #[serde(default)]
    pub sharing: SharedDirectory,
    /// The volume is on its way out or gone, and others had the directory then: it counts no more,
    /// but what it wanted to happen in the end ([`Record::on_delete`]) still binds the last one.
    #[serde(default)]
    pub left: bool,
    /// The most that any volume that shared the directory wanted done to protect it, noted by the
    /// last one before it acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<OnDelete>,
    /// Whether [`Record::parents`] go when nothing is left in them.
    #[serde(default)]
    pub remove_parents: bool,
}

impl Terms {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde calls it with a reference"
    )]
    fn are_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`FORMAT`].
    pub format: u32,
    /// The volume's name.
    pub volume: String,
    /// The claim it was made for.
    pub claim: ClaimId,
    /// Its directory below the export's root.
    pub directory: RelativePath,
    /// Parents made by this provisioner, for this volume or, where they go when empty, for one
    /// before it; outermost first.
    pub parents: Vec<RelativePath>,
    /// What the directory is known by; `None` in the state `intent`: it did not exist.
    pub identity: Option<DirectoryIdentity>,
    /// Where it came from.
    pub origin: Origin,
    /// What happens to it when the volume is deleted.
    pub on_delete: OnDelete,
    /// How far it has come.
    pub state: State,
    /// Where it is renamed to, chosen before the rename.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<RelativePath>,
    /// The reclaim policy last seen on the volume (`Delete` or `Retain`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reclaim_policy: Option<String>,
    /// The kept record whose directory this volume uses again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// The class that has still to say what happens to the directory: it was gone when the volume
    /// was taken over. Until it is back, or an administrator says it, nothing happens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaits_class: Option<String>,
    /// On what terms it has the directory.
    #[serde(default, skip_serializing_if = "Terms::are_usual")]
    pub terms: Terms,
    /// How often the lock had changed hands when the record was written.
    pub transitions: i32,
}

/// A record that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It does not parse.
    #[error("read the record {name}: {cause}")]
    Malformed {
        /// Its file name.
        name: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A newer program wrote it.
    #[error("read the record {name}: it has format {format}, this program knows up to {FORMAT}")]
    Newer {
        /// Its file name.
        name: String,
        /// Its format.
        format: u32,
    },
}

impl Record {
    /// The file's content.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings, numbers and lists of them: serialising cannot fail.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Reads a file's content.
    ///
    /// # Errors
    /// [`RecordError`] when it does not parse, is newer, is about another volume than `name`, or
    /// names a place on the export that no volume can have: whoever wrote that was not us.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let malformed = |cause: String| RecordError::Malformed {
            name: name.to_owned(),
            cause,
        };
        let Format { format } =
            serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        if format > FORMAT {
            return Err(RecordError::Newer {
                name: name.to_owned(),
                format,
            });
        }
        let record: Self =
            serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        if record.volume != name {
            return Err(malformed(format!("it is about volume {}", record.volume)));
        }
        record.check_places().map_err(malformed)?;
        Ok(record)
    }

    /// What is wrong with the places on the export that it names.
    fn check_places(&self) -> Result<(), String> {
        if self.directory.is_root() {
            return Err("its directory is the export's root".to_owned());
        }
        for path in [Some(&self.directory), self.archive.as_ref()]
            .into_iter()
            .flatten()
        {
            if let Some(name) = naming::reserved(path) {
                return Err(format!("its path {path} holds the reserved name {name}"));
            }
        }
        if let Some(archive) = &self.archive
            && (archive.parent() != self.directory.parent() || *archive == self.directory)
        {
            return Err(format!(
                "its archive {archive} does not lie beside its directory {}",
                self.directory
            ));
        }
        let is_above = |path: &&RelativePath| path.contains(&self.directory);
        if let Some(parent) = self
            .parents
            .iter()
            .find(|parent| parent.is_root() || **parent == self.directory || !is_above(parent))
        {
            return Err(format!(
                "its parent {parent} does not lie above its directory {}",
                self.directory
            ));
        }
        match &self.replaces {
            Some(name) if Component::new(name.as_str()).is_err() => Err(format!(
                "it replaces {name:?}, which no record can be named"
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
pub(crate) fn example() -> Record {
    Record {
        format: FORMAT,
        volume: "pvc-1".to_owned(),
        claim: ClaimId {
            namespace: "ns".to_owned(),
            name: "claim".to_owned(),
            uid: "1".to_owned(),
        },
        directory: RelativePath::parse("a/b").unwrap(),
        parents: vec![RelativePath::parse("a").unwrap()],
        identity: Some(DirectoryIdentity {
            fsid: 7,
            fileid: u64::MAX,
            on_root: true,
        }),
        origin: Origin::Created,
        on_delete: OnDelete::Archive,
        state: State::Saved,
        archive: None,
        reclaim_policy: Some("Delete".to_owned()),
        replaces: None,
        awaits_class: None,
        terms: Terms::default(),
        transitions: 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_a_round_trip() {
        let full = Record {
            archive: Some(RelativePath::parse("a/archived-b").unwrap()),
            replaces: Some("pvc-0".to_owned()),
            state: State::Archiving,
            terms: Terms {
                sharing: SharedDirectory::Namespace,
                left: true,
                floor: Some(OnDelete::Retain),
                remove_parents: true,
            },
            ..example()
        };
        for record in [
            example(),
            full,
            Record {
                identity: None,
                state: State::Intent,
                ..example()
            },
        ] {
            assert_eq!(
                Record::from_bytes("pvc-1", &record.to_bytes()).unwrap(),
                record
            );
        }
    }

    #[test]
    fn a_record_of_another_name_or_a_newer_format_or_a_bad_path_is_not_used() {
        let text = String::from_utf8(example().to_bytes()).unwrap();
        assert!(Record::from_bytes("pvc-2", text.as_bytes()).is_err());
        let newer = text.replace("\"format\": 1", "\"format\": 2");
        assert!(matches!(
            Record::from_bytes("pvc-1", newer.as_bytes()),
            Err(RecordError::Newer { format: 2, .. })
        ));
        for bad in ["a/../b", "/a", ""] {
            let escaped = text.replace("\"a/b\"", &format!("\"{bad}\""));
            assert!(
                Record::from_bytes("pvc-1", escaped.as_bytes()).is_err(),
                "{bad}"
            );
        }
        assert!(Record::from_bytes("pvc-1", &text.as_bytes()[..40]).is_err());
    }

    #[test]
    fn a_record_without_terms_has_the_usual_ones() {
        let text = String::from_utf8(example().to_bytes()).unwrap();
        assert!(!text.contains("terms"), "{text}");
        let read = Record::from_bytes("pvc-1", text.as_bytes()).unwrap();
        assert_eq!(read.terms, Terms::default());
    }

    #[test]
    fn a_record_that_names_a_place_no_volume_can_have_is_not_used() {
        let path = |text: &str| RelativePath::parse(text).unwrap();
        let bad = [
            Record {
                directory: path(".claimcheck/owner"),
                parents: Vec::new(),
                ..example()
            },
            Record {
                archive: Some(path(".claimcheck")),
                ..example()
            },
            Record {
                archive: Some(path("elsewhere/archived-b")),
                ..example()
            },
            Record {
                archive: Some(path("a/b")),
                ..example()
            },
            Record {
                parents: vec![RelativePath::root()],
                ..example()
            },
            Record {
                parents: vec![path("a/b")],
                ..example()
            },
            Record {
                parents: vec![path("elsewhere")],
                ..example()
            },
            Record {
                replaces: Some("../../x".to_owned()),
                ..example()
            },
        ];
        for record in bad {
            let read = Record::from_bytes("pvc-1", &record.to_bytes());
            assert!(read.is_err(), "{record:?}");
        }
    }

    #[test]
    fn an_identity_survives_a_remount_but_not_another_directory() {
        let before = DirectoryIdentity::new(
            Identity {
                fsid: 50,
                fileid: 9,
            },
            50,
        );
        let remounted = DirectoryIdentity::new(
            Identity {
                fsid: 51,
                fileid: 9,
            },
            51,
        );
        assert!(before.matches(&remounted));
        assert!(!before.matches(&DirectoryIdentity::new(
            Identity {
                fsid: 50,
                fileid: 10
            },
            50
        )));
        let elsewhere = DirectoryIdentity::new(
            Identity {
                fsid: 60,
                fileid: 9,
            },
            50,
        );
        assert!(!before.matches(&elsewhere));
        assert!(elsewhere.matches(&elsewhere));
    }
}
