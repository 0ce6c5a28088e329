//! Listeners that Envoy should have open and has not, and why: what it refused to open, and what it
//! accepted and then could not open after all, which it says in its log alone.
//!
//! Holds no socket and no clock. Mostly the reason is a port that somebody else has, and passes.

use crate::delivery::xds::UnopenedListeners;
use std::collections::{BTreeMap, BTreeSet};

/// Looks in a row, a second apart, at which an accepted listener must be missing: one may be on its way,
/// and one that an earlier Envoy had may not be forgotten yet.
const LOOKS_MISSING: u32 = 8;
/// What is said of a listener that was accepted and is not there.
const NOT_THERE: &str = "Envoy accepted it and does not listen: is its address in use?";

/// The listeners that are not open, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closed {
    reasons: BTreeMap<String, String>,
    missing: BTreeMap<String, u32>,
}

impl Closed {
    /// Takes note of an answer of Envoy about these listeners. Of several that are refused together the
    /// reason names those that are to blame. Says whether anything is new.
    pub fn note_answer(&mut self, names: &[String], refusal: Option<&str>) -> bool {
        let before = self.reasons.clone();
        for name in names {
            match refusal {
                Some(reason) if names.len() == 1 || reason.contains(name.as_str()) => {
                    self.reasons.insert(name.clone(), reason.trim_end().to_owned());
                }
                Some(_) => {}
                None => {
                    self.reasons.remove(name);
                    self.missing.remove(name);
                }
            }
        }
        self.reasons != before
    }

    /// Takes note of which listeners Envoy has open, of those that it accepted, at a moment at which none
    /// waits for anything. Says whether anything is new.
    pub fn note_look(&mut self, accepted: &BTreeSet<String>, open: &BTreeSet<String>) -> bool {
        let before = self.reasons.clone();
        let earlier = std::mem::take(&mut self.missing);
        for name in accepted.difference(open) {
            let looks = earlier.get(name).copied().unwrap_or_default().saturating_add(1);
            if looks >= LOOKS_MISSING && !self.reasons.contains_key(name) {
                self.reasons.insert(name.clone(), NOT_THERE.to_owned());
            }
            self.missing.insert(name.clone(), looks);
        }
        let is_missing = |name: &str| accepted.contains(name) && !open.contains(name);
        self.reasons.retain(|name, reason| reason != NOT_THERE || is_missing(name));
        self.reasons != before
    }

    /// Why listeners are not open, by name.
    #[must_use]
    pub fn reasons(&self) -> &BTreeMap<String, String> {
        &self.reasons
    }

    /// Those that were accepted and are not there, for whoever cannot see that.
    #[must_use]
    pub fn missing(&self) -> UnopenedListeners {
        let names = self.reasons.keys().filter(|name| self.is_missing(name)).cloned().collect();
        UnopenedListeners { names, reason: NOT_THERE.to_owned() }
    }

    /// Whether this one was accepted and is not there.
    #[must_use]
    pub fn is_missing(&self, name: &str) -> bool {
        self.reasons.get(name).is_some_and(|reason| reason == NOT_THERE)
    }

    /// Whether this one was refused.
    #[must_use]
    pub fn is_refused(&self, name: &str) -> bool {
        self.reasons.get(name).is_some_and(|reason| reason != NOT_THERE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> BTreeSet<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_is_refused_is_closed_until_it_is_accepted() {
        let mut closed = Closed::default();
        let both = ["inbound".to_owned(), "outbound/shop/cart".to_owned()];
        assert!(closed.note_answer(&both, Some("inbound: cannot bind: Address already in use")));
        assert_eq!(closed.reasons().keys().collect::<Vec<_>>(), ["inbound"]);
        assert!(!closed.note_answer(&both, Some("inbound: cannot bind: Address already in use")));
        assert!(closed.note_answer(&both[..1], None));
        assert!(closed.reasons().is_empty());
    }

    #[test]
    fn what_was_accepted_and_stays_missing_is_closed_until_it_is_there() {
        let mut closed = Closed::default();
        let accepted = names("inbound outbound/shop/cart");
        let look = |closed: &mut Closed| closed.note_look(&accepted, &names("inbound"));
        for _ in 1..LOOKS_MISSING {
            assert!(!look(&mut closed));
        }
        assert!(!closed.note_look(&accepted, &accepted), "it was on its way");
        for _ in 1..LOOKS_MISSING {
            assert!(!look(&mut closed));
        }
        assert!(look(&mut closed));
        assert!(closed.is_missing("outbound/shop/cart") && !closed.is_missing("inbound"));
        assert!(closed.note_look(&accepted, &accepted));
        assert_eq!(closed.reasons().len(), 0);
        for _ in 0..LOOKS_MISSING {
            look(&mut closed);
        }
        assert!(closed.note_look(&names("inbound"), &names("inbound")), "it is not wanted any more");
        assert_eq!(closed.reasons().len(), 0);
    }

    #[test]
    fn a_look_does_not_hide_why_a_listener_was_refused() {
        let mut closed = Closed::default();
        closed.note_answer(&["inbound".to_owned()], Some("in use"));
        closed.note_look(&names(""), &names("inbound"));
        assert_eq!(closed.reasons().get("inbound").map(String::as_str), Some("in use"));
    }
}
