//! Per-stream bookkeeping of one type of resources: what the proxy asked for, what it was sent,
//! what it holds. Which resource is good enough to be sent is for [`Desired`] to say; when it may
//! be sent, for the [conversation](super::conversation).

use super::memory::Memory;
use super::message::{Answer, Event, Request, WILDCARD};
use crate::delivery::snapshot::{Resource, ResourceType, Resources, Snapshot};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Resources in one response; the rest follows when it is answered.
const RESPONSE_RESOURCES_MAX: usize = 256;
/// Bytes of resources in one response, unless one alone is larger. Well below the 4 MiB that gRPC
/// clients take by default.
const RESPONSE_BYTES_MAX: usize = 1024 * 1024;

/// What a proxy should have of one type, in view of what it refused.
#[derive(Clone, Copy)]
pub(super) struct Desired<'a> {
    pub(super) kind: ResourceType,
    pub(super) snapshot: &'a Snapshot,
    pub(super) memory: &'a Memory,
}

impl<'a> Desired<'a> {
    fn resources(&self) -> &'a Resources {
        self.snapshot.of(self.kind)
    }

    /// Whether there is, or should be, a resource of this name.
    fn exists(&self, name: &str) -> bool {
        self.resources().contains(name) || self.snapshot.is_unmade(self.kind, name)
    }

    /// Whether it is a listener that the proxy refused for a reason that is no policy's.
    pub(super) fn is_refused_plumbing(&self, name: &str) -> bool {
        let resource = self.resources().get(name).filter(|resource| resource.policies.is_empty());
        let refused = |resource: &Arc<Resource>| self.memory.refusal(self.kind, name, &resource.version);
        self.kind == ResourceType::Listener && resource.is_some_and(|resource| refused(resource).is_some())
    }

    /// What to send for this name: the desired resource, or the last good one if the proxy refused that.
    pub(super) fn target(&self, name: &str) -> Option<&'a Arc<Resource>> {
        let resource = self.resources().get(name)?;
        if self.memory.refusal(self.kind, name, &resource.version).is_none() {
            return Some(resource);
        }
        self.memory.accepted(self.kind, name)
    }
}

/// Resources and names for one response.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) resources: Vec<Arc<Resource>>,
    pub(super) removed: Vec<String>,
}

#[derive(Debug)]
struct InFlight {
    nonce: String,
    batch: Batch,
}

/// The state of one type on one stream.
#[derive(Debug, Default)]
pub(super) struct Subscription {
    wildcard: bool,
    names: BTreeSet<String>,
    held: Held,
    /// Of which the proxy said, when the stream began, that it has a version which it did not refuse, and which were
    /// not removed since; the versions do not matter.
    came_with: Held,
    /// Names of which the proxy knows that there is no such resource.
    absent: BTreeSet<String>,
    in_flight: Option<InFlight>,
    /// Names to be sent again even if what is in flight is taken.
    again: BTreeSet<String>,
    /// Resources of a response that was refused as a whole. They are sent one by one, to find the culprit.
    suspects: BTreeSet<String>,
    /// Whether anything was sent, or the proxy came with resources of an earlier stream.
    is_greeted: bool,
    /// Names of which the proxy is to keep what comes before a resource until that is in use.
    early: BTreeSet<String>,
}

/// What the proxy has.
#[derive(Debug, Default)]
struct Held {
    /// Resources that it took.
    taken: Resources,
    /// Versions that it said to hold when the stream began, and nobody has sent since; `None` if it has some version,
    /// or may have: of a refused response Envoy may have taken a part.
    other: BTreeMap<String, Option<String>>,
}

impl Held {
    fn contains(&self, name: &str) -> bool {
        self.taken.contains(name) || self.other.contains_key(name)
    }

    /// Whether the proxy has just this version.
    fn has(&self, resource: &Resource) -> bool {
        match self.taken.get(&resource.name) {
            Some(taken) => taken.version == resource.version,
            None => self
                .other
                .get(&resource.name)
                .is_some_and(|version| version.as_ref() == Some(&resource.version)),
        }
    }

    fn take(&mut self, resource: Arc<Resource>) {
        self.other.remove(&resource.name);
        self.taken.put(resource);
    }

    /// Notes that the proxy may have any version, or has this one.
    fn set(&mut self, name: String, version: Option<String>) {
        self.taken.remove(&name);
        self.other.insert(name, version);
    }

    /// Says whether there was something to remove.
    fn remove(&mut self, name: &str) -> bool {
        self.other.remove(name).is_some() | self.taken.remove(name).is_some()
    }

    fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        self.taken.retain(|resource| wanted(&resource.name));
        self.other.retain(|name, _| wanted(name));
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        self.taken.names().chain(self.other.keys())
    }

    fn len(&self) -> usize {
        self.taken.len() + self.other.len()
    }
}

