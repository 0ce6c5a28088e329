//! Removes proxies from the mesh that are gone without having said so.
//!
//! A proxy whose sidecar runs has a stream. One without a stream for a while gets no more requests:
//! its endpoint goes, and it joins anew when it comes back.

use crate::delivery::acks::AckBoard;
use crate::mesh::model::ProxyId;
use crate::mesh::store::{Actor, Change, Store, StoreError};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often is looked, at most: a proxy may stay this much longer.
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(1);

/// The task that looks for absent proxies.
pub(crate) struct Liveness {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) board: Arc<AckBoard>,
    /// How long a proxy may be without a stream.
    pub(crate) leave_after: Duration,
}

impl Liveness {
    /// Looks until it is dropped. A proxy that had its last stream with an earlier process of the
    /// control plane is counted as absent from now on.
    pub(crate) async fn run(self) {
        let mut absences = Absences::default();
        let mut interval = tokio::time::interval(LOOK_INTERVAL_MAX.min(self.leave_after));
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            // In this order: who has a stream was in the mesh before.
            let statuses = self.board.statuses();
            let state = self.store.watch().borrow().clone();
            for (id, _) in statuses.iter().filter(|(id, _)| !state.proxies.contains_key(*id)) {
                self.board.leave(id);
            }
            let is_connected = |id: &&ProxyId| statuses.get(*id).is_some_and(|status| status.is_connected);
            let absent = state.proxies.keys().filter(|id| !is_connected(id));
            for id in absences.longer_than(self.leave_after, absent, Instant::now()) {
                self.remove(id).await;
            }
        }
    }

    async fn remove(&self, id: ProxyId) {
        let by = Actor { name: "control plane".to_owned(), at: Timestamp::now() };
        match self.store.commit(Change::RemoveProxy(id.clone()), by).await {
            Ok(_) => tracing::warn!(proxy = id.0, "removed from the mesh: it has had no stream for too long"),
            Err(StoreError::NoSuchProxy(_)) => {}
            Err(error) => {
                tracing::error!(proxy = id.0, %error, "cannot be removed from the mesh; tried again later");
            }
        }
    }
}

/// Since when proxies have been absent.
#[derive(Debug, Default)]
struct Absences {
    since: BTreeMap<ProxyId, Instant>,
}

impl Absences {
    /// Takes in who is absent now; gives those who have been for `limit` or longer.
    fn longer_than<'a>(
        &mut self,
        limit: Duration,
        absent: impl Iterator<Item = &'a ProxyId>,
        now: Instant,
    ) -> Vec<ProxyId> {
        let mut earlier = std::mem::take(&mut self.since);
        self.since = absent.map(|id| (id.clone(), earlier.remove(id).unwrap_or(now))).collect();
        let is_over = |since: &Instant| now.duration_since(*since) >= limit;
        self.since.iter().filter(|(_, since)| is_over(since)).map(|(id, _)| id.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_absent_all_the_time_is_gone() {
        let (a, b) = (ProxyId("shop/a/1".to_owned()), ProxyId("shop/b/1".to_owned()));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let limit = Duration::from_secs(60);
        let mut absences = Absences::default();
        assert_eq!(absences.longer_than(limit, [&a, &b].into_iter(), at(0)), []);
        assert_eq!(absences.longer_than(limit, [&a].into_iter(), at(30)), []);
        assert_eq!(absences.longer_than(limit, [&a, &b].into_iter(), at(59)), []);
        assert_eq!(absences.longer_than(limit, [&a, &b].into_iter(), at(60)), [a]);
    }
}
