//! Who calls without TLS, where policies allow that: by their addresses, as Envoy writes them, one line for each request.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The most addresses that are told apart; of further callers only the requests are counted.
const CALLERS_MAX: usize = 64;
/// How long after its last request a caller is still named.
pub const NAMED_FOR: Duration = Duration::from_hours(1);
/// Under what name those are counted that are not told apart.
const OTHERS: &str = "others";

/// The callers of one sidecar that spoke plaintext within the last hour.
#[derive(Debug, Default)]
pub struct PlaintextCallers {
    seen: Mutex<BTreeMap<String, Seen>>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    requests: u64,
    last: Instant,
}

impl PlaintextCallers {
    /// Takes in a request from this address.
    pub fn take(&self, address: &str, now: Instant) {
        let Ok(address) = address.parse::<IpAddr>() else {
            tracing::warn!(
                "Envoy says that somebody without TLS has no address: `{}`",
                address.escape_debug()
            );
            return;
        };
        let address = address.to_string();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.contains_key(&address) && seen.len() >= CALLERS_MAX {
            forget(&mut seen, now);
        }
        let known = seen.contains_key(&address) || seen.len() < CALLERS_MAX;
        let name = if known { address } else { OTHERS.to_owned() };
        let entry = seen.entry(name).or_insert(Seen { requests: 0, last: now });
        *entry = Seen { requests: entry.requests.saturating_add(1), last: now };
    }

    /// How many requests each made, of those that made one within the last hour.
    #[must_use]
    pub fn counts(&self, now: Instant) -> BTreeMap<String, u64> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        forget(&mut seen, now);
        seen.iter().map(|(address, seen)| (address.clone(), seen.requests)).collect()
    }
}

fn forget(seen: &mut BTreeMap<String, Seen>, now: Instant) {
    seen.retain(|_, seen| now.saturating_duration_since(seen.last) < NAMED_FOR);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_counted_until_they_were_quiet_for_an_hour() {
        let (callers, start) = (PlaintextCallers::default(), Instant::now());
        let after = |minutes: u64| start + Duration::from_mins(minutes);
        for (address, minutes) in [("10.0.0.1", 0), ("::1", 0), ("10.0.0.1", 30), ("odd", 30)] {
            callers.take(address, after(minutes));
        }
        let counts = |minutes| callers.counts(after(minutes)).into_iter().collect::<Vec<_>>();
        assert_eq!(counts(59), [("10.0.0.1".to_owned(), 2), ("::1".to_owned(), 1)]);
        assert_eq!(counts(60), [("10.0.0.1".to_owned(), 2)]);
        assert_eq!(counts(90), []);
    }

    #[test]
    fn of_very_many_callers_the_further_ones_are_one() {
        let (callers, now) = (PlaintextCallers::default(), Instant::now());
        for number in 0..1000_u32 {
            callers.take(&std::net::Ipv4Addr::from(number).to_string(), now);
        }
        let counts = callers.counts(now);
        assert_eq!(counts.len(), CALLERS_MAX + 1);
        assert_eq!(counts.get(OTHERS), Some(&(1000 - CALLERS_MAX as u64)));
    }
}
