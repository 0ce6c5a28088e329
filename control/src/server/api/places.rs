//! The places of sidecars that have joined but are not connected yet.
//!
//! A sidecar joins first and opens its stream a moment later. In between nothing but this says that its
//! id is taken, so that of two sidecars of one id that start together only one gets it.

use crate::mesh::model::ProxyId;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

/// How long a place is kept for a sidecar that does not connect: some restarts of its Envoy.
const KEPT: SignedDuration = SignedDuration::from_secs(30);

/// Who has joined of late, and where it listens.
#[derive(Debug, Default)]
pub struct Places {
    taken: Mutex<BTreeMap<ProxyId, Place>>,
}

#[derive(Debug)]
struct Place {
    listens: BTreeSet<SocketAddr>,
    since: Timestamp,
}

impl Places {
    /// Takes the place of an id, or takes it anew where the same addresses are stated.
    ///
    /// # Errors
    /// The addresses of the sidecar whose place it is.
    pub(super) fn take(
        &self,
        id: &ProxyId,
        listens: &BTreeSet<SocketAddr>,
        now: Timestamp,
    ) -> Result<(), BTreeSet<SocketAddr>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|_, place| now.duration_since(place.since) < KEPT);
        match taken.get(id) {
            Some(place) if place.listens != *listens => Err(place.listens.clone()),
            _ => {
                taken.insert(id.clone(), Place { listens: listens.clone(), since: now });
                Ok(())
            }
        }
    }

    /// Gives the place of an id back.
    pub(super) fn give_back(&self, id: &ProxyId) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn of_two_that_join_together_one_gets_the_place() {
        let places = Places::default();
        let id = ProxyId("shop/orders/1".to_owned());
        let listens = |text: &str| BTreeSet::from([text.parse::<SocketAddr>().unwrap()]);
        let (one, other) = (listens("127.0.0.1:8080"), listens("127.0.0.2:8080"));
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(places.take(&id, &one, at(0)), Ok(()));
        assert_eq!(places.take(&id, &other, at(1)), Err(one.clone()));
        assert_eq!(places.take(&id, &one, at(29)), Ok(()), "the same one, started anew");
        assert_eq!(places.take(&id, &other, at(58)), Err(one), "the time counts from the last join");
        assert_eq!(places.take(&id, &other, at(59)), Ok(()), "it never came");
        places.give_back(&id);
        assert_eq!(places.take(&id, &listens("127.0.0.3:8080"), at(59)), Ok(()));
    }
}
