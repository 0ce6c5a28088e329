//! One xDS stream as a pure state machine: requests and snapshots go in, responses and events come out.
//!
//! Holds no socket and no clock, so a conversation can be replayed in a test
//! (`control/tests/conversations/*.txt`). How to drive one:
//!
//! ```text
//! let mut conversation = Conversation::new(snapshot, memory);
//! loop {
//!     while let Some(response) = conversation.next_response() { send it }
//!     wait for one of
//!         a request       => for event in conversation.receive(kind, request)? { note it }
//!         a new snapshot  => conversation.update(snapshot)
//! }
//! ```
//!
//! Rules:
//! - At most one response per type awaits its answer; what changes meanwhile is sent after it, so a
//!   slow proxy gets the newest state and never a backlog.
//! - What is referred to is sent before what refers to it (clusters, endpoints, listeners, routes,
//!   extensions), and routes when all clusters have their endpoints; removals come last, in the opposite order, and only when nothing that the proxy
//!   has can refer to them any more: make before break. So a refused listener keeps its cluster.
//! - A cluster that takes time to be ready comes behind one of its name that does not, where the proxy has none: that one
//!   serves meanwhile.
//! - A refused version is not sent to that proxy again; the last good one is, at once, for Envoy
//!   compares with what it refused last.

use super::memory::Memory;
use super::message::{Event, Request, Response};
use super::subscription::{Desired, Subscription};
use crate::delivery::envoy::filter::OUTBOUND_FILTERS;
use crate::delivery::envoy::{INBOUND, listener_of_policy};
use crate::delivery::snapshot::{Resource, ResourceType, Snapshot};
use crate::mesh::model::Revision;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Names that one proxy may subscribe to or hold, of one type.
const NAMES_MAX: usize = 20_000;
/// The longest name of a resource.
const NAME_BYTES_MAX: usize = 512;

/// The state of one stream.
#[derive(Debug)]
pub struct Conversation {
    snapshot: Arc<Snapshot>,
    memory: Memory,
    subscriptions: BTreeMap<ResourceType, Box<Subscription>>,
    /// Clusters that were sent before the proxy asked for endpoints.
    warming: BTreeSet<String>,
    responses: u64,
}

/// Why a proxy's request cannot be served; the stream ends with this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Too many names.
    #[error("more than {NAMES_MAX} {} are subscribed to on one stream", .0.as_str())]
    TooManyNames(ResourceType),
    /// A name that no resource can have.
    #[error("a name of {} bytes is longer than any resource's ({NAME_BYTES_MAX})", .0)]
    LongName(usize),
}

/// How far a proxy is with its snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The revision of the snapshot that it is given.
    pub revision: Revision,
    /// Whether it has all of it, and it is what the revision states.
    pub is_settled: bool,
    /// Whether requests can be sent to it: it has taken all that there is for it, and listens.
    pub can_serve: bool,
    /// Resources of the snapshot that it refused.
    pub refused: Vec<Refusal>,
    /// Why the snapshot is not what its revision states.
    pub problems: Arc<[String]>,
}

/// A resource that a proxy should have and refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The resource.
    pub resource: Arc<Resource>,
    /// The proxy's words.
    pub message: Arc<str>,
    /// Whether an earlier version of it is in use in its place.
    pub keeps_earlier: bool,
}

impl Conversation {
    /// A new stream with a proxy that should get `snapshot`.
    #[must_use]
    pub fn new(snapshot: Arc<Snapshot>, memory: Memory) -> Self {
        Self { snapshot, memory, subscriptions: BTreeMap::new(), warming: BTreeSet::new(), responses: 0 }
    }

    /// Puts a newer snapshot in the place of the present one.
    pub fn update(&mut self, snapshot: Arc<Snapshot>) {
        self.snapshot = snapshot;
    }

