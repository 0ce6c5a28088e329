//! From the desired state of the mesh to the snapshots of the proxies that a change concerns.
//!
//! ```text
//!  what changed --+-- policies ------> workloads that they are about --> programs, once per distinct one --+
//!                 |                                                                                         |
//!                 +-- proxies --+----> listeners, routes, clusters of those                                 v
//!                               +----> endpoints of their services --> who calls those --------> FleetChange
//!                               '----> how many they are of each ----> who shares its limits -----^
//! ```
//!
//! What [`Reconciler::take_in`] gives follows from the desired state: what the reconciler remembers only saves work,
//! and keeps the last good policy of a workload whose policies can no longer be made into one.

mod attached;
mod calls;
mod filters;
mod groups;
mod plumbing;
mod sharing;
mod staged;
#[cfg(test)]
mod tests;

pub use staged::Staged;

use crate::delivery::acks::AckBoard;
use crate::delivery::envoy::{ConnectionLife, INBOUND, INBOUND_POLICY, evicted};
use crate::delivery::fleet::{Fleet, FleetChange};
use crate::delivery::snapshot::{Resource, ResourceType, Snapshot};
use crate::mesh::identity::evictions::Serial;
use crate::mesh::model::{DesiredState, Labels, ProxyId, ProxyRegistration, Readiness};
use crate::mesh::store::{Changes, Step};
use crate::policies::effort::Effort;
use crate::policies::in_force::{Current, InForce};
use crate::policies::population::workload;
use crate::policies::programs::Programs;
use attached::Attached;
use calls::{Calls, Leading, Led};
use chancery_policy_lang::checked::{Destination, Direction, ServiceRef, Target};
use chancery_policy_lang::link::{LinkedSettings, covers};
use chancery_policy_lang::log::LogKey;
use filters::{Filter, Filters};
use plumbing::Plumbing;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Makes snapshots, and knows what was made.
#[derive(Clone, Debug)]
pub struct Reconciler {
    tools: Tools,
    /// What the snapshots are made of; `None` before the first ones.
    known: Option<Arc<InForce>>,
    plumbing: Plumbing,
    filters: Filters,
    attached: Attached,
    calls: Calls,
    /// Why what proxies get is not what the policies state, of those of which it is not.
    problems: BTreeMap<ProxyId, Problems>,
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
#[derive(Clone, Debug)]
struct Evicted {
    serials: Arc<[Serial]>,
    resource: Arc<Resource>,
}

/// Why what a proxy gets is not what the policies state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Problems {
    /// Of what comes in.
    inbound: Option<String>,
    /// Of what goes out.
    outbound: Vec<String>,
    /// Of the filters of others.
    attached: Option<String>,
}

/// What a proxy gets that has something already.
#[derive(Debug, Default)]
struct News {
    /// Because of a change of endpoints, or because somebody was evicted.
    resources: Vec<Arc<Resource>>,
    /// Because of a change of policies.
    filter: Option<Filter>,
    /// The services to which it calls otherwise, because of a change of policies.
    calls: Vec<ServiceRef>,
}

