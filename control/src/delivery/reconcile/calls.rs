//! What callers' sidecars do: made for each pair of a caller and a service that it calls, and made again where a policy
//! of that service changed.

use super::Targets;
use super::filters::newest;
use super::groups::{Groups, MadeOnce};
use crate::delivery::envoy::shown::Shown;
use crate::delivery::envoy::{extension, route};
use crate::delivery::snapshot::Resource;
use crate::mesh::model::{Labels, ProxyId, ProxyRegistration};
use crate::policies::call_programs::CallProgram;
use crate::policies::effort::Effort;
use crate::policies::in_force::InForce;
use crate::policies::population::workload;
use crate::policies::programs::Programs;
use chancery_policy_lang::checked::{Balance, Destination, ServiceRef, Target};
use chancery_policy_lang::link::{covers, hidden};
use chancery_policy_lang::linked::Workload;
use chancery_policy_lang::log::LogKey;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};

/// Where requests are led, each with the statements that lead there.
pub(super) type Led = BTreeMap<Destination, BTreeSet<Arc<str>>>;

/// What the sidecars of a caller get for one of the services that it calls.
#[derive(Clone, Debug)]
pub(super) struct Leading {
    /// The extension that decides, and the routes: of the policies as they are, or the last good ones if there is a
    /// problem.
    pub(super) resources: Arc<[Arc<Resource>; 2]>,
    /// Where requests go, beside the service itself.
    pub(super) destinations: Arc<Led>,
    /// Why the policies cannot be made into these.
    pub(super) problem: Option<String>,
}

/// All pairs of callers and services.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    programs: Arc<Programs>,
    log_key: LogKey,
    pairs: Groups<Caller, Leading>,
    made: MadeOnce<Key, [Arc<Resource>; 2]>,
}

/// Sidecars of which the same is said: those of a service that have the same labels.
type Caller = (ServiceRef, Labels);

/// Of what resources are made: the service, its program, by which header replicas are told apart, and what lines show.
type Key = (ServiceRef, KnownProgram, Option<Arc<str>>, Shown);

/// A program by its place, which no other one gets while this is kept.
#[derive(Clone, Debug)]
struct KnownProgram(Weak<CallProgram>);

impl PartialEq for KnownProgram {
    fn eq(&self, other: &Self) -> bool {
        self.0.ptr_eq(&other.0)
    }
}

impl Eq for KnownProgram {}

impl Hash for KnownProgram {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_ptr().hash(state);
    }
}

impl Calls {
    pub(super) fn new(programs: Arc<Programs>, log_key: LogKey) -> Self {
        Self { programs, log_key, pairs: Groups::default(), made: MadeOnce::default() }
    }

    /// Takes in that policies changed which are about these targets, be it as services that are called or as callers:
    /// gives the sidecars that get something else, each with the services that it is about.
    pub(super) fn change(
        &mut self,
        in_force: &InForce,
        targets: &Targets,
        effort: &Effort,
    ) -> BTreeMap<ProxyId, Vec<ServiceRef>> {
        let mut changed: BTreeMap<ProxyId, Vec<ServiceRef>> = BTreeMap::new();
        for (service, caller) in self.concerned(in_force, targets) {
            let Some(before) = self.pairs.get(&service, &caller).cloned() else { continue };
            let leading = self.make(in_force, &service, &caller, Some(&before), effort);
            let Some(group) = self.pairs.group(&service, &caller) else { continue };
            let same = before.resources == leading.resources && before.problem == leading.problem;
            group.gets = leading;
            if !same {
                for id in &group.ids {
                    changed.entry(id.clone()).or_default().push(service.clone());
                }
            }
        }
        changed
    }

    /// The services and their callers that targets are about.
    fn concerned(&self, in_force: &InForce, targets: &Targets) -> Vec<(ServiceRef, Caller)> {
        let is_one = |targets: &BTreeSet<Target>, workload: &Workload| {
            targets.iter().any(|target| covers(target, workload).is_some())
        };
        let mut concerned = Vec::new();
        for (service, callers) in self.pairs.by_service() {
            let callee = callee(service, in_force);
            // What is redacted of requests to some workloads of the service is told to all callers.
            let of_some = |target: &Target| matches!(target, Target::Workload { namespace, .. } if *namespace == service.namespace);
            let all = is_one(&targets.to, &callee) || targets.to.iter().any(of_some);
            if !all && targets.from.is_empty() {
                continue;
            }
            let those =
                callers.keys().filter(|caller| all || is_one(&targets.from, &sender(caller, in_force)));
            concerned.extend(those.map(|caller| (service.clone(), caller.clone())));
        }
        concerned
    }

    /// Takes in a sidecar.
    pub(super) fn add(&mut self, in_force: &InForce, proxy: &ProxyRegistration, effort: &Effort) {
        let services: BTreeSet<&ServiceRef> =
            proxy.outbounds.iter().map(|outbound| &outbound.service).collect();
        for service in services {
            let caller = caller_of(proxy);
            if self.pairs.join(service, &caller, &proxy.id).is_none() {
                let leading = self.make(in_force, service, &caller, None, effort);
                self.pairs.begin(service, caller, leading, &proxy.id);
            }
        }
    }

