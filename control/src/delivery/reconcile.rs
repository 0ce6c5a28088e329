//! From the desired state of the mesh to the snapshots of the proxies that a change concerns.
//!
//! ```text
//!  what changed --+-- policies ------> workloads that they are about --> programs, once per distinct one --+
//!                 |                                                                                         |
//!                 +-- proxies --+----> listeners, routes, clusters of those                                 v
//!                               '----> endpoints of their services --> who calls those --------> FleetChange
//! ```
//!
//! What [`Reconciler::take_in`] gives follows from the desired state: what the reconciler remembers only saves work,
//! and keeps the last good policy of a workload whose policies can no longer be made into one.

mod filters;
mod plumbing;
#[cfg(test)]
mod tests;

use crate::delivery::acks::AckBoard;
use crate::delivery::envoy::{ConnectionLife, INBOUND, INBOUND_POLICY, evicted};
use crate::delivery::fleet::{Fleet, FleetChange};
use crate::delivery::snapshot::{Resource, ResourceType, Snapshot};
use crate::mesh::identity::evictions::Serial;
use crate::mesh::model::{DesiredState, ProxyId, ProxyRegistration, Readiness, Revision};
use crate::mesh::store::{Changes, Step};
use crate::policies::effort::Effort;
use crate::policies::in_force::{Current, InForce};
use crate::policies::programs::Programs;
use chancery_policy_lang::checked::{ServiceRef, Target};
use chancery_policy_lang::log::LogKey;
use filters::{Filter, Filters};
use plumbing::Plumbing;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Makes snapshots, and knows what was made.
#[derive(Debug)]
pub struct Reconciler {
    tools: Tools,
    /// What the snapshots are made of; `None` before the first ones.
    known: Option<Arc<InForce>>,
    plumbing: Plumbing,
    filters: Filters,
    evicted: Evicted,
    snapshots: BTreeMap<ProxyId, Arc<Snapshot>>,
}

/// What a reconciler shares with others.
#[derive(Clone, Debug)]
pub struct Tools {
    /// What is known of the policies in force.
    pub in_force: Arc<Current>,
    /// The programs of workloads.
    pub programs: Arc<Programs>,
    /// How long connections between sidecars are used.
    pub life: ConnectionLife,
    /// Who was evicted.
    pub evicted: watch::Receiver<Arc<[Serial]>>,
    /// By what values are hashed in logs.
    pub log_key: LogKey,
    /// Ends work that nobody needs any more.
    pub stop: CancellationToken,
}

/// Who was evicted, and the configuration that says so.
#[derive(Debug)]
struct Evicted {
    serials: Arc<[Serial]>,
    resource: Arc<Resource>,
}

/// What a proxy gets that has something already.
#[derive(Debug, Default)]
struct News {
    /// Because of a change of endpoints, or because somebody was evicted.
    resources: Vec<Arc<Resource>>,
    /// Because of a change of policies.
    filter: Option<Filter>,
}

impl Reconciler {
    /// One that has made nothing yet.
    #[must_use]
    pub fn new(tools: Tools) -> Self {
        let filters = Filters::new(tools.programs.clone(), tools.log_key);
        let evicted = Evicted::new(Arc::default());
        Self {
            tools,
            known: None,
            plumbing: Plumbing::default(),
            filters,
            evicted,
            snapshots: BTreeMap::new(),
        }
    }

    /// Takes in a state, and who was evicted: gives the snapshots that are others now than before.
    pub fn take_in(&mut self, state: &Arc<DesiredState>) -> FleetChange {
        let effort = Effort::unless(self.tools.stop.clone());
        let in_force = self.tools.in_force.at(state);
        let before = self.known.replace(in_force.clone());
        let is_whole = before.is_none();
        if is_whole {
            self.plumbing = Plumbing::new(&state.trust_domain, self.tools.life);
        }
        let before = before.unwrap_or_default();
        let changes = Changes::between(&before.state, state);

        let mut news: BTreeMap<ProxyId, News> = BTreeMap::new();
        let mut moved = BTreeSet::new();
        self.take_in_addresses(&changes, &mut moved);
        for service in moved {
            let Some((endpoints, callers)) = self.plumbing.callers(&service) else { continue };
            for caller in callers {
                news.entry(caller.clone()).or_default().resources.push(endpoints.clone());
            }
        }
        for id in self.take_in_evicted() {
            news.entry(id).or_default().resources.push(self.evicted.resource.clone());
        }
        let targets = targets(&before, &in_force, &changes);
        for (id, filter) in self.filters.change(&in_force, &targets, &effort) {
            news.entry(id).or_default().filter = Some(filter);
        }

        let mut change = FleetChange { revision: state.revision, is_whole, ..FleetChange::default() };
        for (id, step) in &changes.proxies {
            if is_of_readiness(step) {
                continue;
            }
            let Step { after, .. } = step;
            news.remove(id);
            match after {
                Some(proxy) => {
                    let snapshot = self.snapshot(&in_force, proxy, &effort);
                    change.given.insert(id.clone(), Arc::new(snapshot));
                }
                None => {
                    self.snapshots.remove(id);
                    change.gone.insert(id.clone());
                }
            }
        }
        for (id, news) in news {
            let Some(snapshot) = self.snapshots.get(&id) else { continue };
            change.given.insert(id, Arc::new(renewed(snapshot, news, state.revision)));
        }
        self.snapshots.extend(change.given.iter().map(|(id, snapshot)| (id.clone(), snapshot.clone())));
        change
    }

