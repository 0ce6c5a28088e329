//! How many requests an Envoy has answered, and how badly, as its sidecar says it on its stream.
//!
//! Numbers grow from the start of an Envoy, and begin again with the next one. It is a request about a type of resources that
//! there is not, like what is said of the [application](super::application): a number is a name such as `requests=12`.

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use std::collections::BTreeMap;

/// What such a request says that it is about.
pub const TYPE_URL: &str = "type.googleapis.com/chancery.sidecar.v1.Counts";
/// The most filters whose failures are told apart.
pub const FILTERS_MAX: usize = 32;
/// The most shadow decisions that are told apart.
pub const SHADOWS_MAX: usize = 256;
/// The most callers without TLS that are told apart, with the one that stands for the others.
pub const PLAINTEXT_MAX: usize = 65;
/// The longest name of a filter or a shadow decision, in bytes; longer ones are not told.
const NAME_BYTES_MAX: usize = 256;

/// What a line on Envoy's standard output begins with that says who made a request without TLS; behind it stands the
/// address.
pub const PLAINTEXT_LINE: &str = "plaintext from ";

const REQUESTS: &str = "requests";
const ERRORS: &str = "errors";
/// What the names of failed filters begin with.
const FAILED: &str = "failed/";
/// What the names of shadow decisions begin with.
const SHADOW: &str = "shadow/";
/// What the names of callers without TLS begin with.
const PLAINTEXT: &str = "plaintext/";

/// How many requests an Envoy has answered since it began, those that it took and those that it sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All that were answered.
    pub requests: u64,
    /// Those of them that were answered with 5xx.
    pub errors: u64,
    /// How often each Wasm filter failed, of those that did.
    pub failures: BTreeMap<String, u64>,
    /// How often policies in shadow mode would have decided otherwise, by what and which statement: `denied.POLICY/RULE`.
    /// A sidecar begins anew with them when the policies of its service change.
    pub shadows: BTreeMap<String, u64>,
    /// How many requests each caller without TLS made, by its address or `others`, of those that made one within the last hour.
    pub plaintext: BTreeMap<String, u64>,
}

impl Counts {
    /// The request that says so.
    #[must_use]
    pub fn report(&self) -> DeltaDiscoveryRequest {
        let failures = self.failures.iter().take(FILTERS_MAX);
        let mut said = vec![format!("{REQUESTS}={}", self.requests), format!("{ERRORS}={}", self.errors)];
        said.extend(failures.map(|(name, count)| format!("{FAILED}{name}={count}")));
        let shadows = self.shadows.iter().take(SHADOWS_MAX);
        said.extend(shadows.map(|(name, count)| format!("{SHADOW}{name}={count}")));
        let callers = self.plaintext.iter().take(PLAINTEXT_MAX);
        said.extend(callers.map(|(caller, count)| format!("{PLAINTEXT}{caller}={count}")));
        DeltaDiscoveryRequest {
            type_url: TYPE_URL.to_owned(),
            resource_names_subscribe: said,
            ..DeltaDiscoveryRequest::default()
        }
    }

    /// The counts that a request says; `None` if it is about something else.
    #[must_use]
    pub fn read(request: &DeltaDiscoveryRequest) -> Option<Self> {
        if request.type_url != TYPE_URL {
            return None;
        }
        let mut counts = Self::default();
        let most = FILTERS_MAX + SHADOWS_MAX + PLAINTEXT_MAX + 2;
        for said in request.resource_names_subscribe.iter().take(most) {
            let Some((name, number)) = said.rsplit_once('=') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match name {
                REQUESTS => counts.requests = number,
                ERRORS => counts.errors = number,
                _ => {
                    note(&mut counts.failures, name.strip_prefix(FAILED), number, FILTERS_MAX);
                    note(&mut counts.shadows, name.strip_prefix(SHADOW), number, SHADOWS_MAX);
                    note(&mut counts.plaintext, name.strip_prefix(PLAINTEXT), number, PLAINTEXT_MAX);
                }
            }
        }
        Some(counts)
    }

