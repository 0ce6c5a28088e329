//! What every proxy has taken, refused and not yet answered: one place for status, `apply --wait`
//! and liveness to ask.
//!
//! A proxy stands here from its first stream on, also while it has none: what it refused must be
//! known when it comes back, and after a restart of the control plane ([`refusals`]).

pub mod refusals;
#[cfg(test)]
mod tests;

use crate::delivery::snapshot::ResourceType;
use crate::delivery::xds::Memory;
use crate::delivery::xds::conversation::Progress;
use crate::delivery::xds::message::Event;
use crate::mesh::model::{ProxyId, Revision};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Proxies that are remembered after they left the mesh, for what they refused.
const LEFT_PROXIES_MAX: usize = 4096;

/// The board.
#[derive(Debug, Default)]
pub struct AckBoard {
    proxies: Mutex<BTreeMap<ProxyId, Entry>>,
    changes: watch::Sender<u64>,
    /// Grows whenever what is to be remembered for ever changes.
    refusals: watch::Sender<u64>,
}

/// What is known of one proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyStatus {
    /// Whether it has a stream now.
    pub is_connected: bool,
    /// Since when it has, or has not.
    pub since: Timestamp,
    /// The newest revision that it has had whole; `None` if it has had none since it was started.
    pub applied: Option<Revision>,
    /// The revision that it is being given.
    pub offered: Revision,
    /// What it should have and refused.
    pub refused: Vec<Refused>,
    /// Why what it is given is not what the policies say; see [`crate::delivery::snapshot::Snapshot::problems`].
    pub problems: Arc<[String]>,
    /// Versions that it holds, by type and name.
    pub held: BTreeMap<ResourceType, BTreeMap<String, String>>,
}

/// A resource that a proxy refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its type.
    pub kind: ResourceType,
    /// Its name.
    pub name: String,
    /// The refused version.
    pub version: String,
    /// The policies that shaped it; empty for plumbing.
    pub policies: Arc<[String]>,
    /// The proxy's own words; of long ones the end.
    pub message: Arc<str>,
}

/// The right to note what happens on one stream.
#[derive(Debug)]
pub struct Ticket {
    /// What the proxy refused and took on earlier streams.
    pub memory: Memory,
    /// Cancelled when the stream is to end, also because the proxy opened another one.
    pub stop: CancellationToken,
    proxy: ProxyId,
    number: u64,
}

#[derive(Debug)]
struct Entry {
    /// The number of the newest stream.
    stream: u64,
    stop: CancellationToken,
    memory: Memory,
    status: ProxyStatus,
    has_left: bool,
}

impl AckBoard {
    /// Notes that a proxy opened a stream; an earlier one that it still has is ended. The stream
    /// also ends with `stop`.
    pub fn open(&self, proxy: &ProxyId, now: Timestamp, stop: &CancellationToken) -> Ticket {
        let stop = stop.child_token();
        let mut proxies = self.lock();
        let entry = proxies.entry(proxy.clone()).or_insert_with(|| Entry::new(now));
        entry.stop.cancel();
        entry.stop = stop.clone();
        entry.stream += 1;
        entry.has_left = false;
        entry.status.is_connected = true;
        entry.status.since = now;
        let ticket =
            Ticket { memory: entry.memory.clone(), stop, proxy: proxy.clone(), number: entry.stream };
        drop(proxies);
        self.tell();
        ticket
    }

    /// Notes what requests meant and how far the proxy is. Does nothing for a stream that another one replaced.
    pub fn note(&self, ticket: &Ticket, events: &[Event], progress: Progress) {
        let mut proxies = self.lock();
        let Some(entry) = proxies.get_mut(&ticket.proxy).filter(|entry| entry.stream == ticket.number) else {
            return;
        };
        for event in events {
            log(&ticket.proxy, event);
            entry.memory.apply(event);
        }
        if events.contains(&Event::Started) {
            entry.status.applied = None;
        }
        if events.iter().any(|event| matches!(event, Event::Rejected { .. })) {
            self.refusals.send_modify(|changes| *changes += 1);
        }
        let before = entry.status.clone();
        entry.status.take_in(progress);
        let is_changed = entry.status != before;
        drop(proxies);
        if is_changed {
            self.tell();
        }
    }