    /// Takes in where proxies are and whom they call; `moved` gets the services whose replicas are elsewhere now.
    fn take_in_addresses(&mut self, changes: &Changes, moved: &mut BTreeSet<ServiceRef>) {
        for step in changes.proxies.values() {
            if let Some(before) = &step.before {
                self.plumbing.remove(before, moved);
                if !is_of_readiness(step) {
                    self.filters.remove(before);
                }
            }
            if let Some(after) = &step.after {
                self.plumbing.add(after, moved);
            }
        }
    }

    /// Takes in who was evicted; gives the proxies that have to be told: all that others can reach.
    fn take_in_evicted(&mut self) -> Vec<ProxyId> {
        let serials = self.tools.evicted.borrow().clone();
        if serials == self.evicted.serials {
            return Vec::new();
        }
        self.evicted = Evicted::new(serials);
        let is_reached = |snapshot: &Snapshot| snapshot.of(ResourceType::Listener).contains(INBOUND);
        let reached = self.snapshots.iter().filter(|(_, snapshot)| is_reached(snapshot));
        reached.map(|(id, _)| id.clone()).collect()
    }

    fn snapshot(&mut self, in_force: &InForce, proxy: &ProxyRegistration, effort: &Effort) -> Snapshot {
        let resources = self.plumbing.of_proxy(proxy);
        let mut snapshot = Snapshot::new(in_force.state.revision, resources);
        if proxy.inbound.is_some() {
            snapshot.put(self.evicted.resource.clone());
            put_filter(&mut snapshot, self.filters.add(in_force, proxy, effort));
        }
        snapshot
    }
}

/// Whether nothing changed but how ready a replica is: which its callers are told, and itself not.
fn is_of_readiness(step: &Step<Arc<ProxyRegistration>>) -> bool {
    let Step { before: Some(before), after: Some(after) } = step else { return false };
    let leave_out =
        |proxy: &ProxyRegistration| ProxyRegistration { readiness: Readiness::Ready, ..proxy.clone() };
    before.readiness != after.readiness && leave_out(before) == leave_out(after)
}

impl Evicted {
    fn new(serials: Arc<[Serial]>) -> Self {
        let resource = Arc::new(evicted::resource(&serials));
        Self { serials, resource }
    }
}

/// The targets of policies that say something else now, or are in force or not any more.
fn targets(before: &InForce, now: &InForce, changes: &Changes) -> BTreeSet<Target> {
    if before.policies.problem() != now.policies.problem() {
        return [Target::Mesh].into();
    }
    let mut targets = BTreeSet::new();
    for name in changes.policies.keys() {
        let both = [before.policies.get(name), now.policies.get(name)];
        if let [Some(before), Some(now)] = both
            && before.digest == now.digest
        {
            continue;
        }
        let scopes = both.into_iter().flatten().flat_map(|policy| &policy.policy.targets);
        targets.extend(scopes.map(|scope| scope.target.clone()));
    }
    targets
}

/// A snapshot with what is new. A change of endpoints makes no other revision of it: the policies are the same.
fn renewed(snapshot: &Snapshot, news: News, revision: Revision) -> Snapshot {
    let mut snapshot = snapshot.clone();
    for resource in news.resources {
        snapshot.put(resource);
    }
    if let Some(filter) = news.filter {
        snapshot.revision = revision;
        put_filter(&mut snapshot, filter);
    }
    snapshot
}

fn put_filter(snapshot: &mut Snapshot, Filter { resource, problem }: Filter) {
    snapshot.unmade.remove(&ResourceType::Extension);
    match resource {
        Some(resource) => snapshot.put(resource),
        None => {
            snapshot.unmade.insert(ResourceType::Extension, [INBOUND_POLICY.to_owned()].into());
        }
    }
    snapshot.problems = problem.into_iter().collect();
}

/// Follows the desired state and evictions, and publishes what changes; of states that come while one is taken in only the newest is.
pub async fn follow(
    tools: Tools,
    mut states: watch::Receiver<Arc<DesiredState>>,
    fleet: Arc<Fleet>,
    board: Arc<AckBoard>,
) {
    let mut reconciler = Reconciler::new(tools.clone());
    let mut evicted = tools.evicted.clone();
    loop {
        evicted.mark_unchanged();
        let state = states.borrow_and_update().clone();
        let begun = Instant::now();
        // Thousands of rules take a second to compile: not on a thread that serves streams.
        let taken_in = tokio::task::spawn_blocking(move || {
            let change = reconciler.take_in(&state);
            (reconciler, change)
        });
        match taken_in.await {
            Ok((kept, change)) => {
                reconciler = kept;
                tracing::info!(
                    revision = change.revision.0,
                    proxies = change.given.len(),
                    gone = change.gone.len(),
                    elapsed_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
                    "built the configuration of proxies"
                );
                board.expect(&change);
                fleet.publish(change);
            }
            Err(error) => {
                tracing::error!(%error, "the configuration of the proxies could not be built; it stays as it is");
                reconciler = Reconciler::new(tools.clone());
            }
        }
        let is_news = tokio::select! {
            changed = states.changed() => changed.is_ok(),
            changed = evicted.changed() => changed.is_ok(),
        };
        if !is_news {
            return;
        }
    }
}
