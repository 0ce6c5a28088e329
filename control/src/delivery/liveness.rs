//! Removes proxies from the mesh that are gone without having said so.
//!
//! A proxy whose sidecar runs has a stream. One without a stream for a while gets no more requests:
//! its endpoint goes, and it joins anew when it comes back.
//!
//! That many are without a stream says more of the control plane and of the network than of them, and they go on
//! serving with what they have. So the clock runs for a replica only while another one of its service is connected that
//! is as ready: the last endpoints of a service are never removed, and after a partition each has its whole time to come
//! back from the first one of its service on. For one that was never ready, which is no endpoint, the clock always runs. It stands still for all while most of the mesh is absent, and before the first
//! configuration is there.

use crate::delivery::acks::AckBoard;
use crate::delivery::fleet::Fleet;
use crate::mesh::model::{DesiredState, ProxyId, ProxyRegistration, Readiness};
use crate::mesh::store::{Actor, Change, Store, StoreError};
use chancery_policy_lang::checked::ServiceRef;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often is looked, at most: a proxy may stay this much longer.
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// So many absent proxies, if they are more than half of the mesh, are a trouble of the network.
const MANY: usize = 16;

/// The task that looks for absent proxies.
pub(crate) struct Liveness {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) board: Arc<AckBoard>,
    pub(crate) fleet: Arc<Fleet>,
    /// How long a proxy may be without a stream.
    pub(crate) leave_after: Duration,
}