    /// Notes that a stream ended.
    pub fn close(&self, ticket: &Ticket, now: Timestamp) {
        let mut proxies = self.lock();
        let Some(entry) = proxies.get_mut(&ticket.proxy).filter(|entry| entry.stream == ticket.number) else {
            return;
        };
        entry.status.is_connected = false;
        entry.status.since = now;
        drop(proxies);
        self.tell();
    }

    /// Notes that a proxy left the mesh. What it refused is remembered as long as there is room,
    /// for its Envoy may still run and come back.
    pub fn leave(&self, proxy: &ProxyId) {
        let mut proxies = self.lock();
        if let Some(entry) = proxies.get_mut(proxy) {
            entry.has_left = true;
            entry.stop.cancel();
        }
        let left = proxies.iter().filter(|(_, entry)| entry.has_left);
        let oldest = left.clone().min_by_key(|(_, entry)| entry.status.since).map(|(id, _)| id.clone());
        if left.count() > LEFT_PROXIES_MAX {
            oldest.and_then(|id| proxies.remove(&id));
            self.refusals.send_modify(|changes| *changes += 1);
        }
        drop(proxies);
        self.tell();
    }

    /// What is known of a proxy; `None` if it never had a stream, or left.
    #[must_use]
    pub fn status(&self, proxy: &ProxyId) -> Option<ProxyStatus> {
        let proxies = self.lock();
        let entry = proxies.get(proxy).filter(|entry| !entry.has_left)?;
        Some(entry.status.clone())
    }

    /// What is known of all proxies that had a stream and have not left.
    #[must_use]
    pub fn statuses(&self) -> BTreeMap<ProxyId, ProxyStatus> {
        let proxies = self.lock();
        let present = proxies.iter().filter(|(_, entry)| !entry.has_left);
        present.map(|(id, entry)| (id.clone(), entry.status.clone())).collect()
    }

    /// A number that grows whenever something on the board changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn tell(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ProxyId, Entry>> {
        // Nothing in here panics while it holds the lock, and an entry is whole after each line.
        self.proxies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn new(now: Timestamp) -> Self {
        let status = ProxyStatus {
            is_connected: false,
            since: now,
            applied: None,
            offered: Revision::default(),
            refused: Vec::new(),
            problems: Arc::default(),
            held: BTreeMap::new(),
        };
        let stop = CancellationToken::new();
        Self { stream: 0, stop, memory: Memory::default(), status, has_left: false }
    }
}

impl ProxyStatus {
    fn take_in(&mut self, progress: Progress) {
        self.offered = progress.revision;
        if progress.is_settled {
            self.applied = Some(progress.revision);
        }
        let refused = progress.refused.into_iter().map(|(resource, message)| Refused {
            kind: resource.kind,
            name: resource.name.clone(),
            version: resource.version.clone(),
            policies: resource.policies.clone(),
            message,
        });
        self.refused = refused.collect();
        self.problems = progress.problems;
        self.held = progress.held;
    }
}

fn log(proxy: &ProxyId, event: &Event) {
    match event {
        Event::Started => tracing::debug!(proxy = proxy.0, "began without configuration"),
        Event::Accepted { resource } => tracing::debug!(
            proxy = proxy.0,
            kind = resource.kind.as_str(),
            name = resource.name,
            version = resource.version,
            "accepted"
        ),
        Event::Rejected { resource, message } => tracing::warn!(
            proxy = proxy.0,
            kind = resource.kind.as_str(),
            name = resource.name,
            version = resource.version,
            policies = resource.policies.join(", "),
            message,
            "refused"
        ),
        Event::Removed { kind, name } => {
            tracing::debug!(proxy = proxy.0, kind = kind.as_str(), name, "removed");
        }
    }
}
