//! How long to wait before trying again: exponential, with jitter, so that sidecars that lost the
//! same control plane do not all come back at once.

use ring::rand::{SecureRandom, SystemRandom};
use std::time::Duration;

/// Doublings after which the delay has surely reached its maximum.
const DOUBLINGS_MAX: u32 = 20;

/// Delays that grow with each failure.
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// Delays of about `base` at first and never more than `max`.
    #[must_use]
    pub fn new(base: Duration, max: Duration) -> Self {
        Self { base, max, failures: 0 }
    }

    /// The next delay: between half and all of the present ceiling, by `random` in 0..1.
    pub fn next(&mut self, random: f64) -> Duration {
        let ceiling = self.base.saturating_mul(1 << self.failures.min(DOUBLINGS_MAX)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        ceiling.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0))
    }

    /// Begins anew after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// When to renew a certificate that is valid for `lifetime` from now: at its half, give or take a
/// tenth of the lifetime by `random` in 0..1.
#[must_use]
pub fn renewal_delay(lifetime: Duration, random: f64) -> Duration {
    lifetime.mul_f64(0.4 + 0.2 * random.clamp(0.0, 1.0))
}

/// A number in 0..1, unlike that of any other process.
#[must_use]
pub fn random() -> f64 {
    let mut bytes = [0; 4];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        // Without randomness the delays are still right, only less spread.
        Err(ring::error::Unspecified) => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_maximum_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let delays: Vec<u128> = (0..6).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1000, 1000]);
        backoff.reset();
        assert_eq!(backoff.next(0.0).as_millis(), 50);
    }

    #[test]
    fn a_thousand_failures_do_not_overflow() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        assert_eq!((0..1000).map(|_| backoff.next(1.0)).max(), Some(Duration::from_secs(30)));
    }

    #[test]
    fn certificates_are_renewed_about_half_way() {
        let hour = Duration::from_secs(3600);
        assert_eq!(renewal_delay(hour, 0.0), Duration::from_secs(1440));
        assert_eq!(renewal_delay(hour, 1.0), Duration::from_secs(2160));
    }

    #[test]
    fn random_numbers_are_in_range_and_differ() {
        let numbers: Vec<f64> = (0..8).map(|_| random()).collect();
        assert!(numbers.iter().all(|n| (0.0..=1.0).contains(n)), "{numbers:?}");
        assert!(numbers.windows(2).any(|pair| pair.first() != pair.last()), "{numbers:?}");
    }
}
