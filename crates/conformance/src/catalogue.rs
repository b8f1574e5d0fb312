//! The catalogue: every rule that Claimcheck judges, whether a case for it exists yet or not.
//!
//! Ids are permanent. A row says what is required and by whom; [`crate::cases`] makes it executable.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

mod binding;
mod default_class;
mod dns;
mod events;
mod first_consumer;
mod modes;
mod naming;
mod parameters;
mod reclaim;
mod resilience;
mod scale;
mod security;
pub mod sources;
mod statefulset;
mod walkthrough;

/// One rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// Permanent id: the group's letter and two digits.
    pub id: &'static str,
    /// Short name used in reports.
    pub name: &'static str,
    /// What is required, in one sentence.
    pub title: &'static str,
    /// Where the rule comes from, in the catalogue's abbreviations.
    pub source: &'static str,
    /// How binding it is.
    pub level: Level,
    /// The one profile it belongs to.
    pub profile: Profile,
    /// What the testbed must offer.
    pub mode: Mode,
    /// Which subjects it applies to.
    pub needs: &'static [Needs],
}

/// A topic of the catalogue.
#[derive(Debug, PartialEq, Eq)]
pub struct Group {
    /// First letter of its ids.
    pub letter: char,
    /// What it is about.
    pub title: &'static str,
    /// Its rules, by id.
    pub rows: &'static [Row],
}

/// How binding a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Required by the source.
    Must,
    /// Recommended by the source.
    Should,
    /// Derived by this project; judged like [`Level::Should`].
    Ours,
}

/// Names an enum's variants once, for parsing, printing and suggestions.
macro_rules! named {
    ($type:ident: $($variant:ident = $name:literal),+ $(,)?) => {
        impl $type {
            /// Every variant, in the catalogue's order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name as it is written in files, flags and reports.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(self.name())
            }
        }

        impl FromStr for $type {
            type Err = UnknownName;

            fn from_str(text: &str) -> Result<Self, UnknownName> {
                match text {
                    $($name => Ok(Self::$variant),)+
                    _ => Err(UnknownName { text: text.to_owned(), allowed: &[$($name),+] }),
                }
            }
        }
    };
}

/// A name that is none of a closed set.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown name `{text}`; allowed are {}", allowed.join(", "))]
pub struct UnknownName {
    /// What was given.
    pub text: String,
    /// What is allowed.
    pub allowed: &'static [&'static str],
}

named!(Level: Must = "MUST", Should = "SHOULD", Ours = "ours");

/// A named set of rules that a subject claims as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Profile {
    /// What every provisioner has to do.
    Core,
    /// API rules beyond core.
    Extended,
    /// Directory layout, path templates, archive and delete parameters.
    Subdir,
    /// Mounts and bytes.
    Node,
    /// Record rules beyond core.
    Dns,
    /// Several replicas or deployments.
    Ha,
    /// Recovery beyond core.
    Faults,
    /// Scale and cost.
    Perf,
    /// Permissions, tenancy, logs.
    Security,
    /// The teaching scenario, step by step.
    Walkthrough,
}

named!(Profile:
    Core = "core",
    Extended = "extended",
    Subdir = "subdir",
    Node = "node",
    Dns = "dns",
    Ha = "ha",
    Faults = "faults",
    Perf = "perf",
    Security = "security",
    Walkthrough = "walkthrough",
);

/// Something a subject may declare that it supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// Directory templates in the class.
    PathPattern,
    /// `archiveOnDelete`.
    Archive,
    /// `onDelete`.
    OnDelete,
    /// Mode and owner of the directory by parameter.
    DirMode,
    /// Several volumes on one directory.
    SharedPath,
    /// The class's mount options reach the volume.
    MountOptions,
    /// Claims with a selector.
    Selector,
    /// Block volumes.
    Block,
    /// Clones and restores.
    DataSource,
    /// Growing a claim.
    Expansion,
    /// Writers on several nodes.
    Rwx,
    /// Pods reach a volume's data by their `fsGroup`.
    FsGroup,
    /// Generic ephemeral volumes.
    Ephemeral,
    /// Enforced capacity.
    Quota,
    /// The volume deletion finalizer of KEP-2644.
    DeletionFinalizer,
    /// A metrics endpoint.
    Metrics,
    /// Health endpoints.
    Health,
    /// Several replicas with one leader.
    LeaderElection,
    /// IPv6 addresses.
    Ipv6,
}

