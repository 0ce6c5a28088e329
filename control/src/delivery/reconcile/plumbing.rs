//! Everything of a proxy but its policies: listeners, routes, clusters, endpoints.

use super::attached::Attachments;
use super::calls::Led;
use crate::delivery::envoy::filter::Slot;
use crate::delivery::envoy::listener::Plaintext;
use crate::delivery::envoy::{ConnectionLife, cluster, endpoints, listener};
use crate::delivery::snapshot::Resource;
use crate::mesh::model::{Inbound, Labels, Protocol, ProxyId, ProxyRegistration, Readiness, VERSION};
use chancery_policy_lang::checked::{Destination, ServiceRef};
use chancery_policy_lang::link::LinkedSettings;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

/// Made resources that are looked through for those that nobody needs any more, at least.
const SWEPT_MIN: usize = 1024;

/// Makes each resource once, for all proxies that have the same; knows where services are and who calls them.
#[derive(Clone, Debug, Default)]
pub(super) struct Plumbing {
    trust_domain: String,
    life: ConnectionLife,
    services: BTreeMap<ServiceRef, Service>,
    /// To whom requests of a proxy go beside the services that it states, if to anybody.
    led_to: HashMap<ProxyId, Arc<Led>>,
    /// How callers treat the replicas of services, of those of which that was asked.
    settings: HashMap<ServiceRef, Arc<LinkedSettings>>,
    /// As long as anybody has them.
    made: HashMap<Key, Weak<Resource>>,
    swept: usize,
}

/// What is known of a service.
#[derive(Clone, Debug, Default)]
struct Service {
    /// Where its replicas are that are ready.
    ready: BTreeMap<SocketAddr, Replica>,
    /// The same of those that were ready and whose application does not answer.
    silent: BTreeMap<SocketAddr, Replica>,
    /// Who calls it, or one version of it.
    callers: BTreeMap<Option<String>, Callers>,
}

/// A place where a replica is.
#[derive(Clone, Debug, Default)]
struct Replica {
    /// How many proxies say so.
    count: usize,
    /// Its labels, as the last of them says.
    labels: Labels,
}

/// Who calls replicas of a service, and the endpoints of those.
#[derive(Clone, Debug, Default)]
struct Callers {
    ids: BTreeSet<ProxyId>,
    endpoints: Option<Arc<Resource>>,
}

