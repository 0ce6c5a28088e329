//! The filter of each workload: made again where a policy that concerns it changed, and once for all that have the
//! same program.

use super::groups::{Groups, MadeOnce};
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
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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
    workloads: Groups<Labels, Filter>,
    unrestricted: Arc<Resource>,
    /// Routes that say nothing to pages of other origins.
    route: Arc<Resource>,
    /// By the digests of their modules and numbers of replicas.
    made: MadeOnce<(String, Vec<u32>), Resource>,
}

impl Filters {
    pub(super) fn new(programs: Arc<Programs>, log_key: LogKey) -> Self {
        Self {
            programs,
            log_key,
            workloads: Groups::default(),
            unrestricted: Arc::new(extension::unrestricted()),
            route: Arc::new(route::inbound(None, &[], &Shown::default())),
            made: MadeOnce::default(),
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
            let Some(last_good) = self.workloads.get(service, labels).cloned() else { continue };
            let filter = self.make((in_force, plumbing), (service, labels), Some(last_good), effort);
            let Some(group) = self.workloads.group(service, labels) else { continue };
            if !group.gets.is(&filter) {
                changed.extend(group.ids.iter().map(|id| (id.clone(), filter.clone())));
                group.gets = filter;
            } else {
                group.gets.sharing = filter.sharing;
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
            let workloads = self.workloads.of(service);
            let sharing: Vec<(Labels, Arc<Sharing>)> = workloads
                .filter_map(|(labels, filter)| Some((labels.clone(), filter.sharing.clone()?)))
                .collect();
            for (labels, sharing) in sharing {
                let resource = self.shared_resource(service, &sharing, plumbing);
                let Some(group) = self.workloads.group(service, &labels) else { continue };
                if group.gets.resource.as_ref() != Some(&resource) {
                    changed.extend(group.ids.iter().map(|id| (id.clone(), resource.clone())));
                    group.gets.resource = Some(resource);
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
        if let Some(filter) = self.workloads.join(&proxy.service, &proxy.labels, &proxy.id) {
            return filter.clone();
        }
        let filter = self.make((in_force, plumbing), (&proxy.service, &proxy.labels), None, effort);
        self.workloads.begin(&proxy.service, proxy.labels.clone(), filter.clone(), &proxy.id);
        filter
    }

    /// Forgets a sidecar.
    pub(super) fn remove(&mut self, proxy: &ProxyRegistration) {
        self.workloads.leave(&proxy.service, &proxy.labels, &proxy.id);
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
        if let Some(made) = self.made.get(&key)
            && *made.policies == *policies
        {
            return made;
        }
        let resource = Arc::new(make(self.log_key));
        self.made.keep(key, &resource);
        resource
    }
}