    /// Takes in a request about a type of resources and says what it means.
    ///
    /// # Errors
    /// When the request exceeds a limit. The stream is then to be ended.
    pub fn receive(&mut self, kind: ResourceType, request: &Request) -> Result<Vec<Event>, Violation> {
        let names = request.subscribe.iter().chain(request.held.keys());
        if let Some(long) = names.map(String::len).find(|length| *length > NAME_BYTES_MAX) {
            return Err(Violation::LongName(long));
        }
        let mut events = Vec::new();
        // Envoy asks for clusters first.
        if kind == ResourceType::Cluster && self.subscriptions.is_empty() && request.held.is_empty() {
            self.memory.apply(&Event::Started);
            events.push(Event::Started);
        }
        let desired = Desired { kind, snapshot: &self.snapshot, memory: &self.memory };
        let subscription = match self.subscriptions.entry(kind) {
            Entry::Vacant(entry) => {
                let subscription = entry.insert(Box::new(Subscription::open(desired, request)));
                if kind == ResourceType::Endpoints {
                    for cluster in std::mem::take(&mut self.warming) {
                        subscription.send_again(&cluster);
                    }
                }
                subscription
            }
            Entry::Occupied(entry) => {
                let subscription = entry.into_mut();
                if let Some(answer) = &request.answer {
                    events.extend(subscription.answer(desired, answer));
                }
                subscription.change(request);
                subscription
            }
        };
        if subscription.size() > NAMES_MAX {
            return Err(Violation::TooManyNames(kind));
        }
        for event in &events {
            self.memory.apply(event);
        }
        Ok(events)
    }

    /// The next response to send, if one may be sent now. To be called until there is none.
    pub fn next_response(&mut self) -> Option<Response> {
        self.end_early();
        self.next_additions().or_else(|| self.next_removals())
    }

    fn next_additions(&mut self) -> Option<Response> {
        for kind in ResourceType::ALL {
            let Some(subscription) = self.subscriptions.get(&kind) else { continue };
            if kind == ResourceType::Route && !self.clusters_are_warm() {
                continue;
            }
            let desired = self.desired(kind);
            if let Some(batch) = subscription.additions(desired) {
                return self.send(kind, batch.resources, batch.removed);
            }
            // The rest of a large set comes before anything that may refer to it.
            if subscription.has_unsent(desired) {
                return None;
            }
        }
        None
    }

    /// A cluster that was sent before another one serves once the proxy has its endpoints, and goes on while the other
    /// one gets ready.
    fn end_early(&mut self) {
        let early = self.subscriptions.get(&ResourceType::Cluster).map(|clusters| clusters.early());
        let Some(endpoints) = self.subscriptions.get(&ResourceType::Endpoints) else { return };
        let ready: Vec<String> =
            early.into_iter().flatten().filter(|name| endpoints.holds_any(name)).cloned().collect();
        if let Some(clusters) = self.subscriptions.get_mut(&ResourceType::Cluster) {
            clusters.end_early(&ready);
        }
    }

    /// Whether a route may lead to each cluster: until the proxy has said that it has a cluster's endpoints, that
    /// cluster is not there for its requests.
    fn clusters_are_warm(&self) -> bool {
        let Some(clusters) = self.subscriptions.get(&ResourceType::Cluster) else { return true };
        let endpoints = self.subscriptions.get(&ResourceType::Endpoints);
        let desired = self.desired(ResourceType::Cluster);
        self.snapshot.of(ResourceType::Endpoints).names().all(|name| match clusters.now(desired, name) {
            Some(cluster) => {
                clusters.holds(cluster) && endpoints.is_some_and(|endpoints| endpoints.holds_any(name))
            }
            // It is refused, or not wanted.
            None => true,
        })
    }

    fn next_removals(&mut self) -> Option<Response> {
        for kind in ResourceType::ALL.into_iter().rev() {
            if !referrers(kind).iter().all(|referrer| self.is_calm(*referrer)) {
                continue;
            }
            let Some(subscription) = self.subscriptions.get(&kind) else { continue };
            if let Some(batch) = subscription.removals(self.desired(kind)) {
                return self.send(kind, batch.resources, batch.removed);
            }
        }
        None
    }

    /// Whether no resource of the type that the proxy has may refer to what is obsolete. Of a type
    /// that it has not yet asked for on this stream it may have old ones from an earlier stream:
    /// every proxy asks for listeners, and for routes and clusters if there are any.
    fn is_calm(&self, kind: ResourceType) -> bool {
        match self.subscriptions.get(&kind) {
            Some(subscription) => subscription.is_calm(self.desired(kind)),
            None => kind != ResourceType::Listener && self.snapshot.of(kind).is_empty(),
        }
    }

