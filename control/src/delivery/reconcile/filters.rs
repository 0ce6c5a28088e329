//! The filter of each workload: made again where a policy that concerns it changed, and once for all that have the
//! same program.

use super::plumbing::Plumbing;
use super::sharing::Sharing;
use crate::delivery::envoy::shown::Shown;
use crate::delivery::envoy::{extension, route};
use crate::delivery::snapshot::Resource;
use crate::mesh::model::{Labels, ProxyId, ProxyRegistration, Revision};
use crate::policies::effort::Effort;
use crate::policies::in_force::InForce;
use crate::policies::population::workload;
use crate::policies::programs::Programs;
use chancery_policy_lang::checked::{CheckedPolicy, ServiceRef, Target};
use chancery_policy_lang::link::hidden;
use chancery_policy_lang::linked::Workload;
use chancery_policy_lang::log::LogKey;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Weak};

/// Made resources that are looked through for those that nobody needs any more, at least.
pub(super) const SWEPT_MIN: usize = 64;

/// What the sidecars of a workload get.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    /// The filter: of the policies as they are, or the last good one if there is a problem; `None`
    /// if there is a problem and this process has not seen a good one.
    pub(super) resource: Option<Arc<Resource>>,
    /// The routes of what comes in, with what pages of other origins are told: as above, and if there is no good
    /// one, with nothing said to them.
    pub(super) route: Arc<Resource>,
    /// Why the policies cannot be made into a filter.
    pub(super) problem: Option<String>,
    /// What is told again when replicas come and go.
    sharing: Option<Arc<Sharing>>,
}

/// What lines show of requests to a workload.
fn shown(in_force: &InForce, workload: &Workload) -> Shown {
    let concerning = in_force.policies.concerning(workload);
    let policies = || concerning.iter().map(|(policy, _)| &policy.policy);
    Shown { revision: newest(in_force, policies()), hidden: hidden(policies()) }
}

/// The newest of the revisions in which policies got their present texts.
pub(super) fn newest<'a>(
    in_force: &InForce,
    policies: impl Iterator<Item = &'a CheckedPolicy>,
) -> Option<Revision> {
    let records = policies.filter_map(|policy| in_force.state.policies.get(&policy.name));
    records.map(|record| record.revision).max()
}

impl Filter {
    fn is(&self, other: &Self) -> bool {
        let same = match (&self.resource, &other.resource) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one == other,
            (None, None) => true,
            _ => false,
        };
        same && self.route == other.route && self.problem == other.problem
    }
}

/// The filters of all workloads that something listens for.
#[derive(Clone, Debug)]
pub(super) struct Filters {
    programs: Arc<Programs>,
    log_key: LogKey,
    workloads: BTreeMap<ServiceRef, BTreeMap<Labels, Members>>,
    unrestricted: Arc<Resource>,
    /// Routes that say nothing to pages of other origins.
    route: Arc<Resource>,
    /// By the digests of their modules and numbers of replicas, as long as anybody has one.
    made: HashMap<(String, Vec<u32>), Weak<Resource>>,
    swept: usize,
}

/// The sidecars of one workload.
#[derive(Clone, Debug)]
struct Members {
    filter: Filter,
    ids: BTreeSet<ProxyId>,
}

impl Filters {
    pub(super) fn new(programs: Arc<Programs>, log_key: LogKey) -> Self {
        Self {
            programs,
            log_key,
            workloads: BTreeMap::new(),
            unrestricted: Arc::new(extension::unrestricted()),
            route: Arc::new(route::inbound(None, &[], &Shown::default())),
            made: HashMap::new(),
            swept: SWEPT_MIN,
        }
    }

    /// Takes in that policies changed which are about these targets: gives the sidecars that get another filter.
    pub(super) fn change(
        &mut self,
        in_force: &InForce,
        targets: &BTreeSet<Target>,
        plumbing: &Plumbing,
        effort: &Effort,
    ) -> BTreeMap<ProxyId, Filter> {
        let mut concerned: BTreeSet<(&ServiceRef, &Labels)> = BTreeSet::new();
        for target in targets {
            concerned.extend(in_force.population.covered(target));
        }
        let mut changed = BTreeMap::new();
        for (service, labels) in concerned {
            let Some(members) = self.members(service, labels) else { continue };
            let last_good = Some(members.filter.clone());
            let filter = self.make((in_force, plumbing), (service, labels), last_good, effort);
            let Some(members) = self.members(service, labels) else { continue };
            if !members.filter.is(&filter) {
                changed.extend(members.ids.iter().map(|id| (id.clone(), filter.clone())));
                members.filter = filter;
            } else {
                members.filter.sharing = filter.sharing;
            }
        }
        changed
    }

    /// Takes in that replicas of these services came or went: gives the sidecars that get their filter with other
    /// numbers of them.
    pub(super) fn recount(
        &mut self,
        moved: &BTreeSet<ServiceRef>,
        plumbing: &Plumbing,
    ) -> Vec<(ProxyId, Arc<Resource>)> {
        let mut changed = Vec::new();
        for service in moved {
            let workloads = self.workloads.get(service).into_iter().flatten();
            let sharing: Vec<(Labels, Arc<Sharing>)> = workloads
                .filter_map(|(labels, members)| Some((labels.clone(), members.filter.sharing.clone()?)))
                .collect();
            for (labels, sharing) in sharing {
                let resource = self.shared_resource(service, &sharing, plumbing);
                let Some(members) = self.members(service, &labels) else { continue };
                if members.filter.resource.as_ref() != Some(&resource) {
                    changed.extend(members.ids.iter().map(|id| (id.clone(), resource.clone())));
                    members.filter.resource = Some(resource);
                }
            }
        }
        changed
    }

