//! Who is let in without TLS, by which policies, and who makes use of it.

use super::types::{PlaintextBody, PlaintextCaller};
use crate::delivery::xds::Counts;
use crate::mesh::model::{ProxyId, ProxyRegistration};
use crate::policies::filters::attached::plaintext;
use crate::policies::in_force::InForce;
use crate::policies::population::workload;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// The services whose sidecars take connections without TLS, in the order of their names.
pub(super) fn bodies(in_force: &InForce, counts: &BTreeMap<ProxyId, Arc<Counts>>) -> Vec<PlaintextBody> {
    let is_stated = in_force.policies.iter().any(|known| known.policy.plaintext().is_some_and(|it| it.allow));
    if !is_stated {
        return Vec::new();
    }
    let state = &in_force.state;
    let mut open: BTreeMap<String, PlaintextBody> = BTreeMap::new();
    let mut called: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for proxy in state.proxies.values().filter(|proxy| proxy.inbound.is_some()) {
        let workload = workload(&proxy.service, &proxy.labels, &state.trust_domain);
        // Policies that contradict each other never come into force.
        let Ok(Some(policy)) = plaintext(&in_force.policies, &workload) else { continue };
        let service = format!("{}/{}", proxy.service.namespace, proxy.service.name);
        let body = open.entry(service.clone()).or_insert_with(|| PlaintextBody {
            service: service.clone(),
            policies: Vec::new(),
            callers: Vec::new(),
            unheard: 0,
        });
        if !body.policies.iter().any(|known| **known == *policy) {
            body.policies.push(policy.to_string());
        }
        match counts.get(&proxy.id) {
            None => body.unheard += 1,
            Some(counts) => {
                for (caller, requests) in &counts.plaintext {
                    let sum = called.entry(service.clone()).or_default().entry(caller.clone()).or_default();
                    *sum = sum.saturating_add(*requests);
                }
            }
        }
    }
    for (service, callers) in called {
        let callers = callers.into_iter().map(|(address, requests)| PlaintextCaller {
            service: address.parse().ok().and_then(|address| only_at(address, state.proxies.values())),
            address,
            requests,
        });
        if let Some(body) = open.get_mut(&service) {
            body.callers = callers.collect();
        }
    }
    open.into_values().collect()
}

/// The service whose replicas alone are reached at an address.
fn only_at<'p>(address: IpAddr, proxies: impl Iterator<Item = &'p Arc<ProxyRegistration>>) -> Option<String> {
    let there =
        proxies.filter(|proxy| proxy.inbound.is_some_and(|inbound| inbound.advertised.ip() == address));
    let services: BTreeSet<String> =
        there.map(|proxy| format!("{}/{}", proxy.service.namespace, proxy.service.name)).collect();
    let mut services = services.into_iter();
    services.next().filter(|_| services.next().is_none())
}
