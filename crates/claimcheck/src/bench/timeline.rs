//! When each claim of a burst got how far, as watches told it. No I/O.

use std::time::Duration;

/// What a watch tells of one claim, or of the volume of one claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The claim is there.
    Claim {
        /// Its number in the burst.
        index: usize,
        /// Whether its phase is Bound.
        bound: bool,
        /// Whether it is being deleted.
        deleting: bool,
    },
    /// The claim is gone.
    ClaimGone(usize),
    /// The volume is there.
    Volume {
        /// The number of its claim.
        index: usize,
        /// Its phase.
        phase: VolumePhase,
    },
    /// The volume is gone.
    VolumeGone(usize),
}

impl Seen {
    fn index(self) -> usize {
        match self {
            Self::Claim { index, .. }
            | Self::Volume { index, .. }
            | Self::ClaimGone(index)
            | Self::VolumeGone(index) => index,
        }
    }
}

/// The phases of a volume that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VolumePhase {
    /// It can be bound.
    Available,
    /// Its claim is gone, and the volume is still there.
    Released,
    /// Any other.
    Other,
}

/// The first moment of each step of one claim, since the burst's epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// The claim was there.
    pub(super) claim: Option<Duration>,
    /// Its volume was there.
    pub(super) volume: Option<Duration>,
    /// The volume was Available: made beforehand, and not bound yet.
    pub(super) available: Option<Duration>,
    /// The claim was Bound.
    pub(super) bound: Option<Duration>,
    /// The claim was being deleted.
    pub(super) deleting: Option<Duration>,
    /// The claim was gone.
    pub(super) claim_gone: Option<Duration>,
    /// The volume was Released.
    pub(super) released: Option<Duration>,
    /// The volume was gone.
    pub(super) volume_gone: Option<Duration>,
}

/// How many claims got how far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Watches whose first list is complete.
    pub(super) listed: usize,
    /// Claims that were there.
    pub(super) claims: usize,
    /// Volumes that were there.
    pub(super) volumes: usize,
    /// Volumes that were Available.
    pub(super) available: usize,
    /// Claims that were Bound.
    pub(super) bound: usize,
    /// Claims that are gone.
    pub(super) claims_gone: usize,
    /// Volumes that are gone.
    pub(super) volumes_gone: usize,
}

/// The steps of all claims of a burst.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    marks: Vec<Marks>,
    counts: Counts,
}

impl Timeline {
    /// One of `claims` claims of which nothing was seen.
    pub(super) fn new(claims: usize) -> Self {
        Self {
            marks: vec![Marks::default(); claims],
            counts: Counts::default(),
        }
    }

    /// How many got how far.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// The steps of every claim, by number.
    pub(super) fn marks(&self) -> &[Marks] {
        &self.marks
    }

    /// A watch has listed what there is.
    pub(super) fn listed(&mut self) {
        self.counts.listed += 1;
    }

    /// Notes what was seen at `at`. Whether the volume is Released for the first time.
    ///
    /// Only the first moment of a step counts; a number that the burst does not have is nobody's.
    pub(super) fn note(&mut self, seen: Seen, at: Duration) -> bool {
        let Some(marks) = self.marks.get_mut(seen.index()) else {
            return false;
        };
        let counts = &mut self.counts;
        let first = |mark: &mut Option<Duration>, count: &mut usize| {
            if mark.is_none() {
                *mark = Some(at);
                *count += 1;
            }
        };
        match seen {
            Seen::Claim {
                bound, deleting, ..
            } => {
                first(&mut marks.claim, &mut counts.claims);
                if bound {
                    first(&mut marks.bound, &mut counts.bound);
                }
                if deleting {
                    marks.deleting.get_or_insert(at);
                }
            }
            Seen::ClaimGone(_) => {
                // A watch that was cut may have missed what came before.
                marks.deleting.get_or_insert(at);
                first(&mut marks.claim_gone, &mut counts.claims_gone);
            }
            Seen::Volume { phase, .. } => {
                first(&mut marks.volume, &mut counts.volumes);
                match phase {
                    VolumePhase::Available => first(&mut marks.available, &mut counts.available),
                    VolumePhase::Released if marks.released.is_none() => {
                        marks.released = Some(at);
                        return true;
                    }
                    VolumePhase::Released | VolumePhase::Other => {}
                }
            }
            Seen::VolumeGone(_) => first(&mut marks.volume_gone, &mut counts.volumes_gone),
        }
        false
    }