impl Subscription {
    /// Opens the subscription with the first request of its type.
    pub(super) fn open(desired: Desired<'_>, request: &Request) -> Self {
        let by_wildcard = matches!(desired.kind, ResourceType::Cluster | ResourceType::Listener);
        let mut subscription =
            Self { wildcard: by_wildcard && request.subscribe.is_empty(), ..Self::default() };
        for name in &request.subscribe {
            subscription.want(name);
        }
        // A proxy may report a version that it refused as held: it is not to be believed.
        let refused =
            |name: &str, version: &str| desired.memory.refusal(desired.kind, name, version).is_some();
        let mut held = Held::default();
        let mut came_with = Held::default();
        for (name, version) in request.held.iter().filter(|(name, _)| subscription.wants(name)) {
            let present = desired.resources().get(name).filter(|resource| resource.version == *version);
            match present {
                _ if refused(name, version) => held.set(name.clone(), None),
                Some(resource) => {
                    came_with.take(resource.clone());
                    held.take(resource.clone());
                }
                None => {
                    came_with.set(name.clone(), None);
                    held.set(name.clone(), Some(version.clone()));
                }
            }
        }
        subscription.is_greeted = held.len() > 0;
        subscription.held = held;
        subscription.came_with = came_with;
        subscription
    }

    /// Takes in a later request's changes of interest. A name that is asked for again is sent again.
    pub(super) fn change(&mut self, request: &Request) {
        for name in &request.subscribe {
            self.want(name);
            if name != WILDCARD {
                self.send_again(name);
            }
        }
        for name in &request.unsubscribe {
            if name == WILDCARD {
                self.wildcard = false;
            } else {
                self.names.remove(name);
            }
        }
        if !request.unsubscribe.is_empty() {
            let (wildcard, names) = (self.wildcard, &self.names);
            self.held.retain(|name| wildcard || names.contains(name));
            self.absent.retain(|name| names.contains(name));
        }
    }

    fn want(&mut self, name: &str) {
        if name == WILDCARD {
            self.wildcard = true;
        } else {
            self.names.insert(name.to_owned());
        }
    }

    fn wants(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
    }

    /// Whether the proxy came with some version of this resource, and still has one.
    pub(super) fn came_with(&self, name: &str) -> bool {
        self.came_with.contains(name)
    }

    /// How many names it knows.
    pub(super) fn size(&self) -> usize {
        self.names.len() + self.held.len()
    }

    /// Has the resource sent even if the proxy holds it.
    pub(super) fn send_again(&mut self, name: &str) {
        if self.held.contains(name) {
            self.held.set(name.to_owned(), None);
        }
        self.absent.remove(name);
        if self.in_flight.is_some() {
            self.again.insert(name.to_owned());
        }
    }

    /// Whether the proxy has just this version of a resource.
    pub(super) fn holds(&self, resource: &Resource) -> bool {
        self.held.has(resource)
    }

    /// Whether the proxy has some version of a resource.
    pub(super) fn holds_any(&self, name: &str) -> bool {
        self.held.contains(name)
    }

    /// Names of which the proxy has taken what comes before a resource.
    pub(super) fn early(&self) -> impl Iterator<Item = &String> {
        self.early.iter().filter(|name| self.held.contains(name))
    }

    /// Notes that what came before resources is in use, so that the resources themselves may follow.
    pub(super) fn end_early(&mut self, in_use: &[String]) {
        in_use.iter().for_each(|name| {
            self.early.remove(name);
        });
    }

