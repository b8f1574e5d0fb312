//! Failures per key to a delay: 1 s, doubled with every failure up to 5 min, with jitter. Nothing
//! is ever given up (external-provisioner #154, #671, #674).

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// The delay after the first failure.
pub const FIRST: Duration = Duration::from_secs(1);
/// The longest delay, and the interval at which what cannot be served is looked at again.
pub const LONGEST: Duration = Duration::from_mins(5);

/// How often each key failed in a row.
#[derive(Debug)]
pub struct Backoff<K> {
    failures: HashMap<K, u32>,
}

impl<K> Default for Backoff<K> {
    fn default() -> Self {
        Self {
            failures: HashMap::new(),
        }
    }
}

impl<K: Eq + Hash> Backoff<K> {
    /// Counts one more failure of `key`; the number of failures in a row.
    pub fn failed(&mut self, key: K) -> u32 {
        let count = self.failures.entry(key).or_insert(0);
        *count = count.saturating_add(1);
        *count
    }

    /// Forgets the failures of `key`: it succeeded, was edited or is gone.
    pub fn reset(&mut self, key: &K) {
        self.failures.remove(key);
    }
}

/// The delay after `failures` failures in a row: `jitter` in `0.0..=1.0` moves it by up to a tenth
/// either way, so that what failed together is not tried together for ever.
pub fn delay(failures: u32, jitter: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let plain = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    plain.mul_f64(0.9 + 0.2 * jitter.clamp(0.0, 1.0))
}

/// A fraction in `0.0..=1.0` from the operating system's randomness.
pub fn jitter() -> f64 {
    f64::from(uuid::Uuid::new_v4().as_bytes()[0]) / 255.0
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(1, 1.0)]
    #[case(2, 2.0)]
    #[case(5, 16.0)]
    #[case(9, 256.0)]
    #[case(10, 300.0)]
    #[case(u32::MAX, 300.0)]
    fn the_delay_doubles_from_one_second_to_five_minutes(
        #[case] failures: u32,
        #[case] seconds: f64,
    ) {
        assert_eq!(delay(failures, 0.5), Duration::from_secs_f64(seconds));
    }

    #[test]
    fn jitter_moves_the_delay_by_a_tenth_at_most() {
        assert_eq!(delay(1, 0.0), Duration::from_millis(900));
        assert_eq!(delay(1, 1.0), Duration::from_millis(1100));
        assert!((0.0..=1.0).contains(&jitter()));
    }

    #[test]
    fn an_edit_starts_again_from_the_first_delay() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.failed("a"), 1);
        assert_eq!(backoff.failed("a"), 2);
        assert_eq!(backoff.failed("b"), 1);
        backoff.reset(&"a");
        assert_eq!(backoff.failed("a"), 1);
    }
}