impl Reconciler {
    /// One that has made nothing yet.
    #[must_use]
    pub fn new(tools: Tools) -> Self {
        let filters = Filters::new(tools.programs.clone(), tools.log_key);
        let calls = Calls::new(tools.programs.clone(), tools.log_key);
        let effort = Effort::unless(tools.stop.clone());
        let attached = Attached::new(tools.programs.clone(), tools.log_key, effort);
        let evicted = Evicted::new(Arc::default());
        Self {
            tools,
            known: None,
            plumbing: Plumbing::default(),
            filters,
            attached,
            calls,
            problems: BTreeMap::new(),
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
        for (id, filter) in self.filters.recount(&moved, &self.plumbing) {
            news.entry(id).or_default().resources.push(filter);
        }
        for service in moved {
            for (endpoints, callers) in self.plumbing.callers(&service) {
                for caller in callers {
                    news.entry(caller.clone()).or_default().resources.push(endpoints.clone());
                }
            }
        }
        for id in self.take_in_evicted() {
            news.entry(id).or_default().resources.push(self.evicted.resource.clone());
        }
        let targets = targets(&before, &in_force, &changes);
        for (id, filter) in self.filters.change(&in_force, &targets.to, &self.plumbing, &effort) {
            news.entry(id).or_default().filter = Some(filter);
        }
        for (id, services) in self.calls.change(&in_force, &targets, &effort) {
            news.entry(id).or_default().calls = services;
        }
        for (id, service) in self.change_settings(&in_force, &targets.to) {
            news.entry(id).or_default().calls.push(service);
        }

        // Their listeners are others, so all of it is made anew.
        let mut anew = self.attached.change(&in_force, targets.to.iter().chain(&targets.from));

        let mut change = FleetChange { revision: state.revision, is_whole, ..FleetChange::default() };
        for (id, step) in &changes.proxies {
            if is_of_readiness(step) {
                continue;
            }
            let Step { after, .. } = step;
            news.remove(id);
            anew.remove(id);
            match after {
                Some(proxy) => {
                    let snapshot = self.snapshot(&in_force, proxy, &effort);
                    change.given.insert(id.clone(), Arc::new(snapshot));
                }
                None => {
                    self.snapshots.remove(id);
                    self.problems.remove(id);
                    change.gone.insert(id.clone());
                }
            }
        }
        for id in anew {
            news.remove(&id);
            let Some(proxy) = state.proxies.get(&id) else { continue };
            let snapshot = self.snapshot(&in_force, proxy, &effort);
            change.given.insert(id, Arc::new(snapshot));
        }
        for (id, news) in news {
            let Some(snapshot) = self.snapshots.get(&id).cloned() else { continue };
            let snapshot = self.renewed(&id, &snapshot, news, &in_force);
            change.given.insert(id, Arc::new(snapshot));
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
                    self.attached.remove(before);
                    self.calls.remove(before);
                    self.plumbing.lead(&before.id, BTreeMap::new());
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
        self.calls.add(in_force, proxy, effort);
        let attachments = self.attached.add(in_force, proxy);
        self.lead(proxy);
        self.settle(in_force, proxy);
        let resources = self.plumbing.of_proxy(proxy, &attachments);
        let mut snapshot = Snapshot::new(in_force.state.revision, resources);
        attachments.resources(proxy).for_each(|resource| snapshot.put(resource.clone()));
        let mut problems = Problems { attached: attachments.problem.clone(), ..Problems::default() };
        if proxy.inbound.is_some() {
            snapshot.put(self.evicted.resource.clone());
            problems.inbound =
                put_filter(&mut snapshot, self.filters.add(in_force, proxy, &self.plumbing, effort));
        }
        for leading in self.leading(proxy) {
            leading.resources.iter().for_each(|resource| snapshot.put(resource.clone()));
            problems.outbound.extend(leading.problem.clone());
        }
        self.put_problems(&mut snapshot, &proxy.id, problems);
        snapshot
    }

    /// What a sidecar gets for each service that it calls.
    fn leading<'a>(&'a self, proxy: &'a ProxyRegistration) -> impl Iterator<Item = &'a Leading> {
        let services: BTreeSet<&ServiceRef> =
            proxy.outbounds.iter().map(|outbound| &outbound.service).collect();
        services.into_iter().filter_map(|service| self.calls.of(service, proxy))
    }

    /// Finds out how the replicas are treated of all services to which requests of a sidecar go, of which that is not
    /// known yet.
    fn settle(&mut self, in_force: &InForce, proxy: &ProxyRegistration) {
        let led = self.leading(proxy).flat_map(|leading| leading.destinations.keys()).map(|to| &to.service);
        let stated = proxy.outbounds.iter().map(|outbound| &outbound.service);
        let of_filters = self.attached.of(proxy).into_iter().flat_map(|attached| attached.calls(proxy));
        let of_filters = of_filters.map(|to| &to.service);
        let services: BTreeSet<ServiceRef> = stated.chain(led).chain(of_filters).cloned().collect();
        for service in
            services.iter().filter(|service| !self.plumbing.is_settled(service)).collect::<Vec<_>>()
        {
            if let Some(settings) = settings(in_force, service) {
                self.plumbing.settle(service, settings);
            }
        }
    }

    /// Takes in that policies changed which are about these targets: gives the sidecars that treat a service otherwise.
    fn change_settings(
        &mut self,
        in_force: &InForce,
        targets: &BTreeSet<Target>,
    ) -> Vec<(ProxyId, ServiceRef)> {
        let is_about = |service: &&ServiceRef| {
            let callee = workload(service, &Labels::default(), &in_force.state.trust_domain);
            targets.iter().any(|target| covers(target, &callee).is_some())
        };
        let concerned: Vec<ServiceRef> = self.plumbing.settled().filter(is_about).cloned().collect();
        let mut changed = Vec::new();
        for service in concerned {
            // What cannot be made stays as it is; the problem is that of the programs, too.
            let Some(settings) = settings(in_force, &service) else { continue };
            let told = self.plumbing.settle(&service, settings);
            changed.extend(told.into_iter().map(|id| (id, service.clone())));
        }
        changed
    }

    /// Takes in to whom the requests of a sidecar go, beside the services that it states.
    fn lead(&mut self, proxy: &ProxyRegistration) {
        let is_stated = |to: &Destination| {
            to.version.is_none() && proxy.outbounds.iter().any(|outbound| outbound.service == to.service)
        };
        let mut led = Led::new();
        for (to, by) in self.leading(proxy).flat_map(|leading| leading.destinations.iter()) {
            if !is_stated(to) {
                led.entry(to.clone()).or_default().extend(by.iter().cloned());
            }
        }
        let of_filters = self.attached.of(proxy).into_iter().flat_map(|attached| attached.calls(proxy));
        for to in of_filters.filter(|to| !is_stated(to)) {
            led.entry(to.clone()).or_default();
        }
        self.plumbing.lead(&proxy.id, led);
    }

    /// A snapshot with what is new. A change of endpoints makes no other revision of it: the policies are the same.
    fn renewed(&mut self, id: &ProxyId, snapshot: &Snapshot, news: News, in_force: &InForce) -> Snapshot {
        let state = &in_force.state;
        let mut snapshot = snapshot.clone();
        for resource in news.resources {
            snapshot.put(resource);
        }
        let mut problems = self.problems.get(id).cloned().unwrap_or_default();
        if let Some(filter) = news.filter {
            snapshot.revision = state.revision;
            problems.inbound = put_filter(&mut snapshot, filter);
        }
        if let Some(proxy) = state.proxies.get(id).filter(|_| !news.calls.is_empty()) {
            snapshot.revision = state.revision;
            self.put_calls(in_force, &mut snapshot, proxy);
            problems.outbound = self.leading(proxy).filter_map(|leading| leading.problem.clone()).collect();
        }
        self.put_problems(&mut snapshot, id, problems);
        snapshot
    }

    /// Puts what a sidecar does with its requests into its snapshot, and takes out where none goes any more.
    fn put_calls(&mut self, in_force: &InForce, snapshot: &mut Snapshot, proxy: &ProxyRegistration) {
        let before = self.plumbing.ways_led(&proxy.id);
        self.lead(proxy);
        self.settle(in_force, proxy);
        for resource in before {
            snapshot.take(resource.kind, &resource.name);
        }
        for resource in self.plumbing.of_destinations(proxy) {
            snapshot.put(resource);
        }
        let resources: Vec<Arc<Resource>> =
            self.leading(proxy).flat_map(|leading| leading.resources.iter().cloned()).collect();
        resources.into_iter().for_each(|resource| snapshot.put(resource));
    }

    fn put_problems(&mut self, snapshot: &mut Snapshot, id: &ProxyId, problems: Problems) {
        // What is wrong with all policies stands in the way of both.
        let attached = problems.attached.iter().filter(|problem| problems.inbound.as_ref() != Some(problem));
        snapshot.problems =
            problems.inbound.iter().chain(&problems.outbound).chain(attached).cloned().collect();
        if problems == Problems::default() {
            self.problems.remove(id);
        } else {
            self.problems.insert(id.clone(), problems);
        }
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

/// What policies are about that say something else now.
#[derive(Debug, Default)]
struct Targets {
    /// Those that requests go to.
    to: BTreeSet<Target>,
    /// Those that send them.
    from: BTreeSet<Target>,
}

/// The targets of policies that say something else now, or are in force or not any more.
fn targets(before: &InForce, now: &InForce, changes: &Changes) -> Targets {
    if before.policies.problem() != now.policies.problem() {
        return Targets { to: [Target::Mesh].into(), from: [Target::Mesh].into() };
    }
    let mut targets = Targets::default();
    for name in changes.policies.keys() {
        let both = [before.policies.get(name), now.policies.get(name)];
        if let [Some(before), Some(now)] = both
            && before.digest == now.digest
        {
            continue;
        }
        let felt = [before, now].into_iter().flat_map(|set| set.policies.felt_at(name));
        for scope in felt {
            let those = match scope.direction {
                Direction::Inbound => &mut targets.to,
                Direction::Outbound => &mut targets.from,
            };
            those.insert(scope.target.clone());
        }
    }
    targets
}

/// How callers treat the replicas of a service, by the policies in force; `None` if these contradict each other.
fn settings(in_force: &InForce, service: &ServiceRef) -> Option<LinkedSettings> {
    let callee = workload(service, &Labels::default(), &in_force.state.trust_domain);
    match Programs::settings(&in_force.policies, &callee) {
        Ok(settings) => Some(settings),
        Err(error) => {
            let (namespace, name) = (&service.namespace, &service.name);
            tracing::error!(namespace, service = name, %error, "how callers treat its replicas stays as it is");
            None
        }
    }
}

/// Puts a filter into a snapshot; gives why it is not what the policies state.
fn put_filter(snapshot: &mut Snapshot, Filter { resource, route, problem, .. }: Filter) -> Option<String> {
    snapshot.put(route);
    snapshot.unmade.remove(&ResourceType::Extension);
    match resource {
        Some(resource) => snapshot.put(resource),
        None => {
            snapshot.unmade.insert(ResourceType::Extension, [INBOUND_POLICY.to_owned()].into());
        }
    }
    problem
}

/// Follows the desired state and evictions, and publishes what changes; of states that come while one is taken in only the newest is.
pub async fn follow(
    tools: Tools,
    mut states: watch::Receiver<Arc<DesiredState>>,
    fleet: Arc<Fleet>,
    board: Arc<AckBoard>,
) {
    let mut reconciler = Staged::new(tools.clone());
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
                reconciler = Staged::new(tools.clone());
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