    /// What the proxy is to have of a name now: what it should have, or what comes before that, if it has nothing
    /// yet. At its start it waits for whatever takes time, and so it does without.
    pub(super) fn now<'a>(&self, desired: Desired<'a>, name: &str) -> Option<&'a Arc<Resource>> {
        let target = desired.target(name)?;
        let is_early = self.early.contains(name) || (self.is_greeted && !self.held.contains(name));
        Some(target.before.as_ref().filter(|_| is_early).unwrap_or(target))
    }

    /// Takes in an answer. One to another response than the last is without meaning.
    pub(super) fn answer(&mut self, desired: Desired<'_>, answer: &Answer) -> Vec<Event> {
        let Some(in_flight) = self.in_flight.take_if(|in_flight| in_flight.nonce == answer.nonce) else {
            return Vec::new();
        };
        let again = std::mem::take(&mut self.again);
        let mut events = Vec::new();
        for name in in_flight.batch.removed {
            self.came_with.remove(&name);
            self.early.remove(&name);
            if self.held.remove(&name) {
                events.push(Event::Removed { kind: desired.kind, name: name.clone() });
            }
            if self.names.contains(&name) && !again.contains(&name) {
                self.absent.insert(name);
            }
        }
        let alone = in_flight.batch.resources.len() == 1;
        for resource in in_flight.batch.resources {
            match answer.rejection.clone() {
                None => {
                    if again.contains(&resource.name) && self.wants(&resource.name) {
                        self.held.set(resource.name.clone(), None);
                    } else if self.wants(&resource.name) {
                        self.held.take(resource.clone());
                    }
                    self.suspects.remove(&resource.name);
                    events.push(Event::Accepted { resource });
                }
                Some(message) => {
                    self.early.remove(&resource.name);
                    self.held.set(resource.name.clone(), None);
                    if alone {
                        self.suspects.remove(&resource.name);
                        events.push(Event::Rejected { resource, message });
                    } else {
                        self.suspects.insert(resource.name.clone());
                    }
                }
            }
        }
        events
    }

    /// Resources that the proxy wants, and has not in the version that it should have.
    fn unsent<'a>(&'a self, desired: Desired<'a>) -> impl Iterator<Item = &'a Arc<Resource>> {
        desired
            .resources()
            .names()
            .filter(|name| self.wants(name))
            .filter_map(move |name| self.now(desired, name))
            .filter(|target| !self.holds(target))
    }

    /// Names asked for that do not exist, as far as the proxy does not know it.
    fn unknown<'a>(&'a self, desired: Desired<'a>) -> impl Iterator<Item = &'a String> {
        self.names.iter().filter(move |name| {
            !desired.exists(name) && !self.held.contains(name) && !self.absent.contains(*name)
        })
    }

    /// Resources that the proxy holds and should not.
    fn obsolete<'a>(&'a self, desired: Desired<'a>) -> impl Iterator<Item = &'a String> {
        self.held.names().filter(move |name| !desired.exists(name))
    }

    /// Whether additions are left that the response in flight, if any, does not contain.
    pub(super) fn has_unsent(&self, desired: Desired<'_>) -> bool {
        let in_flight = |name: &str| {
            self.in_flight.as_ref().is_some_and(|in_flight| {
                in_flight.batch.resources.iter().any(|resource| resource.name == name)
            })
        };
        self.unsent(desired).any(|resource| !in_flight(&resource.name))
    }

    /// Whether the proxy has exactly what it should have of this type, so that none was refused, of those
    /// resources that count.
    pub(super) fn is_settled(&self, desired: Desired<'_>, counts: impl Fn(&str) -> bool) -> bool {
        self.is_done(desired, counts)
    }

    /// Whether no resource of this type that the proxy has, or is getting, is an old one that might
    /// refer to what is to be removed. Resources in which it is not interested do not count.
    pub(super) fn is_calm(&self, desired: Desired<'_>) -> bool {
        self.is_done(desired, |name| self.wants(name))
    }

    fn is_done(&self, desired: Desired<'_>, counts: impl Fn(&str) -> bool) -> bool {
        self.in_flight.is_none()
            && desired
                .resources()
                .iter()
                .filter(|resource| counts(&resource.name))
                .all(|resource| self.holds(resource))
            && self.obsolete(desired).next().is_none()
    }

    /// The next additions, if there are any and no response is in flight.
    pub(super) fn additions(&self, desired: Desired<'_>) -> Option<Batch> {
        if self.in_flight.is_some() {
            return None;
        }
        // Envoy applies a response with several extensions in part when it refuses one.
        let singly = desired.kind == ResourceType::Extension
            || self.unsent(desired).any(|resource| self.suspects.contains(&resource.name));
        let resources_max = if singly { 1 } else { RESPONSE_RESOURCES_MAX };
        let mut batch = Batch::default();
        let mut bytes = 0;
        for resource in self.unsent(desired).take(resources_max) {
            bytes += resource.body.len();
            if bytes > RESPONSE_BYTES_MAX && !batch.resources.is_empty() {
                break;
            }
            batch.resources.push(resource.clone());
        }
        if batch.resources.is_empty() {
            batch.removed = self.unknown(desired).take(RESPONSE_RESOURCES_MAX).cloned().collect();
        }
        // Envoy starts only when it has an answer about all clusters and listeners, be there none.
        let is_greeting = self.wildcard && !self.is_greeted;
        (is_greeting || !batch.resources.is_empty() || !batch.removed.is_empty()).then_some(batch)
    }

    /// The next removals, if there are any and no response is in flight.
    pub(super) fn removals(&self, desired: Desired<'_>) -> Option<Batch> {
        if self.in_flight.is_some() {
            return None;
        }
        let mut removed: Vec<_> = self.obsolete(desired).take(RESPONSE_RESOURCES_MAX).cloned().collect();
        removed.sort();
        (!removed.is_empty()).then_some(Batch { resources: Vec::new(), removed })
    }

    /// Notes that a batch is under way.
    pub(super) fn sent(
        &mut self,
        desired: Desired<'_>,
        nonce: String,
        resources: &[Arc<Resource>],
        removed: &[String],
    ) {
        let is_early = |resource: &&Arc<Resource>| {
            let before = desired.target(&resource.name).and_then(|target| target.before.as_ref());
            before.is_some_and(|before| before.version == resource.version)
        };
        self.early.extend(resources.iter().filter(is_early).map(|resource| resource.name.clone()));
        let batch = Batch { resources: resources.to_vec(), removed: removed.to_vec() };
        self.in_flight = Some(InFlight { nonce, batch });
        self.is_greeted = true;
    }
}