    /// Takes in a sidecar that something listens for: gives its filter.
    pub(super) fn add(
        &mut self,
        in_force: &InForce,
        proxy: &ProxyRegistration,
        plumbing: &Plumbing,
        effort: &Effort,
    ) -> Filter {
        let labels = proxy.labels.clone();
        if let Some(members) = self.members(&proxy.service, &labels) {
            members.ids.insert(proxy.id.clone());
            return members.filter.clone();
        }
        let filter = self.make((in_force, plumbing), (&proxy.service, &labels), None, effort);
        let members = Members { filter: filter.clone(), ids: [proxy.id.clone()].into() };
        self.workloads.entry(proxy.service.clone()).or_default().insert(labels, members);
        filter
    }

    /// Forgets a sidecar.
    pub(super) fn remove(&mut self, proxy: &ProxyRegistration) {
        let labels = proxy.labels.clone();
        let Some(workloads) = self.workloads.get_mut(&proxy.service) else { return };
        if let Some(members) = workloads.get_mut(&labels) {
            members.ids.remove(&proxy.id);
            if members.ids.is_empty() {
                workloads.remove(&labels);
            }
        }
        if workloads.is_empty() {
            self.workloads.remove(&proxy.service);
        }
    }

    fn members(&mut self, service: &ServiceRef, labels: &Labels) -> Option<&mut Members> {
        self.workloads.get_mut(service)?.get_mut(labels)
    }

    fn make(
        &mut self,
        (in_force, plumbing): (&InForce, &Plumbing),
        (service, labels): (&ServiceRef, &Labels),
        last_good: Option<Filter>,
        effort: &Effort,
    ) -> Filter {
        let workload = workload(service, labels, &in_force.state.trust_domain);
        // A policy that cannot be read stands in the way of all: who knows what it would have denied.
        let made = match in_force.policies.problem() {
            Some(problem) => Err(problem.to_owned()),
            None => {
                self.programs.module(&in_force.policies, &workload, effort).map_err(|error| error.to_string())
            }
        };
        let shown = shown(in_force, &workload);
        match made {
            Ok(module) => {
                let sharing = module.as_ref().and_then(|module| Sharing::of(module, in_force, service));
                let sharing = sharing.map(Arc::new);
                let resource = match (&sharing, &module) {
                    (Some(sharing), _) => self.shared_resource(service, sharing, plumbing),
                    (None, Some(module)) if module.manifest.does_something => {
                        let make = |log_key| extension::policy(module, log_key);
                        self.resource(&module.digest, &module.manifest.policies, Vec::new(), make)
                    }
                    (None, _) => self.unrestricted.clone(),
                };
                let route = match &module {
                    Some(module) if module.manifest.cors.is_some() => {
                        let manifest = &module.manifest;
                        Arc::new(route::inbound(manifest.cors.as_ref(), &manifest.policies, &shown))
                    }
                    Some(_) => Arc::new(route::inbound(None, &[], &shown)),
                    None => self.route.clone(),
                };
                Filter { resource: Some(resource), route, problem: None, sharing }
            }
            Err(problem) => {
                let (namespace, service) = (&service.namespace, &service.name);
                tracing::error!(namespace, service, problem, "the last good policy stays");
                let new = || Arc::new(route::inbound(None, &[], &shown));
                let route = last_good.as_ref().map_or_else(new, |good| good.route.clone());
                let (resource, sharing) =
                    last_good.map_or((None, None), |good| (good.resource, good.sharing));
                Filter { resource, route, problem: Some(problem), sharing }
            }
        }
    }

    /// A module for as many replicas as there are.
    fn shared_resource(
        &mut self,
        service: &ServiceRef,
        sharing: &Sharing,
        plumbing: &Plumbing,
    ) -> Arc<Resource> {
        let replicas = sharing.replicas(service, plumbing);
        let module = sharing.module();
        let make = |log_key| extension::shared_policy(module, log_key, &replicas);
        self.resource(&module.digest, &module.manifest.policies, replicas.clone(), make)
    }

    /// The resource of a module and numbers of replicas, made once.
    fn resource(
        &mut self,
        digest: &str,
        policies: &[String],
        replicas: Vec<u32>,
        make: impl FnOnce(LogKey) -> Resource,
    ) -> Arc<Resource> {
        let key = (digest.to_owned(), replicas);
        if let Some(made) = self.made.get(&key).and_then(Weak::upgrade)
            && *made.policies == *policies
        {
            return made;
        }
        if self.made.len() >= self.swept {
            self.made.retain(|_, resource| resource.strong_count() > 0);
            self.swept = SWEPT_MIN.max(2 * self.made.len());
        }
        let resource = Arc::new(make(self.log_key));
        self.made.insert(key, Arc::downgrade(&resource));
        resource
    }
}