/// What a resource depends on, beside the trust domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    InboundListener(Inbound, ServiceRef, Arc<[Slot]>, Plaintext),
    /// The addresses are sorted.
    OutboundListener(ServiceRef, Box<[SocketAddr]>, Arc<[Slot]>),
    ProbesListener(SocketAddr, ServiceRef),
    LocalApp(SocketAddr, Protocol),
    /// With the statements that lead there, if the proxy does not say so itself.
    MeshCluster(Destination, Arc<LinkedSettings>, BTreeSet<Arc<str>>),
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
                let replica = replicas.entry(inbound.advertised).or_default();
                replica.count += 1;
                replica.labels = proxy.labels.clone();
                service.forget_endpoints();
                moved.insert(proxy.service.clone());
            }
        }
        for outbound in &proxy.outbounds {
            let service = self.services.entry(outbound.service.clone()).or_default();
            service.callers.entry(None).or_default().ids.insert(proxy.id.clone());
        }
    }

    /// Takes in to whom requests of a proxy go beside the services that it states.
    pub(super) fn lead(&mut self, proxy: &ProxyId, to: Led) {
        let before = self.led_to.remove(proxy).unwrap_or_default();
        for Destination { service, version } in before.keys().filter(|before| !to.contains_key(before)) {
            self.take_caller(service, version, proxy);
        }
        for destination in to.keys().filter(|now| !before.contains_key(now)) {
            let service = self.services.entry(destination.service.clone()).or_default();
            service.callers.entry(destination.version.clone()).or_default().ids.insert(proxy.clone());
        }
        if !to.is_empty() {
            self.led_to.insert(proxy.clone(), Arc::new(to));
        }
    }

    /// A proxy does not call replicas of a service any more.
    fn take_caller(&mut self, name: &ServiceRef, version: &Option<String>, proxy: &ProxyId) {
        let Some(service) = self.services.get_mut(name) else { return };
        if let Some(callers) = service.callers.get_mut(version) {
            callers.ids.remove(proxy);
            if callers.ids.is_empty() {
                service.callers.remove(version);
            }
        }
        if service.is_empty() {
            self.services.remove(name);
        }
    }

    /// Forgets a proxy.
    pub(super) fn remove(&mut self, proxy: &ProxyRegistration, moved: &mut BTreeSet<ServiceRef>) {
        if let Some(inbound) = proxy.inbound
            && let Some(service) = self.services.get_mut(&proxy.service)
            && let Some(replicas) = service.replicas_like(proxy.readiness)
        {
            match replicas.get_mut(&inbound.advertised) {
                Some(replica) if replica.count > 1 => replica.count -= 1,
                _ => {
                    replicas.remove(&inbound.advertised);
                }
            }
            service.forget_endpoints();
            moved.insert(proxy.service.clone());
        }
        for outbound in &proxy.outbounds {
            self.take_caller(&outbound.service, &None, &proxy.id);
        }
        if self.services.get(&proxy.service).is_some_and(Service::is_empty) {
            self.services.remove(&proxy.service);
        }
    }

    /// Who calls a service or a version of it, and where those replicas are.
    pub(super) fn callers(&mut self, service: &ServiceRef) -> Vec<(Arc<Resource>, &BTreeSet<ProxyId>)> {
        let versions: Vec<Option<String>> =
            self.services.get(service).into_iter().flat_map(|known| known.callers.keys()).cloned().collect();
        let endpoints: Vec<Arc<Resource>> = versions
            .into_iter()
            .map(|version| self.endpoints(&Destination { service: service.clone(), version }))
            .collect();
        let callers = self.services.get(service).into_iter().flat_map(|known| known.callers.values());
        endpoints.into_iter().zip(callers.map(|callers| &callers.ids)).collect()
    }

    /// How many replicas of a service with such labels requests are sent to.
    pub(super) fn count(&self, service: &ServiceRef, is_meant: impl Fn(&Labels) -> bool) -> usize {
        self.services.get(service).map_or(0, |known| known.replicas_with(is_meant).len())
    }

    /// The resources of a proxy that was taken in, with these filters in its listeners.
    pub(super) fn of_proxy(
        &mut self,
        proxy: &ProxyRegistration,
        filters: &Attachments,
    ) -> Vec<Arc<Resource>> {
        let mut resources = Vec::new();
        if let Some(inbound) = proxy.inbound {
            resources.extend([
                self.resource(Key::InboundListener(
                    inbound,
                    proxy.service.clone(),
                    filters.inbound.clone(),
                    filters.plaintext,
                )),
                self.resource(Key::LocalApp(inbound.application, inbound.protocol)),
            ]);
            if let Some(listen) = inbound.probes {
                resources.push(self.resource(Key::ProbesListener(listen, proxy.service.clone())));
            }
        }
        let mut outbounds: BTreeMap<&ServiceRef, BTreeSet<SocketAddr>> = BTreeMap::new();
        for outbound in &proxy.outbounds {
            outbounds.entry(&outbound.service).or_default().insert(outbound.listen);
        }
        for (service, listens) in outbounds {
            let listens = listens.into_iter().collect();
            let key = Key::OutboundListener(service.clone(), listens, filters.outbound.clone());
            resources.push(self.resource(key));
            let to = Destination { service: service.clone(), version: None };
            resources.extend(self.way_to(&to, &BTreeSet::new()));
        }
        resources.extend(self.ways_led(&proxy.id));
        resources
    }

    /// The services of which it was asked how callers treat their replicas.
    pub(super) fn settled(&self) -> impl Iterator<Item = &ServiceRef> {
        self.settings.keys()
    }

    /// Whether it was asked how callers treat the replicas of a service.
    pub(super) fn is_settled(&self, service: &ServiceRef) -> bool {
        self.settings.contains_key(service)
    }

    /// Takes in how callers treat the replicas of a service; gives those who have to be told.
    pub(super) fn settle(&mut self, service: &ServiceRef, settings: LinkedSettings) -> BTreeSet<ProxyId> {
        let known = self.services.get(service);
        if known.is_none_or(|known| known.callers.is_empty()) {
            self.settings.remove(service);
            return BTreeSet::new();
        }
        let before = self.settings.insert(service.clone(), Arc::new(settings.clone()));
        if before.is_some_and(|before| *before == settings) {
            return BTreeSet::new();
        }
        known
            .into_iter()
            .flat_map(|known| known.callers.values())
            .flat_map(|callers| &callers.ids)
            .cloned()
            .collect()
    }

    /// How requests of a proxy get to all services and versions.
    pub(super) fn of_destinations(&mut self, proxy: &ProxyRegistration) -> Vec<Arc<Resource>> {
        let services: BTreeSet<&ServiceRef> =
            proxy.outbounds.iter().map(|outbound| &outbound.service).collect();
        let stated =
            services.into_iter().map(|service| Destination { service: service.clone(), version: None });
        let stated: Vec<Destination> = stated.collect();
        let mut ways: Vec<Arc<Resource>> =
            stated.iter().flat_map(|destination| self.way_to(destination, &BTreeSet::new())).collect();
        ways.extend(self.ways_led(&proxy.id));
        ways
    }

    /// How requests get where a proxy's go beside the services that it states.
    pub(super) fn ways_led(&mut self, proxy: &ProxyId) -> Vec<Arc<Resource>> {
        let to = self.led_to.get(proxy).cloned().unwrap_or_default();
        to.iter().flat_map(|(destination, by)| self.way_to(destination, by)).collect()
    }

    /// The cluster of a destination to which statements may lead, and its endpoints.
    fn way_to(&mut self, destination: &Destination, by: &BTreeSet<Arc<str>>) -> [Arc<Resource>; 2] {
        let settings = self.settings.get(&destination.service).cloned().unwrap_or_default();
        let key = Key::MeshCluster(destination.clone(), settings, by.clone());
        [self.resource(key), self.endpoints(destination)]
    }

    fn endpoints(&mut self, destination: &Destination) -> Arc<Resource> {
        let known = self.services.entry(destination.service.clone()).or_default();
        let replicas = known.replicas(destination.version.as_deref());
        let callers = known.callers.entry(destination.version.clone()).or_default();
        let made = || Arc::new(endpoints::of_destination(destination, &replicas));
        callers.endpoints.get_or_insert_with(made).clone()
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
    fn replicas_like(&mut self, readiness: Readiness) -> Option<&mut BTreeMap<SocketAddr, Replica>> {
        match readiness {
            Readiness::Starting => None,
            Readiness::Silent { .. } => Some(&mut self.silent),
            Readiness::Ready => Some(&mut self.ready),
        }
    }

    /// Where requests are sent, to all replicas or to those of a version: to those that are ready. If none is, to those
    /// that were: that all are silent may be the fault of what is asked to find out, and who calls learns more from
    /// their sidecars than from nobody.
    fn replicas(&self, version: Option<&str>) -> BTreeSet<SocketAddr> {
        let is = |labels: &Labels| labels.get(VERSION).map(String::as_str) == version;
        self.replicas_with(|labels| version.is_none() || is(labels))
    }

    /// The same of those whose labels are such.
    fn replicas_with(&self, is_meant: impl Fn(&Labels) -> bool) -> BTreeSet<SocketAddr> {
        let of = |replicas: &BTreeMap<SocketAddr, Replica>| {
            let is_meant = |replica: &Replica| is_meant(&replica.labels);
            let meant = replicas.iter().filter(|(_, replica)| is_meant(replica));
            meant.map(|(address, _)| *address).collect::<BTreeSet<_>>()
        };
        let ready = of(&self.ready);
        if ready.is_empty() { of(&self.silent) } else { ready }
    }

    fn forget_endpoints(&mut self) {
        self.callers.values_mut().for_each(|callers| callers.endpoints = None);
    }

    fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.silent.is_empty() && self.callers.is_empty()
    }
}

fn make(key: &Key, trust_domain: &str, life: ConnectionLife) -> Resource {
    match key {
        Key::InboundListener(inbound, service, filters, plaintext) => {
            listener::inbound(inbound, service, filters, *plaintext, trust_domain, life)
        }
        Key::OutboundListener(service, listens, filters) => {
            listener::outbound(service, listens, filters, life)
        }
        Key::ProbesListener(listen, service) => listener::probes(*listen, service, life),
        Key::LocalApp(application, protocol) => cluster::local_app(*application, *protocol),
        Key::MeshCluster(destination, settings, by) => {
            cluster::mesh(destination, settings, by, trust_domain, life)
        }
    }
}
