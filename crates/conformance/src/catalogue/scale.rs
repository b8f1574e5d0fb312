//! Group Q: scale and performance.

use super::{Group, Level, Mode, Profile, Row};

/// Scale and performance.
pub(super) const GROUP: Group = Group {
    letter: 'Q',
    title: "Scale and performance",
    rows: ROWS,
};

const ROWS: &[Row] = &[
    Row {
        id: "Q01",
        name: "burst-provision",
        title: "100 claims at once: all Bound, no duplicates; p50, p90, p99, max from create to Bound",
        source: "e2e volumeperf; KK #83178; EP #68",
        level: Level::Should,
        profile: Profile::Perf,
        mode: Mode("cp"),
        needs: &[],
    },
    Row {
        id: "Q02",
        name: "burst-delete",
        title: "100 deletions: every directory gone or archived; percentiles",
        source: "e2e pvcdeletionperf",
        level: Level::Should,
        profile: Profile::Perf,
        mode: Mode("cp"),
        needs: &[],
    },
    Row {
        id: "Q03",
        name: "mixed-churn",
        title: "10 minutes of create, delete, restart: no leak of PVs, directories, descriptors or memory",
        source: "e2e volume_stress",
        level: Level::Should,
        profile: Profile::Perf,
        mode: Mode("cp+fi"),
        needs: &[],
    },
    Row {
        id: "Q04",
        name: "many-foreign-pvs",
        title: "5 000 PVs of others: a claim is still Bound within T, API calls bounded",
        source: "ours",
        level: Level::Ours,
        profile: Profile::Perf,
        mode: Mode("cp"),
        needs: &[],
    },
    Row {
        id: "Q05",
        name: "api-budget",
        title: "API requests per claim stay within the budget (audit log, by client name)",
        source: "ours; EP #447",
        level: Level::Ours,
        profile: Profile::Perf,
        mode: Mode("cp"),
        needs: &[],
    },
    Row {
        id: "Q06",
        name: "quiet-restart",
        title: "Restart with 500 bound claims: no writes, ready within T",
        source: "ours",
        level: Level::Ours,
        profile: Profile::Perf,
        mode: Mode("cp"),
        needs: &[],
    },
    Row {
        id: "Q07",
        name: "create-delete-storm",
        title: "Claims created and deleted at once, without waiting for Bound: nothing left on either side",
        source: "ours; ceph-csi #4280",
        level: Level::Ours,
        profile: Profile::Perf,
        mode: Mode("cp"),
        needs: &[],
    },
];