impl Liveness {
    /// Looks until it is dropped, beginning when there is a configuration for everybody. A proxy that had its last
    /// stream with an earlier process of the control plane is counted as absent from then on.
    pub(crate) async fn run(self) {
        if self.fleet.built().wait_for(Option::is_some).await.is_err() {
            return;
        }
        let mut absences = Absences::default();
        let mut interval = tokio::time::interval(LOOK_INTERVAL_MAX.min(self.leave_after));
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            let absent = self.board.absent();
            let state = self.store.watch().borrow().clone();
            for id in absences.longer_than(self.leave_after, &absent, &state, Instant::now()) {
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

/// Since when proxies have been absent while others were there.
#[derive(Debug, Default)]
struct Absences {
    since: BTreeMap<ProxyId, Instant>,
}

impl Absences {
    /// Takes in who is absent now; gives those who have been for `limit` or longer and may go.
    fn longer_than(
        &mut self,
        limit: Duration,
        absent: &BTreeSet<ProxyId>,
        state: &DesiredState,
        now: Instant,
    ) -> Vec<ProxyId> {
        let mut earlier = std::mem::take(&mut self.since);
        if absent.len() >= MANY && absent.len() > state.proxies.len() / 2 {
            return Vec::new();
        }
        let mut served: BTreeMap<&ServiceRef, Option<u8>> = BTreeMap::new();
        for id in absent {
            let Some(proxy) = state.proxies.get(id) else { continue };
            let mut best =
                || *served.entry(&proxy.service).or_insert_with(|| best(&proxy.service, absent, state));
            let is_endpoint = proxy.inbound.is_some() && proxy.readiness != Readiness::Starting;
            if !is_endpoint || best() >= Some(proxy.readiness.rank()) {
                self.since.insert(id.clone(), earlier.remove(id).unwrap_or(now));
            }
        }
        let is_over = |since: &Instant| now.duration_since(*since) >= limit;
        self.since.iter().filter(|(_, since)| is_over(since)).map(|(id, _)| id.clone()).collect()
    }
}

/// How ready the best replica of a service is that is connected.
fn best(service: &ServiceRef, absent: &BTreeSet<ProxyId>, state: &DesiredState) -> Option<u8> {
    let first = ProxyId(format!("{}/{}/", service.namespace, service.name));
    let replicas = state.proxies.range(first..).take_while(|(_, proxy)| proxy.service == *service);
    let counts =
        |(id, proxy): &(&ProxyId, &Arc<ProxyRegistration>)| proxy.inbound.is_some() && !absent.contains(*id);
    replicas.filter(counts).map(|(_, proxy)| proxy.readiness.rank()).max()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::mesh::model::{Inbound, Protocol};

    const LIMIT: Duration = Duration::from_secs(60);

    /// A mesh of these proxies, which are all reached by others but those of `shop/client`.
    fn mesh(names: &[&str]) -> DesiredState {
        let mut state = DesiredState::default();
        for name in names {
            let mut parts = name.split('/').map(str::to_owned);
            let mut part = || parts.next().unwrap_or_default();
            let service = ServiceRef { namespace: part(), name: part() };
            let address = ([127, 0, 0, 1], 8080).into();
            let inbound = (service.name != "client").then_some(Inbound {
                listen: address,
                advertised: address,
                application: address,
                protocol: Protocol::Http1,
                probes: None,
            });
            let id = ProxyId((*name).to_owned());
            let proxy = ProxyRegistration {
                token: None,
                check: None,
                readiness: Readiness::Ready,
                id: id.clone(),
                service,
                labels: Arc::default(),
                inbound,
                outbounds: Vec::new(),
            };
            state.register(Arc::new(proxy));
        }
        state
    }

    fn ids(names: &[&str]) -> BTreeSet<ProxyId> {
        names.iter().map(|name| ProxyId((*name).to_owned())).collect()
    }

    /// Who is removed when these are absent at these seconds, by second.
    fn removed(state: &DesiredState, course: &[(u64, &[&str])]) -> Vec<(u64, String)> {
        let start = Instant::now();
        let mut absences = Absences::default();
        let mut removed = Vec::new();
        for (second, absent) in course {
            let now = start + Duration::from_secs(*second);
            let gone = absences.longer_than(LIMIT, &ids(absent), state, now);
            removed.extend(gone.into_iter().map(|id| (*second, id.0)));
        }
        removed
    }

    #[test]
    fn only_who_is_absent_all_the_time_is_gone() {
        let (one, other) = ("shop/a/1", "shop/a/2");
        let state = mesh(&[one, other, "shop/a/3"]);
        let course: [(u64, &[&str]); 4] =
            [(0, &[one, other]), (30, &[one]), (59, &[one, other]), (60, &[one, other])];
        assert_eq!(removed(&state, &course), [(60, one.to_owned())]);
    }

    #[test]
    fn the_last_replicas_of_a_service_stay_and_have_their_time_when_the_first_is_back() {
        let state = mesh(&["shop/a/1", "shop/a/2", "shop/b/1", "shop/client/1"]);
        let all: &[&str] = &["shop/a/1", "shop/a/2", "shop/client/1"];
        let course = [
            (0, all),
            (60, all),
            (600, all),
            (601, &["shop/a/2"]),
            (660, &["shop/a/2"]),
            (661, &["shop/a/2"]),
        ];
        let gone = removed(&state, &course);
        let client = |second| (second, "shop/client/1".to_owned());
        assert_eq!(gone, [client(60), client(600), (661, "shop/a/2".to_owned())]);
    }

    #[test]
    fn the_last_endpoint_stays_though_another_replica_is_connected_that_is_not_ready() {
        let mut state = mesh(&["shop/a/1", "shop/a/2", "shop/a/3"]);
        let mut set = |name: &str, readiness| {
            let id = ProxyId(name.to_owned());
            let proxy = ProxyRegistration { readiness, ..(**state.proxies.get(&id).unwrap()).clone() };
            state.proxies.insert(id, Arc::new(proxy));
        };
        set("shop/a/2", Readiness::Starting);
        let silent = Readiness::Silent { since: Timestamp::UNIX_EPOCH };
        set("shop/a/3", silent);
        let gone = |absent: &[&str]| removed(&state, &[(0, absent), (60, absent)]);
        assert_eq!(gone(&["shop/a/1"]), [], "those that are connected are not as ready");
        assert_eq!(gone(&["shop/a/3"]).len(), 1, "another one is ready");
        assert_eq!(gone(&["shop/a/1", "shop/a/3"]), []);
        let all: &[&str] = &["shop/a/1", "shop/a/2", "shop/a/3"];
        assert_eq!(gone(all), [(60, "shop/a/2".to_owned())], "who was never ready is no endpoint");
    }

    #[test]
    fn nobody_goes_while_most_of_the_mesh_is_absent() {
        let names: Vec<String> = (0..2 * MANY)
            .map(|number| format!("shop/{}/{number}", if number % 2 == 0 { "a" } else { "client" }))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let state = mesh(&names);
        let (most, few) = (names.get(..MANY + 1).unwrap_or_default(), names.get(..MANY).unwrap_or_default());
        assert_eq!(removed(&state, &[(0, most), (100, most)]), []);
        assert_eq!(removed(&state, &[(0, few), (100, few)]).len(), MANY);
        assert_eq!(removed(&state, &[(0, most), (100, few), (159, few)]), []);
    }
}