    /// Claims that were seen, are not known to be gone, and are not in a new list (by number).
    pub(super) fn claims_missing_in(&self, list: &[bool]) -> Vec<usize> {
        self.missing(list, |marks| {
            marks.claim.is_some() && marks.claim_gone.is_none()
        })
    }

    /// The same of volumes.
    pub(super) fn volumes_missing_in(&self, list: &[bool]) -> Vec<usize> {
        self.missing(list, |marks| {
            marks.volume.is_some() && marks.volume_gone.is_none()
        })
    }

    fn missing(&self, list: &[bool], alive: impl Fn(&Marks) -> bool) -> Vec<usize> {
        self.marks
            .iter()
            .enumerate()
            .filter(|(index, marks)| alive(marks) && !list.get(*index).is_some_and(|there| *there))
            .map(|(index, _)| index)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    fn claim(index: usize, bound: bool, deleting: bool) -> Seen {
        Seen::Claim {
            index,
            bound,
            deleting,
        }
    }

    fn volume(index: usize, phase: VolumePhase) -> Seen {
        Seen::Volume { index, phase }
    }

    #[test]
    fn the_first_moment_of_each_step_counts_and_is_counted_once() {
        let mut timeline = Timeline::new(2);
        timeline.note(claim(0, false, false), ms(1));
        timeline.note(volume(0, VolumePhase::Other), ms(2));
        timeline.note(claim(0, true, false), ms(3));
        timeline.note(claim(0, true, false), ms(4));
        timeline.note(claim(0, true, true), ms(5));
        timeline.note(Seen::ClaimGone(0), ms(6));
        timeline.note(Seen::VolumeGone(0), ms(7));
        let expected = Marks {
            claim: Some(ms(1)),
            volume: Some(ms(2)),
            available: None,
            bound: Some(ms(3)),
            deleting: Some(ms(5)),
            claim_gone: Some(ms(6)),
            released: None,
            volume_gone: Some(ms(7)),
        };
        assert_eq!(timeline.marks(), [expected, Marks::default()]);
        let counts = Counts {
            listed: 0,
            claims: 1,
            volumes: 1,
            available: 0,
            bound: 1,
            claims_gone: 1,
            volumes_gone: 1,
        };
        assert_eq!(timeline.counts(), counts);
    }

    #[test]
    fn a_volume_is_released_once() {
        let mut timeline = Timeline::new(1);
        assert!(!timeline.note(volume(0, VolumePhase::Available), ms(1)));
        assert!(timeline.note(volume(0, VolumePhase::Released), ms(2)));
        assert!(!timeline.note(volume(0, VolumePhase::Released), ms(3)));
        assert_eq!(timeline.counts().available, 1);
    }

    #[test]
    fn what_a_cut_watch_missed_is_found_by_the_next_list() {
        let mut timeline = Timeline::new(3);
        for index in 0..3 {
            timeline.note(claim(index, true, false), ms(1));
            timeline.note(volume(index, VolumePhase::Other), ms(1));
        }
        timeline.note(Seen::ClaimGone(0), ms(2));
        assert_eq!(timeline.claims_missing_in(&[false, true, false]), [2]);
        assert_eq!(timeline.volumes_missing_in(&[true, true, false]), [2]);
        assert!(Timeline::new(3).claims_missing_in(&[false; 3]).is_empty());
    }

    #[test]
    fn a_number_that_the_burst_does_not_have_is_nobodys() {
        let mut timeline = Timeline::new(1);
        timeline.note(claim(1, true, false), ms(1));
        assert_eq!(timeline.counts(), Counts::default());
    }
}
