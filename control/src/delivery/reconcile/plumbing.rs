//! Everything of a proxy but its policies: listeners, routes, clusters, endpoints.

use crate::delivery::envoy::{ConnectionLife, cluster, endpoints, listener, route};
use crate::delivery::snapshot::Resource;
use crate::mesh::model::{Inbound, Protocol, ProxyId, ProxyRegistration, Readiness};
use chancery_policy_lang::checked::ServiceRef;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

/// Made resources that are looked through for those that nobody needs any more, at least.
const SWEPT_MIN: usize = 1024;

/// Makes each resource once, for all proxies that have the same; knows where services are and who calls them.
#[derive(Debug, Default)]
pub(super) struct Plumbing {
    trust_domain: String,
    life: ConnectionLife,
    services: BTreeMap<ServiceRef, Service>,
    /// As long as anybody has them.
    made: HashMap<Key, Weak<Resource>>,
    swept: usize,
}

/// What is known of a service.
#[derive(Debug, Default)]
struct Service {
    /// Where its replicas are that are ready, each with the number of proxies that say so.
    ready: BTreeMap<SocketAddr, usize>,
    /// The same of those that were ready and whose application does not answer.
    silent: BTreeMap<SocketAddr, usize>,
    callers: BTreeSet<ProxyId>,
    /// The endpoints, made from those.
    endpoints: Option<Arc<Resource>>,
}

/// What a resource depends on, beside the trust domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    InboundListener(Inbound),
    /// The addresses are sorted.
    OutboundListener(ServiceRef, Box<[SocketAddr]>),
    InboundRoute,
    OutboundRoute(ServiceRef),
    LocalApp(SocketAddr, Protocol),
    MeshCluster(ServiceRef),
}

impl Plumbing {
    pub(super) fn new(trust_domain: &str, life: ConnectionLife) -> Self {
        Self { trust_domain: trust_domain.to_owned(), life, ..Self::default() }
    }

    /// Takes in a proxy.
    pub(super) fn add(&mut self, proxy: &ProxyRegistration, moved: &mut BTreeSet<ServiceRef>) {
        if let Some(inbound) = proxy.inbound {
            let service = self.services.entry(proxy.service.clone()).or_default();
            if let Some(replicas) = service.replicas_like(proxy.readiness) {
                *replicas.entry(inbound.advertised).or_default() += 1;
                service.endpoints = None;
                moved.insert(proxy.service.clone());
            }
        }
        for outbound in &proxy.outbounds {
            let service = self.services.entry(outbound.service.clone()).or_default();
            service.callers.insert(proxy.id.clone());
        }
    }

    /// Forgets a proxy.
    pub(super) fn remove(&mut self, proxy: &ProxyRegistration, moved: &mut BTreeSet<ServiceRef>) {
        if let Some(inbound) = proxy.inbound
            && let Some(service) = self.services.get_mut(&proxy.service)
            && let Some(replicas) = service.replicas_like(proxy.readiness)
        {
            match replicas.get_mut(&inbound.advertised) {
                Some(count) if *count > 1 => *count -= 1,
                _ => {
                    replicas.remove(&inbound.advertised);
                }
            }
            service.endpoints = None;
            moved.insert(proxy.service.clone());
        }
        for outbound in &proxy.outbounds {
            if let Some(service) = self.services.get_mut(&outbound.service) {
                service.callers.remove(&proxy.id);
            }
        }
        for name in proxy.outbounds.iter().map(|outbound| &outbound.service).chain([&proxy.service]) {
            if self.services.get(name).is_some_and(Service::is_empty) {
                self.services.remove(name);
            }
        }
    }

    /// Who calls a service, and where it is.
    pub(super) fn callers(&mut self, service: &ServiceRef) -> Option<(Arc<Resource>, &BTreeSet<ProxyId>)> {
        self.services.get(service).filter(|known| !known.callers.is_empty())?;
        let endpoints = self.endpoints(service);
        Some((endpoints, &self.services.get(service)?.callers))
    }

    /// The resources of a proxy that was taken in.
    pub(super) fn of_proxy(&mut self, proxy: &ProxyRegistration) -> Vec<Arc<Resource>> {
        let mut resources = Vec::new();
        if let Some(inbound) = proxy.inbound {
            resources.extend([
                self.resource(Key::InboundListener(inbound)),
                self.resource(Key::InboundRoute),
                self.resource(Key::LocalApp(inbound.application, inbound.protocol)),
            ]);
        }
        let mut outbounds: BTreeMap<&ServiceRef, BTreeSet<SocketAddr>> = BTreeMap::new();
        for outbound in &proxy.outbounds {
            outbounds.entry(&outbound.service).or_default().insert(outbound.listen);
        }
        for (service, listens) in outbounds {
            resources.extend([
                self.resource(Key::OutboundListener(service.clone(), listens.into_iter().collect())),
                self.resource(Key::OutboundRoute(service.clone())),
                self.resource(Key::MeshCluster(service.clone())),
                self.endpoints(service),
            ]);
        }
        resources
    }

    fn endpoints(&mut self, service: &ServiceRef) -> Arc<Resource> {
        let known = self.services.entry(service.clone()).or_default();
        let replicas = known.replicas();
        known.endpoints.get_or_insert_with(|| Arc::new(endpoints::of_service(service, &replicas))).clone()
    }

    fn resource(&mut self, key: Key) -> Arc<Resource> {
        if let Some(made) = self.made.get(&key).and_then(Weak::upgrade) {
            return made;
        }
        if self.made.len() >= self.swept.max(SWEPT_MIN) {
            self.made.retain(|_, resource| resource.strong_count() > 0);
            self.swept = 2 * self.made.len();
        }
        let resource = Arc::new(make(&key, &self.trust_domain, self.life));
        self.made.insert(key, Arc::downgrade(&resource));
        resource
    }
}

impl Service {
    /// The replicas of which one that is so ready is one; those that were never ready are not kept.
    fn replicas_like(&mut self, readiness: Readiness) -> Option<&mut BTreeMap<SocketAddr, usize>> {
        match readiness {
            Readiness::Starting => None,
            Readiness::Silent { .. } => Some(&mut self.silent),
            Readiness::Ready => Some(&mut self.ready),
        }
    }

    /// Where requests are sent: to replicas that are ready. If none is, to those that were: that all are silent may be
    /// the fault of what is asked to find out, and who calls learns more from their sidecars than from nobody.
    fn replicas(&self) -> BTreeSet<SocketAddr> {
        let replicas = if self.ready.is_empty() { &self.silent } else { &self.ready };
        replicas.keys().copied().collect()
    }

    fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.silent.is_empty() && self.callers.is_empty()
    }
}

fn make(key: &Key, trust_domain: &str, life: ConnectionLife) -> Resource {
    match key {
        Key::InboundListener(inbound) => listener::inbound(inbound, trust_domain, life),
        Key::OutboundListener(service, listens) => listener::outbound(service, listens, life),
        Key::InboundRoute => route::inbound(),
        Key::OutboundRoute(service) => route::outbound(service),
        Key::LocalApp(application, protocol) => cluster::local_app(*application, *protocol),
        Key::MeshCluster(service) => cluster::mesh(service, trust_domain, life),
    }
}