named!(Feature:
    PathPattern = "pathPattern",
    Archive = "archive",
    OnDelete = "onDelete",
    DirMode = "dirMode",
    SharedPath = "sharedPath",
    MountOptions = "mountOptions",
    Selector = "selector",
    Block = "block",
    DataSource = "dataSource",
    Expansion = "expansion",
    Rwx = "rwx",
    FsGroup = "fsGroup",
    Ephemeral = "ephemeral",
    Quota = "quota",
    DeletionFinalizer = "deletionFinalizer",
    Metrics = "metrics",
    Health = "health",
    LeaderElection = "leaderElection",
    Ipv6 = "ipv6",
);

/// A condition on what the subject declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Applies only to subjects that declare the feature (`{x}` in the catalogue).
    Declared(Feature),
    /// Applies only to those that do not (`{!x}`).
    Undeclared(Feature),
}

impl Needs {
    /// Whether a subject that declares `features` meets it.
    pub fn met_by(self, features: &[Feature]) -> bool {
        match self {
            Self::Declared(feature) => features.contains(&feature),
            Self::Undeclared(feature) => !features.contains(&feature),
        }
    }
}

impl fmt::Display for Needs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Declared(feature) => write!(formatter, "{feature}"),
            Self::Undeclared(feature) => write!(formatter, "!{feature}"),
        }
    }
}

/// What a row needs of the testbed: `cp` control plane, `dn` DNS, `nd` real nodes, `fi` fault
/// injection; `a+b` needs both, `a/b` runs in either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(pub &'static str);

impl Mode {
    /// Whether a testbed that offers `modes` can run it.
    pub fn met_by(self, modes: &[String]) -> bool {
        self.0.split('/').any(|choice| {
            choice
                .split('+')
                .all(|needed| modes.iter().any(|mode| mode == needed))
        })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.0)
    }
}

/// Every group, in the catalogue's order; the walkthrough comes last.
pub const GROUPS: &[Group] = &[
    binding::GROUP,
    naming::GROUP,
    parameters::GROUP,
    reclaim::GROUP,
    default_class::GROUP,
    first_consumer::GROUP,
    modes::GROUP,
    events::GROUP,
    resilience::GROUP,
    security::GROUP,
    statefulset::GROUP,
    dns::GROUP,
    scale::GROUP,
    walkthrough::GROUP,
];

/// Every row, in the catalogue's order.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    GROUPS.iter().flat_map(|group| group.rows)
}

/// The row with this id, in any letter case.
pub fn row(id: &str) -> Option<&'static Row> {
    rows().find(|row| row.id.eq_ignore_ascii_case(id))
}

/// The group a row belongs to, by its first letter.
pub fn group_of(row: &Row) -> &'static Group {
    GROUPS
        .iter()
        .find(|group| row.id.starts_with(group.letter))
        .expect("every row stands in a group: a test proves it")
}

/// SHA-256 over every field of every row, in lower-case hexadecimal: two reports with one hash
/// were judged by one catalogue.
pub fn sha256() -> String {
    let mut hash = Sha256::new();
    for row in rows() {
        let needs: Vec<String> = row.needs.iter().map(ToString::to_string).collect();
        hash.update(format!(
            "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\n",
            row.id,
            row.name,
            row.title,
            row.source,
            row.level,
            row.profile,
            row.mode,
            needs.join(",")
        ));
    }
    hash.finalize()
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_unique_ordered_and_of_their_group() {
        let mut seen = BTreeSet::new();
        for group in GROUPS {
            for (at, row) in group.rows.iter().enumerate() {
                assert_eq!(row.id, format!("{}{:02}", group.letter, at + 1));
                assert!(seen.insert(row.id), "{} stands twice", row.id);
                assert_eq!(group_of(row).letter, group.letter);
            }
        }
    }

    #[test]
    fn the_catalogue_has_185_rows_and_15_steps_of_the_walkthrough() {
        let steps = rows()
            .filter(|row| row.profile == Profile::Walkthrough)
            .count();
        assert_eq!((rows().count() - steps, steps), (185, 15));
        assert_eq!(
            rows().filter(|row| row.profile == Profile::Core).count(),
            84
        );
    }

    #[test]
    fn a_mode_with_a_slash_needs_one_side_and_a_plus_needs_both() {
        let local = ["cp".to_owned(), "dn".to_owned()];
        assert!(Mode("cp").met_by(&local));
        assert!(Mode("cp/nd").met_by(&local));
        assert!(!Mode("cp+fi").met_by(&local));
        assert!(!Mode("nd").met_by(&local));
    }

    #[test]
    fn names_parse_back() {
        for feature in Feature::ALL {
            assert_eq!(feature.name().parse::<Feature>().as_ref(), Ok(feature));
        }
        for profile in Profile::ALL {
            assert_eq!(profile.name().parse::<Profile>().as_ref(), Ok(profile));
        }
        assert!("archve".parse::<Feature>().is_err());
    }
}
