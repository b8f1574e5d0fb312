//! Group W: `WaitForFirstConsumer`.

use super::{Group, Level, Mode, Profile, Row};

/// `WaitForFirstConsumer`.
pub(super) const GROUP: Group = Group {
    letter: 'W',
    title: "WaitForFirstConsumer",
    rows: ROWS,
};

const ROWS: &[Row] = &[
    Row {
        id: "W01",
        name: "no-pod-no-volume",
        title: "Without a pod: Pending, WaitForFirstConsumer event, no PV, no directory",
        source: "SC; KCM",
        level: Level::Must,
        profile: Profile::Core,
        mode: Mode("cp"),
        needs: &[],
    },
    Row {
        id: "W02",
        name: "pod-triggers",
        title: "A pod appears: selected-node set, provisioned, Bound, pod scheduled",
        source: "SC",
        level: Level::Must,
        profile: Profile::Core,
        mode: Mode("cp"),
        needs: &[],
    },
    Row {
        id: "W03",
        name: "many-claims-one-pod",
        title: "Several claims of one pod all bind",
        source: "e2e",
        level: Level::Must,
        profile: Profile::Core,
        mode: Mode("cp"),
        needs: &[],
    },
    Row {
        id: "W04",
        name: "unschedulable-pod",
        title: "The pod fits no node: claims stay Pending",
        source: "e2e",
        level: Level::Must,
        profile: Profile::Core,
        mode: Mode("cp"),
        needs: &[],
    },
    Row {
        id: "W05",
        name: "selected-node-required",
        title: "The subject acts only once selected-node is present",
        source: "LIB",
        level: Level::Must,
        profile: Profile::Core,
        mode: Mode("cp"),
        needs: &[],
    },
    Row {
        id: "W06",
        name: "reschedule-on-failure",
        title: "After a reschedule-type failure selected-node is removed and another node tried",
        source: "LIB; e2e integration",
        level: Level::Should,
        profile: Profile::Faults,
        mode: Mode("cp+fi"),
        needs: &[],
    },
    Row {
        id: "W07",
        name: "default-immediate",
        title: "Unset binding mode means Immediate",
        source: "API",
        level: Level::Must,
        profile: Profile::Core,
        mode: Mode("cp"),
        needs: &[],
    },
    Row {
        id: "W08",
        name: "vanished-node",
        title: "The selected node no longer exists: the claim binds or is rescheduled, it does not loop",
        source: "LIB #121 #139; KK #100485; EP #1437",
        level: Level::Should,
        profile: Profile::Extended,
        mode: Mode("cp"),
        needs: &[],
    },
];
