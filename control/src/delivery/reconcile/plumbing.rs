//! Everything of a proxy but its policies: listeners, routes, clusters, endpoints.

use crate::delivery::envoy::{cluster, endpoints, listener, route};
use crate::delivery::snapshot::Resource;
use crate::mesh::model::{DesiredState, Inbound, Outbound, ProxyRegistration};
use chancery_policy_lang::checked::ServiceRef;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

/// Makes each resource once, for all proxies that have the same, and keeps it for the next fleet.
#[derive(Debug, Default)]
pub(super) struct Plumbing {
    trust_domain: String,
    /// Where the replicas of each service are.
    replicas: BTreeMap<ServiceRef, BTreeSet<SocketAddr>>,
    made: BTreeMap<Key, Arc<Resource>>,
    /// What the last fleet was made of.
    earlier: BTreeMap<Key, Arc<Resource>>,
}

/// What a resource depends on, beside the trust domain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    InboundListener(Inbound),
    OutboundListener(Outbound),
    InboundRoute,
    OutboundRoute(ServiceRef),
    LocalApp(SocketAddr),
    MeshCluster(ServiceRef),
    Endpoints(ServiceRef, BTreeSet<SocketAddr>),
}

impl Plumbing {
    /// Begins a fleet.
    pub(super) fn begin(&mut self, state: &DesiredState) {
        if self.trust_domain != state.trust_domain {
            self.trust_domain.clone_from(&state.trust_domain);
            self.earlier.clear();
        }
        self.replicas.clear();
        for proxy in state.proxies.values() {
            if let Some(inbound) = proxy.inbound {
                self.replicas.entry(proxy.service.clone()).or_default().insert(inbound.listen);
            }
        }
    }

    /// Ends a fleet: what it did not need is forgotten.
    pub(super) fn end(&mut self) {
        self.earlier = std::mem::take(&mut self.made);
    }

    /// The resources of a proxy.
    pub(super) fn of_proxy(&mut self, proxy: &ProxyRegistration) -> Vec<Arc<Resource>> {
        let mut keys = Vec::new();
        if let Some(inbound) = proxy.inbound {
            keys.extend([
                Key::InboundListener(inbound),
                Key::InboundRoute,
                Key::LocalApp(inbound.application),
            ]);
        }
        for outbound in &proxy.outbounds {
            let service = &outbound.service;
            let replicas = self.replicas.get(service).cloned().unwrap_or_default();
            keys.extend([
                Key::OutboundListener(outbound.clone()),
                Key::OutboundRoute(service.clone()),
                Key::MeshCluster(service.clone()),
                Key::Endpoints(service.clone(), replicas),
            ]);
        }
        keys.into_iter().map(|key| self.resource(key)).collect()
    }

    fn resource(&mut self, key: Key) -> Arc<Resource> {
        if let Some(made) = self.made.get(&key) {
            return made.clone();
        }
        let resource = match self.earlier.remove(&key) {
            Some(earlier) => earlier,
            None => Arc::new(make(&key, &self.trust_domain)),
        };
        self.made.insert(key, resource.clone());
        resource
    }
}

fn make(key: &Key, trust_domain: &str) -> Resource {
    match key {
        Key::InboundListener(inbound) => listener::inbound(inbound, trust_domain),
        Key::OutboundListener(outbound) => listener::outbound(outbound),
        Key::InboundRoute => route::inbound(),
        Key::OutboundRoute(service) => route::outbound(service),
        Key::LocalApp(application) => cluster::local_app(*application),
        Key::MeshCluster(service) => cluster::mesh(service, trust_domain),
        Key::Endpoints(service, replicas) => endpoints::of_service(service, replicas),
    }
}
