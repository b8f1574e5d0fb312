//! Memory and processor time of a subject, from `/proc` (proc(5)).

use std::io::ErrorKind;

/// Clock ticks per second in `/proc/PID/stat`: `USER_HZ`, 100 on every architecture that this
/// program is built for.
const TICKS: u32 = 100;

/// What the processes of one group have used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// The most memory that was resident at once (`VmHWM`), in KiB; of several processes the sum of
    /// their own peaks.
    pub(super) peak_kib: u64,
    /// Processor time in user and system mode, in clock ticks.
    pub(super) ticks: u64,
}

impl Usage {
    /// What two processes used, one after the other.
    pub(super) fn and_then(self, later: Self) -> Self {
        Self {
            peak_kib: self.peak_kib.max(later.peak_kib),
            ticks: self.ticks + later.ticks,
        }
    }

    /// The peak in MiB.
    pub(super) fn peak_mib(self) -> f64 {
        as_f64(self.peak_kib) / 1024.0
    }

    /// The processor time in seconds.
    pub(super) fn cpu_seconds(self) -> f64 {
        as_f64(self.ticks) / f64::from(TICKS)
    }
}

/// What the processes of a group have used so far: a subject may be a script that starts the
/// provisioner. `None` when none of them is left.
///
/// # Errors
/// `/proc` cannot be read.
pub(super) fn of_group(group: u32) -> std::io::Result<Option<Usage>> {
    let mut sum: Option<Usage> = None;
    for entry in fs_err::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().filter(|name| name.parse::<u32>().is_ok()) else {
            continue;
        };
        let (Some(stat), Some(status)) = (
            of_process(&format!("/proc/{pid}/stat"))?,
            of_process(&format!("/proc/{pid}/status"))?,
        ) else {
            continue;
        };
        let Some((_, ticks)) = group_and_ticks(&stat).filter(|(of, _)| *of == group) else {
            continue;
        };
        let sum = sum.get_or_insert_default();
        sum.ticks += ticks;
        // A zombie has no memory any more.
        sum.peak_kib += peak(&status).unwrap_or_default();
    }
    Ok(sum)
}

/// A file of a process; `None` once the process is gone.
fn of_process(path: &str) -> std::io::Result<Option<String>> {
    /// `ESRCH`: the process ended between opening and reading.
    const NO_PROCESS: i32 = 3;
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(NO_PROCESS) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The process group (field 5 of `/proc/PID/stat`), and the ticks in user and system mode (14, 15).
fn group_and_ticks(stat: &str) -> Option<(u32, u64)> {
    // The name, in parentheses, may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3);
    let ticks = |number| field(number)?.parse::<u64>().ok();
    Some((field(5)?.parse().ok()?, ticks(14)? + ticks(15)?))
}

/// `VmHWM` of `/proc/PID/status`, in KiB.
fn peak(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// A count as a number to calculate with; exact below 2^32, which nothing here reaches.
fn as_f64(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b (c)) S 1 42 42 0 -1 4194560 1 2 3 4 150 25 0 0 20 0 5 0 99 1 2";
        assert_eq!(group_and_ticks(stat), Some((42, 175)));
        assert_eq!(group_and_ticks("7 (a"), None);
    }

    #[test]
    fn the_peak_is_read_in_kib() {
        assert_eq!(peak("VmPeak:\t 9 kB\nVmHWM:\t    1234 kB\n"), Some(1234));
        assert_eq!(peak("Name:\tx\n"), None);
    }

    #[test]
    fn a_group_is_summed_up_as_long_as_a_process_of_it_lives() {
        let mut child = Command::new("sh")
            .args(["-c", "cat; true"])
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let usage = of_group(child.id()).unwrap().unwrap();
        assert!(usage.peak_kib > 0, "{usage:?}");
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(of_group(child.id()).unwrap(), None);
    }

    #[test]
    fn of_processes_one_after_the_other_the_larger_peak_counts_and_all_time() {
        let usage = |peak_kib, ticks| Usage { peak_kib, ticks };
        assert_eq!(usage(7, 2).and_then(usage(5, 3)), usage(7, 5));
        assert_eq!(usage(5, 2).and_then(usage(7, 3)), usage(7, 5));
    }

    #[test]
    fn units_are_mebibytes_and_seconds() {
        let usage = Usage {
            peak_kib: 20 * 1024 + 512,
            ticks: 250,
        };
        assert!((usage.peak_mib() - 20.5).abs() < 1e-9);
        assert!((usage.cpu_seconds() - 2.5).abs() < 1e-9);
    }
}
