//! How often requests went where weights say, over all that were made.

use super::fate::{ALL, Place, places};
use anyhow::{Result, ensure};
use chancery_policy_lang::checked::Weighted;
use std::collections::BTreeMap;
use std::fmt;

/// A right build fails less than once in so many comparisons.
const FAILS_ONCE_IN: f64 = 1e9;

/// Where requests went, by what the weights were and by the destination.
#[derive(Clone, Default)]
pub struct Shares(BTreeMap<(String, String), Share>);

/// How often one destination was chosen.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    stated: f64,
    requests: u32,
    chosen: u32,
}

impl Shares {
    /// Notes where a request went, if its place says which of these was chosen.
    pub(super) fn note(&mut self, weights: &[Weighted], place: Place) {
        let count = weights.iter().filter(|weighted| places(&weighted.to).contains(&place)).count();
        if count != 1 || weights.len() < 2 {
            return;
        }
        let named = |weighted: &Weighted| {
            let version = weighted.to.version.as_deref().unwrap_or("any");
            format!("{}@{version}", weighted.to.service.name)
        };
        let all: Vec<String> =
            weights.iter().map(|weighted| format!("{} {}", named(weighted), weighted.share)).collect();
        for weighted in weights {
            let share = self.0.entry((all.join(", "), named(weighted))).or_default();
            share.stated = f64::from(weighted.share) / f64::from(ALL);
            share.requests += 1;
            share.chosen += u32::from(places(&weighted.to).contains(&place));
        }
    }

    /// Whether all of them are as often as a right build's are, but for once in so many times.
    ///
    /// # Errors
    /// Which is not.
    pub(super) fn check(&self) -> Result<()> {
        let count = f64::from(u32::try_from(self.0.len())?);
        let bound = (2.0 * count * FAILS_ONCE_IN).ln();
        for ((all, destination), share) in &self.0 {
            ensure!(
                share.surprise() <= bound,
                "of {} requests {} went to {destination} by {all}",
                share.requests,
                share.chosen
            );
        }
        Ok(())
    }
}

impl Share {
    /// By Chernoff's bound, as many draws with this share come out so or worse with a probability of at most e to the
    /// power of minus this.
    fn surprise(self) -> f64 {
        let requests = f64::from(self.requests);
        let got = f64::from(self.chosen) / requests;
        let part = |got: f64, stated: f64| if got == 0.0 { 0.0 } else { got * (got / stated).ln() };
        requests * (part(got, self.stated) + part(1.0 - got, 1.0 - self.stated))
    }
}

impl fmt::Debug for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.0.iter().map(|((all, destination), share)| {
            (format!("{destination} of {all}"), format!("{} of {}", share.chosen, share.requests))
        });
        f.debug_map().entries(lines).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Share;

    #[test]
    fn what_is_far_from_its_share_surprises() {
        let surprise = |stated, requests, chosen| Share { stated, requests, chosen }.surprise();
        let bound = (2.0 * 6.0 * super::FAILS_ONCE_IN).ln();
        assert!(surprise(0.3, 400, 120) < 1e-6);
        assert!(surprise(0.3, 400, 150) < bound);
        assert!(surprise(0.3, 400, 200) > bound, "as if it were a half");
        assert!(surprise(0.01, 400, 396) > bound, "as if the two were the other way round");
        assert!(surprise(0.0, 400, 1) > bound);
        assert!(surprise(1.0, 400, 400) < bound);
    }
}