    /// Whether a resource counts for being settled. A listener that the proxy cannot open does not, unless
    /// a policy shaped it, and neither does what only that one would ask for: where nothing listens, no
    /// policy is out of force. Where an earlier version of it serves, that one is not what should be there.
    fn counts(&self, kind: ResourceType, name: &str) -> bool {
        let listeners = self.desired(ResourceType::Listener);
        let is_closed = |name: &str| {
            listeners.is_refused_plumbing(name) && !self.keeps_earlier(ResourceType::Listener, name)
        };
        match kind {
            ResourceType::Listener => !is_closed(name),
            // A route configuration has the name of its listener.
            ResourceType::Route => !is_closed(name),
            ResourceType::Extension if name.starts_with(OUTBOUND_FILTERS) => {
                // It stands in all listeners that lead out.
                let listeners = self.snapshot.of(ResourceType::Listener).names();
                listeners.into_iter().any(|listener| listener != INBOUND && !is_closed(listener))
            }
            ResourceType::Extension => !is_closed(listener_of_policy(name)),
            ResourceType::Cluster | ResourceType::Endpoints | ResourceType::Secret => true,
        }
    }

    /// Whether the proxy has some version of a resource in use that it did not refuse, as far as is known.
    fn keeps_earlier(&self, kind: ResourceType, name: &str) -> bool {
        let subscription = self.subscriptions.get(&kind);
        self.memory.accepted(kind, name).is_some()
            || subscription.is_some_and(|subscription| subscription.came_with(name))
    }

    fn desired(&self, kind: ResourceType) -> Desired<'_> {
        Desired { kind, snapshot: &self.snapshot, memory: &self.memory }
    }

    fn send(
        &mut self,
        kind: ResourceType,
        resources: Vec<Arc<Resource>>,
        removed: Vec<String>,
    ) -> Option<Response> {
        if kind == ResourceType::Cluster {
            self.warm_again(&resources);
        }
        self.responses += 1;
        let nonce = self.responses.to_string();
        let desired = Desired { kind, snapshot: &self.snapshot, memory: &self.memory };
        self.subscriptions.get_mut(&kind)?.sent(desired, nonce.clone(), &resources, &removed);
        Some(Response { kind, nonce, revision: self.snapshot.revision, resources, removed })
    }

    /// A changed cluster waits for its endpoints anew, without asking for them.
    fn warm_again(&mut self, clusters: &[Arc<Resource>]) {
        match self.subscriptions.get_mut(&ResourceType::Endpoints) {
            Some(endpoints) => {
                for cluster in clusters {
                    endpoints.send_again(&cluster.name);
                }
            }
            None => self.warming.extend(clusters.iter().map(|cluster| cluster.name.clone())),
        }
    }

    /// How far the proxy is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let is_settled = |kind: ResourceType| {
            let counts = |name: &str| self.counts(kind, name);
            match self.subscriptions.get(&kind) {
                Some(subscription) => subscription.is_settled(self.desired(kind), counts),
                None => !self.snapshot.of(kind).names().any(|name| counts(name)),
            }
        };
        let refused = self.snapshot.all().filter_map(|resource| {
            let message = self.memory.refusal(resource.kind, &resource.name, &resource.version)?;
            let keeps_earlier = self.keeps_earlier(resource.kind, &resource.name);
            Some(Refusal { resource: resource.clone(), message, keeps_earlier })
        });
        let refused: Vec<_> = refused.collect();
        let has_all = ResourceType::ALL.into_iter().all(is_settled);
        let is_whole = self.snapshot.unmade.is_empty();
        let listens = !refused
            .iter()
            .map(|refusal| &refusal.resource)
            .any(|resource| resource.kind == ResourceType::Listener && resource.name == INBOUND);
        Progress {
            revision: self.snapshot.revision,
            is_settled: has_all && is_whole && self.snapshot.problems.is_empty(),
            can_serve: has_all && is_whole && listens,
            refused,
            problems: self.snapshot.problems.clone(),
        }
    }
}

/// The types whose resources name resources of this type.
fn referrers(kind: ResourceType) -> &'static [ResourceType] {
    match kind {
        ResourceType::Cluster => &[ResourceType::Listener, ResourceType::Route],
        ResourceType::Endpoints => &[ResourceType::Cluster],
        ResourceType::Route | ResourceType::Extension => &[ResourceType::Listener],
        ResourceType::Secret => &[ResourceType::Listener, ResourceType::Cluster],
        ResourceType::Listener => &[],
    }
}
