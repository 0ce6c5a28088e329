//! Who is in the mesh, seen as policies see it: services, the labels of their replicas, and who is called.
//!
//! Thousands of replicas are a few workloads. The maps are persistent: a copy costs nothing, and a change of a copy
//! costs what the change does.

use crate::mesh::model::{Labels, ProxyId, ProxyRegistration, VERSION};
use crate::mesh::store::Step;
use chancery_policy_lang::checked::{Destination, ServiceRef, Target};
use chancery_policy_lang::linked::Workload;
use imbl::OrdMap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The workloads of a mesh, each with the number of its sidecars.
#[derive(Clone, Debug, Default)]
pub struct Population {
    services: OrdMap<ServiceRef, OrdMap<Labels, usize>>,
    /// How many sidecars say that they call a service.
    called: OrdMap<ServiceRef, usize>,
}

impl Population {
    /// Takes in sidecars that came, changed and went.
    pub fn take_in(&mut self, steps: &BTreeMap<ProxyId, Step<Arc<ProxyRegistration>>>) {
        for step in steps.values() {
            if let Some(before) = &step.before {
                self.remove(before);
            }
            if let Some(after) = &step.after {
                self.add(after);
            }
        }
    }

    fn add(&mut self, proxy: &ProxyRegistration) {
        let labels = proxy.labels.clone();
        *self.services.entry(proxy.service.clone()).or_default().entry(labels).or_default() += 1;
        for outbound in &proxy.outbounds {
            *self.called.entry(outbound.service.clone()).or_default() += 1;
        }
    }

    fn remove(&mut self, proxy: &ProxyRegistration) {
        let labels = proxy.labels.clone();
        if let Some(workloads) = self.services.get_mut(&proxy.service) {
            decrement(workloads, &labels);
            if workloads.is_empty() {
                self.services.remove(&proxy.service);
            }
        }
        for outbound in &proxy.outbounds {
            decrement(&mut self.called, &outbound.service);
        }
    }

    /// The services of which a sidecar has joined, and those that a sidecar says its workload calls.
    #[must_use]
    pub fn known_services(&self) -> BTreeSet<ServiceRef> {
        self.services.keys().chain(self.called.keys()).cloned().collect()
    }

    /// Whether there is a sidecar of a service, or of a version of it.
    #[must_use]
    pub fn has(&self, Destination { service, version }: &Destination) -> bool {
        let Some(workloads) = self.services.get(service) else { return false };
        version
            .as_ref()
            .is_none_or(|wanted| workloads.keys().any(|labels| labels.get(VERSION) == Some(wanted)))
    }

    /// The versions of a service of which there is a sidecar.
    #[must_use]
    pub fn versions(&self, service: &ServiceRef) -> BTreeSet<String> {
        let workloads = self.services.get(service).into_iter().flat_map(OrdMap::keys);
        workloads.filter_map(|labels| labels.get(VERSION).cloned()).collect()
    }

    /// The workloads that a target covers.
    pub fn covered<'a>(&'a self, target: &'a Target) -> impl Iterator<Item = (&'a ServiceRef, &'a Labels)> {
        let from = |namespace: &str, name: &str| ServiceRef {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        let (first, namespace, service, labels) = match target {
            Target::Mesh => (from("", ""), None, None, None),
            Target::Namespace(namespace) => (from(namespace, ""), Some(namespace), None, None),
            Target::Service(service) if service.name == "*" => {
                (from(&service.namespace, ""), Some(&service.namespace), None, None)
            }
            Target::Service(service) => {
                (service.clone(), Some(&service.namespace), Some(&service.name), None)
            }
            Target::Workload { namespace, labels } => {
                (from(namespace, ""), Some(namespace), None, Some(labels))
            }
        };
        let is_in = move |of: &ServiceRef| {
            namespace.is_none_or(|namespace| of.namespace == *namespace)
                && service.is_none_or(|service| of.name == *service)
        };
        let carries = move |carried: &Labels| {
            labels.is_none_or(|labels| labels.iter().all(|(name, value)| carried.get(name) == Some(value)))
        };
        self.services
            .range(first..)
            .take_while(move |(service, _)| is_in(service))
            .flat_map(|(service, workloads)| workloads.keys().map(move |labels| (service, labels)))
            .filter(move |(_, labels)| carries(labels))
    }
}

/// Takes one away; what is not there any more leaves the map.
fn decrement<K: Ord + Clone>(counts: &mut OrdMap<K, usize>, key: &K) {
    match counts.get_mut(key) {
        Some(count) if *count > 1 => *count -= 1,
        _ => {
            counts.remove(key);
        }
    }
}

/// The workload that the policies of sidecars of a service with these labels are linked for.
#[must_use]
pub fn workload(service: &ServiceRef, labels: &Labels, trust_domain: &str) -> Workload {
    Workload {
        namespace: service.namespace.clone(),
        service: service.name.clone(),
        labels: (**labels).clone(),
        trust_domain: trust_domain.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str) -> ServiceRef {
        let (namespace, name) = name.split_once('/').unwrap_or_default();
        ServiceRef { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    fn joined(of: &str, version: &str) -> Step<Arc<ProxyRegistration>> {
        let registration = ProxyRegistration {
            token: None,
            check: None,
            readiness: crate::mesh::model::Readiness::Starting,
            id: ProxyId(format!("{of}/{version}")),
            service: service(of),
            labels: Arc::new([("version".to_owned(), version.to_owned())].into()),
            inbound: None,
            outbounds: vec![],
        };
        Step { before: None, after: Some(Arc::new(registration)) }
    }

    #[test]
    fn a_target_covers_what_has_joined_and_not_left() {
        let names = ["pay/bank", "shop/cart", "shop/orders", "shopping/list"];
        let steps: BTreeMap<ProxyId, _> = names
            .iter()
            .flat_map(|name| ["v1", "v2"].map(|version| joined(name, version)))
            .enumerate()
            .map(|(at, step)| (ProxyId(at.to_string()), step))
            .collect();
        let mut population = Population::default();
        population.take_in(&steps);
        let shown = |population: &Population, target: &Target| {
            let all = population.covered(target);
            all.map(|(service, labels)| {
                format!("{} {}", service.name, labels.values().next().map_or("", |v| v))
            })
            .collect::<Vec<_>>()
        };
        assert_eq!(shown(&population, &Target::Mesh).len(), 8);
        let shop = Target::Namespace("shop".to_owned());
        assert_eq!(shown(&population, &shop), ["cart v1", "cart v2", "orders v1", "orders v2"]);
        assert_eq!(shown(&population, &Target::Service(service("shop/*"))).len(), 4);
        assert_eq!(shown(&population, &Target::Service(service("shop/cart"))), ["cart v1", "cart v2"]);
        let v2 = [("version".to_owned(), "v2".to_owned())].into();
        let labelled = Target::Workload { namespace: "shop".to_owned(), labels: v2 };
        assert_eq!(shown(&population, &labelled), ["cart v2", "orders v2"]);

        let left =
            steps.into_iter().map(|(id, Step { after, .. })| (id, Step { before: after, after: None }));
        population.take_in(&left.take(7).collect());
        assert_eq!(shown(&population, &Target::Mesh), ["list v2"]);
    }
}