    /// What was counted since an earlier moment, but shadow decisions and callers; all of it if the Envoy began anew meanwhile.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        if self.requests < earlier.requests || self.errors < earlier.errors {
            return self.clone();
        }
        let new = |(name, count): (&String, &u64)| {
            let before = earlier.failures.get(name).copied().unwrap_or_default();
            Some((name.clone(), count.checked_sub(before).filter(|count| *count > 0)?))
        };
        Self {
            requests: self.requests - earlier.requests,
            errors: self.errors - earlier.errors,
            failures: self.failures.iter().filter_map(new).collect(),
            shadows: BTreeMap::new(),
            plaintext: BTreeMap::new(),
        }
    }

    /// Adds others, but shadow decisions and callers.
    pub fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        for (name, count) in &other.failures {
            let sum = self.failures.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
    }

    /// How often filters failed, all together.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failures.values().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// Keeps a number by this name, if it is one that is kept and there is room.
fn note(kept: &mut BTreeMap<String, u64>, name: Option<&str>, number: u64, most: usize) {
    if let Some(name) = name.filter(|name| name.len() <= NAME_BYTES_MAX && kept.len() < most) {
        kept.insert(name.to_owned(), number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(requests: u64, errors: u64, failures: &[(&str, u64)]) -> Counts {
        let failures = failures.iter().map(|&(name, count)| (name.to_owned(), count)).collect();
        Counts { requests, errors, failures, ..Counts::default() }
    }

    #[test]
    fn what_is_said_is_heard() {
        for said in [counts(0, 0, &[]), counts(12, 3, &[("pii=1", 2), ("writ-inbound/1a2b", 1)])] {
            assert_eq!(Counts::read(&said.report()), Some(said));
        }
        let shadows = [("denied.strict/a=b".to_owned(), 7)].into();
        let plaintext = [("10.0.0.1".to_owned(), 3), ("::1".to_owned(), 4), ("others".to_owned(), 5)].into();
        let said = Counts { shadows, plaintext, ..Counts::default() };
        assert_eq!(Counts::read(&said.report()), Some(said));
        assert_eq!(Counts::read(&DeltaDiscoveryRequest::default()), None);
        let words = ["requests", "requests=-1", "errors=9", "=", "failed/=7", "odd=1"].map(str::to_owned);
        let odd = DeltaDiscoveryRequest {
            type_url: TYPE_URL.to_owned(),
            resource_names_subscribe: words.to_vec(),
            ..DeltaDiscoveryRequest::default()
        };
        assert_eq!(Counts::read(&odd), Some(counts(0, 9, &[("", 7)])));
        let many: Vec<String> = (0..1000).map(|number| format!("f{number:04}")).collect();
        let many: Vec<(&str, u64)> = many.iter().map(|name| (name.as_str(), 1)).collect();
        let heard = Counts::read(&counts(1, 1, &many).report());
        assert_eq!(heard.map(|heard| heard.failures.len()), Some(FILTERS_MAX));
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        assert_eq!(Counts::read(&counts(1, 1, &[(&long, 1)]).report()), Some(counts(1, 1, &[])));
    }

    #[test]
    fn an_envoy_that_began_anew_has_counted_all_of_it_since() {
        let earlier = counts(100, 2, &[("pii", 1)]);
        let later = counts(150, 5, &[("pii", 4), ("json", 1)]);
        assert_eq!(later.since(&earlier), counts(50, 3, &[("json", 1), ("pii", 3)]));
        assert_eq!(later.since(&later), counts(0, 0, &[]));
        assert_eq!(counts(7, 0, &[]).since(&earlier), counts(7, 0, &[]));
        let mut sum = earlier;
        sum.add(&later);
        assert_eq!((sum.requests, sum.failed()), (250, 6));
    }
}
