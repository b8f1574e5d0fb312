//! What the probes are answered with: whether the process lives, may be relied on, and holds its
//! lock. A standby is ready: it would take over. A leader is ready while its export is.

use std::fmt::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Fence;

/// How old the last sign of life may be. A second passes between two; a process that is starved
/// for half a minute serves nobody.
pub const SILENCE: Duration = Duration::from_secs(30);

/// Whether this process acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Not yet: it waits for the lock, or is still starting.
    #[default]
    Standby,
    /// It acts.
    Acting,
}

/// What is known of the export.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ExportState {
    /// Nobody has looked yet.
    #[default]
    Unknown,
    /// It was the right one when it was looked at last.
    Confirmed,
    /// It is away, cannot be used, or is another one.
    Failed(String),
}

/// What the probes are answered from. Set by the parts of the provisioner as they get on.
#[derive(Debug)]
pub struct Health {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    beat: Duration,
    synced: bool,
    reviewed: bool,
    role: Role,
    export: ExportState,
}

/// The answer to one probe: each check with what is wrong, if anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report(Vec<(&'static str, Result<(), String>)>);

impl Report {
    /// Whether every check passed.
    pub fn is_good(&self) -> bool {
        self.0.iter().all(|(_, result)| result.is_ok())
    }
}

impl fmt::Display for Report {
    /// One line a check, `[+]caches ok` or `[-]export failed: <why>`, as the API server writes them.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, result) in &self.0 {
            match result {
                Ok(()) => writeln!(formatter, "[+]{name} ok")?,
                Err(why) => {
                    write!(formatter, "[-]{name} failed: ")?;
                    // A cause may hold anything a server said.
                    for c in why.chars() {
                        formatter.write_char(if c.is_control() { ' ' } else { c })?;
                    }
                    formatter.write_char('\n')?;
                }
            }
        }
        Ok(())
    }
}

impl Health {
    /// Nothing is known yet; `now` counts as the first sign of life.
    pub fn new(now: Duration) -> Self {
        Self {
            state: Mutex::new(State {
                beat: now,
                ..State::default()
            }),
        }
    }

    /// The event loop turned at `now`.
    pub fn beat(&self, now: Duration) {
        self.lock().beat = now;
    }

    /// Each kind has been listed once.
    pub fn synced(&self) {
        self.lock().synced = true;
    }

    /// The rights every claim needs are there.
    pub fn reviewed(&self) {
        self.lock().reviewed = true;
    }

    /// Whether this process acts.
    pub fn set_role(&self, role: Role) {
        self.lock().role = role;
    }

    /// What is known of the export. Whether that is another state than before.
    pub fn set_export(&self, export: ExportState) -> bool {
        let mut state = self.lock();
        let changed = std::mem::discriminant(&state.export) != std::mem::discriminant(&export);
        state.export = export;
        changed
    }

    /// Whether this process acts.
    pub fn role(&self) -> Role {
        self.lock().role
    }

    /// Whether the export was the right one when it was looked at last.
    pub fn export_is_confirmed(&self) -> bool {
        self.lock().export == ExportState::Confirmed
    }

    /// `/healthz`: the event loop turns.
    pub fn live(&self, now: Duration) -> Report {
        let silent = now.saturating_sub(self.lock().beat);
        Report(vec![(
            "event-loop",
            if silent <= SILENCE {
                Ok(())
            } else {
                Err(format!("it has not turned for {} s", silent.as_secs()))
            },
        )])
    }

    /// `/readyz`: caches, rights, and the export of whoever acts.
    pub fn ready(&self) -> Report {
        let state = self.lock();
        let check = |good: bool, why: &str| if good { Ok(()) } else { Err(why.to_owned()) };
        let export = match (state.role, &state.export) {
            (Role::Standby, _) | (Role::Acting, ExportState::Confirmed) => Ok(()),
            (Role::Acting, ExportState::Unknown) => Err("it has not been looked at yet".to_owned()),
            (Role::Acting, ExportState::Failed(why)) => Err(why.clone()),
        };
        Report(vec![
            (
                "caches",
                check(
                    state.synced,
                    "claims, volumes and classes are not all listed yet",
                ),
            ),
            (
                "rights",
                check(state.reviewed, "the rights have not been reviewed yet"),
            ),
            ("export", export),
        ])
    }

    /// `/healthz/leader-election`: whoever acts may act. Between the renew deadline and its own end
    /// a process that lost its lock is not healthy.
    pub fn election(&self, fence: &Fence) -> Report {
        let result = match self.lock().role {
            Role::Standby => Ok(()),
            Role::Acting => fence.check().map_err(|error| error.to_string()),
        };
        Report(vec![("leader-election", result)])
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::{BootClock, Clock as _};

    fn ready() -> Health {
        let health = Health::new(Duration::ZERO);
        health.synced();
        health.reviewed();
        health
    }

    #[test]
    fn a_standby_is_ready_once_caches_and_rights_are_there() {
        let health = Health::new(Duration::ZERO);
        assert_eq!(
            health.ready().to_string(),
            "[-]caches failed: claims, volumes and classes are not all listed yet\n\
             [-]rights failed: the rights have not been reviewed yet\n[+]export ok\n"
        );
        health.synced();
        assert!(!health.ready().is_good());
        health.reviewed();
        assert!(health.ready().is_good());
    }

    #[test]
    fn a_leader_is_ready_while_its_export_is() {
        let health = ready();
        health.set_role(Role::Acting);
        assert!(!health.ready().is_good());
        assert!(health.set_export(ExportState::Confirmed));
        assert!(health.ready().is_good());
        assert!(health.set_export(ExportState::Failed("a\nb".to_owned())));
        assert!(
            health
                .ready()
                .to_string()
                .ends_with("[-]export failed: a b\n")
        );
        assert!(!health.set_export(ExportState::Failed("c".to_owned())));
    }

    #[test]
    fn a_loop_that_stands_still_is_not_alive() {
        let health = ready();
        health.beat(Duration::from_secs(100));
        assert!(health.live(Duration::from_secs(100) + SILENCE).is_good());
        let dead = health.live(Duration::from_secs(101) + SILENCE);
        assert_eq!(
            dead.to_string(),
            "[-]event-loop failed: it has not turned for 31 s\n"
        );
    }

    #[test]
    fn who_acts_without_the_lease_is_not_healthy() {
        let clock = Arc::new(BootClock);
        let fence = Fence::closed(clock.clone());
        let health = ready();
        assert!(health.election(&fence).is_good());
        health.set_role(Role::Acting);
        assert!(!health.election(&fence).is_good());
        fence.extend(clock.now() + Duration::from_hours(1));
        assert!(health.election(&fence).is_good());
    }
}