    /// Forgets a sidecar.
    pub(super) fn remove(&mut self, proxy: &ProxyRegistration) {
        let caller = caller_of(proxy);
        for outbound in &proxy.outbounds {
            self.pairs.leave(&outbound.service, &caller, &proxy.id);
        }
    }

    /// What a sidecar gets for a service.
    pub(super) fn of(&self, service: &ServiceRef, proxy: &ProxyRegistration) -> Option<&Leading> {
        self.pairs.get(service, &caller_of(proxy))
    }

    fn make(
        &mut self,
        in_force: &InForce,
        service: &ServiceRef,
        caller: &Caller,
        last_good: Option<&Leading>,
        effort: &Effort,
    ) -> Leading {
        let made = match in_force.policies.problem() {
            Some(problem) => Err(problem.to_owned()),
            None => {
                let workload = callee(service, in_force);
                let sender = sender(caller, in_force);
                let made = self.programs.calls(&in_force.policies, &workload, &sender, effort);
                let settings = Programs::settings(&in_force.policies, &workload);
                let both = made.and_then(|made| Ok((made, settings?)));
                both.map_err(|error| error.to_string())
            }
        };
        match made {
            Ok((program, settings)) => {
                let hashed = match settings.balance {
                    Some(Balance::RingHash(header) | Balance::Maglev(header)) => Some(header),
                    _ => None,
                };
                let shown = shown(in_force, service, caller);
                let resources = self.resources(service, program.as_ref(), hashed, shown);
                let destinations = Arc::new(destinations(program.as_deref(), service));
                Leading { resources, destinations, problem: None }
            }
            Err(problem) => {
                let (namespace, name) = (&service.namespace, &service.name);
                tracing::error!(namespace, service = name, problem, "what callers do stays as it is");
                let leading = match last_good {
                    Some(last_good) => last_good.clone(),
                    // Without policies of its own a caller may call: whether it is let in the service's own sidecar
                    // decides. Else who knows what they would have denied.
                    None => {
                        let is_free = in_force.policies.problem().is_none()
                            && in_force.policies.leaving(&sender(caller, in_force)).is_empty();
                        let shown = shown(in_force, service, caller);
                        let resources = match is_free {
                            true => self.resources(service, None, None, shown),
                            false => closed(service, &shown),
                        };
                        Leading { resources, destinations: Arc::default(), problem: None }
                    }
                };
                Leading { problem: Some(problem), ..leading }
            }
        }
    }

    fn resources(
        &mut self,
        service: &ServiceRef,
        program: Option<&Arc<CallProgram>>,
        hashed: Option<Arc<str>>,
        shown: Shown,
    ) -> Arc<[Arc<Resource>; 2]> {
        let known = KnownProgram(program.map(Arc::downgrade).unwrap_or_default());
        let key = (service.clone(), known, hashed.clone(), shown.clone());
        if let Some(made) = self.made.get(&key) {
            return made;
        }
        let program = program.map(Arc::as_ref);
        let extension = match program.and_then(|program| program.module.as_ref()) {
            Some(module) => extension::steering(service, module, self.log_key),
            None => extension::undecided(service),
        };
        let route = route::outbound(service, program, hashed.as_deref(), &shown);
        let made = Arc::new([Arc::new(extension), Arc::new(route)]);
        self.made.keep(key, &made);
        made
    }
}

/// The workload that what callers of a service do is linked for: which replica it will be is not known.
fn callee(service: &ServiceRef, in_force: &InForce) -> chancery_policy_lang::linked::Workload {
    workload(service, &Labels::default(), &in_force.state.trust_domain)
}

/// The workload whose requests to a service are meant.
fn sender((service, labels): &Caller, in_force: &InForce) -> Workload {
    workload(service, labels, &in_force.state.trust_domain)
}

fn caller_of(proxy: &ProxyRegistration) -> Caller {
    (proxy.service.clone(), proxy.labels.clone())
}

/// What a caller gets for a service to which it may send nothing.
fn closed(service: &ServiceRef, shown: &Shown) -> Arc<[Arc<Resource>; 2]> {
    Arc::new([Arc::new(extension::closed(service)), Arc::new(route::outbound(service, None, None, shown))])
}

/// What lines show of requests of a caller to a service: nothing that the service or the caller redacts.
fn shown(in_force: &InForce, service: &ServiceRef, caller: &Caller) -> Shown {
    let felt =
        Programs::felt_by_calls(&in_force.policies, &callee(service, in_force), &sender(caller, in_force));
    let policies = || felt.iter().map(|policy| &policy.policy);
    Shown { revision: newest(in_force, policies()), hidden: hidden(policies()) }
}

/// Where requests go, beside the service that is called.
fn destinations(program: Option<&CallProgram>, service: &ServiceRef) -> Led {
    let mut led = program.map(|program| program.table.destinations.clone()).unwrap_or_default();
    led.remove(&Destination { service: service.clone(), version: None });
    led
}
