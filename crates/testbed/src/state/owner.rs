//! Who owns a testbed: a process, told apart from a later one with the same pid.

use serde::{Deserialize, Serialize};

use super::ChildRecord;

/// A process, by its pid and the time it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// Process id.
    pub pid: u32,
    /// Start time in clock ticks since boot (`/proc/PID/stat`, field 22 of proc(5)).
    pub start_time: u64,
}

impl Owner {
    /// The calling process. `None` without `/proc`.
    pub fn this_process() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// The process that has `pid` now; `None` when there is none.
    pub fn of(pid: u32) -> Option<Self> {
        let start_time = live_start_time(pid)?;
        Some(Self { pid, start_time })
    }

    /// Whether that very process still runs. A zombie does not.
    pub fn is_alive(&self) -> bool {
        live_start_time(self.pid) == Some(self.start_time)
    }
}

impl ChildRecord {
    /// Whether that very process still runs. A zombie does not.
    pub fn is_alive(&self) -> bool {
        live_start_time(self.pid) == Some(self.start_time)
    }
}

/// Start time of a running process; `None` when there is none or only a zombie.
fn live_start_time(pid: u32) -> Option<u64> {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(&stat)
}

/// Field 22 of `/proc/PID/stat`, unless the process is a zombie or dead.
fn parse_stat(stat: &str) -> Option<u64> {
    // The name stands in parentheses and may hold spaces and parentheses itself.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    // The state is field 3, so field 22 is the 19th after it.
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 777 1 1";
        assert_eq!(parse_stat(stat), Some(777));
    }

    #[test]
    fn a_zombie_is_not_alive() {
        let stat = "42 (x) Z 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 777 1 1";
        assert_eq!(parse_stat(stat), None);
    }

    #[test]
    fn this_process_is_alive_and_another_start_time_is_not() {
        let mut owner = Owner::this_process().unwrap();
        assert!(owner.is_alive());
        owner.start_time += 1;
        assert!(!owner.is_alive());
    }
}
