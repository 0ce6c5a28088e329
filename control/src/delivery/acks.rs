//! What every proxy has taken, refused and not yet answered: one place for status, `apply --wait`
//! and liveness to ask.
//!
//! A proxy stands here from its registration on, also while it has no stream: what it refused must be
//! known when it comes back, and after a restart of the control plane ([`refusals`]). Who is absent and who is
//! behind is kept beside it, so that nobody looks through all to find a few.

pub mod refusals;
#[cfg(test)]
mod tests;

use crate::delivery::fleet::FleetChange;
use crate::delivery::snapshot::ResourceType;
use crate::delivery::xds::conversation::Progress;
use crate::delivery::xds::message::Event;
use crate::delivery::xds::{Application, Counts, Memory, UnopenedListeners};
use crate::mesh::model::{ProxyId, Revision};
use crate::mesh::words::visible;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long a proxy may take to come back: after a restart of the control plane, when all come at once, and after its
/// stream has ended.
const RETURN_AFTER_RESTART: SignedDuration = SignedDuration::from_secs(60);
const RETURN_AFTER_STREAM: SignedDuration = SignedDuration::from_secs(10);
/// Proxies that are remembered after they left the mesh, for what they refused.
const LEFT_PROXIES_MAX: usize = 4096;

/// The board.
#[derive(Debug, Default)]
pub struct AckBoard {
    entries: Mutex<Entries>,
    changes: watch::Sender<u64>,
    /// Grows whenever what is to be remembered for ever changes.
    refusals: watch::Sender<u64>,
    /// Grows whenever a proxy is able to serve, or not any more.
    abilities: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Entries {
    proxies: BTreeMap<ProxyId, Entry>,
    /// Registered proxies without a stream.
    absent: BTreeSet<ProxyId>,
    /// Connected proxies that do not have all of what they are expected to have.
    behind: BTreeSet<ProxyId>,
    /// How many have a stream.
    connected: usize,
    /// How many have a stream and joined with a token, by the token's id.
    connected_with: BTreeMap<String, usize>,
    /// Proxies of whose ability nobody has asked since it changed.
    changed: BTreeSet<ProxyId>,
    /// Proxies that left, since when.
    left: BTreeSet<(Timestamp, ProxyId)>,
}

/// How many proxies have a stream, and who does not have all of what is expected of it, or may not have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// How many have a stream.
    pub connected: usize,
    /// Those with a stream that are behind.
    pub behind: BTreeMap<ProxyId, ProxyStatus>,
    /// The registered ones without a stream, whatever they have.
    pub absent: BTreeMap<ProxyId, ProxyStatus>,
}

/// What is known of one proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyStatus {
    /// Whether it has a stream now.
    pub is_connected: bool,
    /// Since when it has, or has not.
    pub since: Timestamp,
    /// The revision of the newest snapshot that it has had whole; `None` if it has had none since it was started.
    pub applied: Option<Revision>,
    /// The revision of the snapshot that it is being given.
    pub offered: Revision,
    /// The revision of the snapshot that it is to be given. Who has that one is as far as the whole fleet is, for a
    /// snapshot that later revisions did not change keeps its own.
    pub expected: Option<Revision>,
    /// What it should have and refused.
    pub refused: Vec<Refused>,
    /// Whether it has taken all that there is for it, and listens.
    pub can_serve: bool,
    /// Whether its application answers; `None` as long as it has not said so on its stream.
    pub application: Option<Application>,
    /// What it took and does not listen at, as far as it has said so on its stream.
    pub unopened: Option<Arc<UnopenedListeners>>,
    /// Why what it is given is not what the policies say; see [`crate::delivery::snapshot::Snapshot::problems`].
    pub problems: Arc<[String]>,
}

/// Whether a proxy that has a stream is able to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ability {
    /// Whether it has taken all that there is for it, and listens.
    pub can_serve: bool,
    /// Whether its application answers; `None` as long as it has not said so.
    pub application: Option<Application>,
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
    /// The statements that shaped it, as far as they are named; see [`crate::delivery::snapshot::Resource::statements`].
    pub statements: Arc<[Arc<str>]>,
    /// The proxy's own words; of long ones the end.
    pub message: Arc<str>,
    /// Whether an earlier version of it is in use in its place.
    pub keeps_earlier: bool,
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
    /// The number of the newest stream; 0 if there was none yet.
    stream: u64,
    stop: CancellationToken,
    memory: Memory,
    status: ProxyStatus,
    /// Until when it may be on its way back to a stream. Long ago for one that has just joined.
    returns_until: Timestamp,
    has_left: bool,
    /// The id of the token for which its stream is counted.
    token: Option<String>,
    /// It left the mesh, and its stream has not ended yet.
    is_leaving: bool,
    /// How many requests its Envoy has answered, as far as it has said so on its stream.
    counts: Option<Arc<Counts>>,
}

impl AckBoard {
    /// Notes that proxies joined with an earlier process of the control plane, and are on their way back now.
    pub fn await_return<'a>(&self, proxies: impl Iterator<Item = &'a ProxyId>, now: Timestamp) {
        let mut entries = self.lock();
        for id in proxies {
            let entry =
                entries.proxies.entry(id.clone()).or_insert_with(|| Entry::new(Timestamp::UNIX_EPOCH));
            entry.returns_until = after(now, RETURN_AFTER_RESTART);
        }
    }

    /// Notes which snapshots proxies are about to be given. Before they are: so nobody passes for having a revision
    /// of which there is something on the way to it.
    pub fn expect(&self, change: &FleetChange) {
        let mut entries = self.lock();
        for (id, snapshot) in &change.given {
            entries.expect(id, snapshot.revision);
        }
        if change.is_whole {
            let unknown = |id: &&ProxyId| !change.given.contains_key(*id);
            let gone: Vec<ProxyId> = entries.absent.iter().filter(unknown).cloned().collect();
            gone.iter().for_each(|id| entries.unexpect(id));
        }
        change.gone.iter().for_each(|id| entries.unexpect(id));
        drop(entries);
        self.tell();
    }

    /// Notes that a proxy opened a stream; an earlier one that it still has is ended. The stream
    /// also ends with `stop`.
    pub fn open(&self, proxy: &ProxyId, now: Timestamp, stop: &CancellationToken) -> Ticket {
        let stop = stop.child_token();
        let mut entries = self.lock();
        let Entries { proxies, absent, behind, connected, left, .. } = &mut *entries;
        let entry = proxies.entry(proxy.clone()).or_insert_with(|| Entry::new(now));
        if !entry.status.is_connected {
            *connected += 1;
        }
        if entry.has_left {
            left.remove(&(entry.status.since, proxy.clone()));
        }
        entry.stop.cancel();
        entry.stop = stop.clone();
        entry.stream += 1;
        entry.has_left = false;
        entry.is_leaving = false;
        entry.status.is_connected = true;
        entry.status.since = now;
        entry.status.can_serve = false;
        entry.status.application = None;
        entry.status.unopened = None;
        entry.counts = None;
        absent.remove(proxy);
        behind.insert(proxy.clone());
        entry.memory.forgive_listeners();
        let ticket =
            Ticket { memory: entry.memory.clone(), stop, proxy: proxy.clone(), number: entry.stream };
        drop(entries);
        self.tell();
        ticket
    }

    /// Notes with which token a proxy joined, for as long as it has a stream.
    pub fn note_token(&self, proxy: &ProxyId, token: Option<&str>) {
        self.lock().count_with(proxy, None, token);
    }

    /// How many proxies that joined with a token have a stream.
    #[must_use]
    pub fn connected_with(&self, token: &str) -> usize {
        self.lock().connected_with.get(token).copied().unwrap_or_default()
    }

    /// Notes what requests meant and how far the proxy is. Does nothing for a stream that another one replaced.
    pub fn note(&self, ticket: &Ticket, events: &[Event], progress: Progress) {
        let mut entries = self.lock();
        let Entries { proxies, behind, changed, .. } = &mut *entries;
        let Some(entry) = proxies.get_mut(&ticket.proxy).filter(|entry| entry.stream == ticket.number) else {
            return;
        };
        let ability_before = entry.status.ability();
        let mut is_changed = false;
        for event in events {
            log(&ticket.proxy, event);
            entry.memory.apply(event);
            match event {
                Event::Started => is_changed |= entry.status.applied.take().is_some(),
                Event::Application(application) => entry.status.application = Some(application.clone()),
                Event::Unopened(unopened) => is_changed |= entry.status.note_unopened(unopened),
                // Who is interested looks from time to time: nobody is woken by it.
                Event::Counts(counts) => entry.counts = Some(Arc::new(counts.clone())),
                Event::Accepted { .. } | Event::Rejected { .. } | Event::Removed { .. } => {}
            }
        }
        if events.iter().any(|event| matches!(event, Event::Rejected { .. })) {
            self.refusals.send_modify(|changes| *changes += 1);
        }
        let has_all = progress.is_settled;
        is_changed |= entry.status.take_in(progress);
        let status = &entry.status;
        let is_able = status.ability() != ability_before;
        if is_able {
            changed.insert(ticket.proxy.clone());
        }
        let is_behind = !has_all || status.expected.is_some_and(|expected| status.offered != expected);
        is_changed |= match is_behind {
            true => behind.insert(ticket.proxy.clone()),
            false => behind.remove(&ticket.proxy),
        };
        drop(entries);
        if is_able {
            self.abilities.send_modify(|changes| *changes += 1);
        }
        if is_changed {
            self.tell();
        }
    }

    /// Notes that a stream ended.
    pub fn close(&self, ticket: &Ticket, now: Timestamp) {
        let mut entries = self.lock();
        entries.count_with(&ticket.proxy, Some(ticket.number), None);
        let Entries { proxies, absent, behind, connected, left, .. } = &mut *entries;
        let Some(entry) = proxies.get_mut(&ticket.proxy).filter(|entry| entry.stream == ticket.number) else {
            return;
        };
        if std::mem::take(&mut entry.status.is_connected) {
            *connected -= 1;
        }
        behind.remove(&ticket.proxy);
        if entry.has_left {
            left.remove(&(entry.status.since, ticket.proxy.clone()));
            left.insert((now, ticket.proxy.clone()));
        } else if entry.status.expected.is_some() {
            absent.insert(ticket.proxy.clone());
        }
        entry.status.since = now;
        entry.returns_until = after(now, RETURN_AFTER_STREAM);
        if entry.is_leaving {
            entries.leave(&ticket.proxy);
        }
        drop(entries);
        self.tell();
    }

    /// Notes that a proxy left the mesh. What it refused is remembered as long as there is room,
    /// for its Envoy may still run and come back.
    pub fn leave(&self, proxy: &ProxyId) {
        let mut entries = self.lock();
        entries.leave(proxy);
        if entries.left.len() > LEFT_PROXIES_MAX
            && let Some((_, oldest)) = entries.left.pop_first()
        {
            entries.proxies.remove(&oldest);
            self.refusals.send_modify(|changes| *changes += 1);
        }
        drop(entries);
        self.tell();
    }

    /// Whether a proxy has a stream and has not left.
    #[must_use]
    pub fn is_connected(&self, proxy: &ProxyId) -> bool {
        self.lock().proxies.get(proxy).is_some_and(|entry| entry.is_shown() && entry.status.is_connected)
    }

    /// How many of these proxies have no stream and may be on their way back to one, as all are for a while after a
    /// restart of the control plane.
    pub fn returning<'a>(&self, proxies: impl Iterator<Item = &'a ProxyId>, now: Timestamp) -> usize {
        let entries = self.lock();
        let returns = |entry: &&Entry| !entry.status.is_connected && entry.returns_until > now;
        proxies.filter_map(|id| entries.proxies.get(id)).filter(returns).count()
    }

    /// The proxies whose ability to serve changed since this was asked the last time, and have a stream.
    #[must_use]
    pub fn take_abilities(&self) -> BTreeMap<ProxyId, Ability> {
        let mut entries = self.lock();
        let changed = std::mem::take(&mut entries.changed);
        let ability = |id: ProxyId| {
            let entry =
                entries.proxies.get(&id).filter(|entry| entry.is_shown() && entry.status.is_connected)?;
            Some((id, entry.status.ability()))
        };
        changed.into_iter().filter_map(ability).collect()
    }

    /// A number that grows whenever the ability of a proxy changes.
    #[must_use]
    pub fn watch_abilities(&self) -> watch::Receiver<u64> {
        self.abilities.subscribe()
    }

    /// What is known of all proxies that had a stream and have not left.
    #[must_use]
    pub fn statuses(&self) -> BTreeMap<ProxyId, ProxyStatus> {
        let entries = self.lock();
        let shown = entries.proxies.iter().filter(|(_, entry)| entry.is_shown());
        shown.map(|(id, entry)| (id.clone(), entry.status.clone())).collect()
    }

    /// What is known of these, of those that had a stream and have not left.
    #[must_use]
    pub fn statuses_of<'a>(
        &self,
        proxies: impl Iterator<Item = &'a ProxyId>,
    ) -> BTreeMap<ProxyId, ProxyStatus> {
        let entries = self.lock();
        let shown = proxies.filter_map(|id| Some((id, entries.proxies.get(id)?)));
        let shown = shown.filter(|(_, entry)| entry.is_shown());
        shown.map(|(id, entry)| (id.clone(), entry.status.clone())).collect()
    }

    /// How many requests the Envoys of these have answered, of those that have said so on their streams.
    #[must_use]
    pub fn counts_of<'a>(
        &self,
        proxies: impl Iterator<Item = &'a ProxyId>,
    ) -> BTreeMap<ProxyId, Arc<Counts>> {
        let entries = self.lock();
        let of = |id: &ProxyId| Some((id.clone(), entries.proxies.get(id)?.counts.clone()?));
        proxies.filter_map(of).collect()
    }

    /// How many proxies have a stream, who of them is behind, and who is absent; costs what those do.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let entries = self.lock();
        let status = |id: &ProxyId| Some((id.clone(), entries.proxies.get(id)?.status.clone()));
        Standing {
            connected: entries.connected,
            behind: entries.behind.iter().filter_map(status).collect(),
            absent: entries.absent.iter().filter_map(status).collect(),
        }
    }

    /// The registered proxies without a stream.
    #[must_use]
    pub fn absent(&self) -> BTreeSet<ProxyId> {
        self.lock().absent.clone()
    }

    /// A number that grows whenever something on the board changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn tell(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // Nothing in here panics while it holds the lock, and an entry is whole after each line.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn expect(&mut self, id: &ProxyId, revision: Revision) {
        let entry = self.proxies.entry(id.clone()).or_insert_with(|| Entry::new(Timestamp::UNIX_EPOCH));
        entry.status.expected = Some(revision);
        // There may be something on the way that it has to take first.
        entry.status.can_serve = false;
        if entry.status.is_connected {
            self.behind.insert(id.clone());
        } else {
            self.absent.insert(id.clone());
        }
    }

    /// A proxy is not registered any more.
    fn unexpect(&mut self, id: &ProxyId) {
        self.absent.remove(id);
        let Some(entry) = self.proxies.get_mut(id) else { return };
        entry.status.expected = None;
        if entry.stream == 0 && !entry.has_left {
            self.proxies.remove(id);
        } else if entry.status.is_connected {
            entry.is_leaving = true;
        } else {
            self.leave(id);
        }
    }

    /// Counts the stream of a proxy for a token, and for no other; of a stream that another one replaced it says
    /// nothing.
    fn count_with(&mut self, id: &ProxyId, stream: Option<u64>, token: Option<&str>) {
        let Self { proxies, connected_with, .. } = self;
        let Some(entry) = proxies.get_mut(id).filter(|entry| stream.is_none_or(|of| entry.stream == of))
        else {
            return;
        };
        if let Some(before) = entry.token.take() {
            match connected_with.get_mut(&before) {
                Some(count) if *count > 1 => *count -= 1,
                _ => {
                    connected_with.remove(&before);
                }
            }
        }
        if let Some(token) = token.filter(|_| entry.is_shown() && entry.status.is_connected) {
            *connected_with.entry(token.to_owned()).or_default() += 1;
            entry.token = Some(token.to_owned());
        }
    }

    fn leave(&mut self, id: &ProxyId) {
        self.count_with(id, None, None);
        self.absent.remove(id);
        if let Some(entry) = self.proxies.get_mut(id) {
            entry.has_left = true;
            // Whoever comes back under this name has to say anew what it has.
            entry.status.applied = None;
            entry.stop.cancel();
            self.left.insert((entry.status.since, id.clone()));
        }
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
            can_serve: false,
            application: None,
            unopened: None,
            problems: Arc::default(),
            expected: None,
        };
        let stop = CancellationToken::new();
        Self {
            stream: 0,
            stop,
            memory: Memory::default(),
            status,
            returns_until: Timestamp::UNIX_EPOCH,
            has_left: false,
            token: None,
            is_leaving: false,
            counts: None,
        }
    }

    fn is_shown(&self) -> bool {
        self.stream > 0 && !self.has_left
    }
}

impl ProxyStatus {
    /// Takes in how far the proxy is; says whether that is news.
    fn take_in(&mut self, progress: Progress) -> bool {
        let refused = progress.refused.into_iter().map(|refusal| Refused {
            kind: refusal.resource.kind,
            name: refusal.resource.name.clone(),
            version: refusal.resource.version.clone(),
            policies: refusal.resource.policies.clone(),
            statements: refusal.resource.statements.clone(),
            message: refusal.message,
            keeps_earlier: refusal.keeps_earlier,
        });
        let refused: Vec<Refused> = refused.collect();
        let applied = if progress.is_settled { Some(progress.revision) } else { self.applied };
        let is_news = self.offered != progress.revision
            || self.applied != applied
            || self.refused != refused
            || self.problems != progress.problems;
        self.offered = progress.revision;
        self.applied = applied;
        self.refused = refused;
        self.can_serve = progress.can_serve;
        self.problems = progress.problems;
        is_news
    }

    /// Takes in which listeners are not open; says whether that is news.
    fn note_unopened(&mut self, unopened: &UnopenedListeners) -> bool {
        let now = Some(unopened).filter(|unopened| !unopened.names.is_empty());
        let is_news = self.unopened.as_deref() != now;
        self.unopened = now.cloned().map(Arc::new);
        is_news
    }

    fn ability(&self) -> Ability {
        Ability { can_serve: self.can_serve, application: self.application.clone() }
    }

    /// The revision that it has, where the whole fleet is at `fleet`.
    #[must_use]
    pub fn applied_of(&self, fleet: Option<Revision>) -> Option<Revision> {
        self.as_of_fleet(self.applied?, fleet)
    }

    /// The revision that it is being given, where the whole fleet is at `fleet`.
    #[must_use]
    pub fn offered_of(&self, fleet: Option<Revision>) -> Option<Revision> {
        self.as_of_fleet(self.offered, fleet)
    }

    fn as_of_fleet(&self, revision: Revision, fleet: Option<Revision>) -> Option<Revision> {
        if self.expected == Some(revision) { fleet.max(Some(revision)) } else { Some(revision) }
    }
}

/// A later time; at the end of times the last one.
fn after(now: Timestamp, time: SignedDuration) -> Timestamp {
    now.checked_add(time).unwrap_or(Timestamp::MAX)
}

fn log(proxy: &ProxyId, event: &Event) {
    match event {
        Event::Started => tracing::debug!(proxy = proxy.0, "began without configuration"),
        Event::Accepted { resource } => tracing::debug!(
            proxy = proxy.0,
            kind = resource.kind.noun(),
            name = resource.name,
            version = resource.version,
            "accepted"
        ),
        Event::Rejected { resource, message } => tracing::warn!(
            proxy = proxy.0,
            kind = resource.kind.noun(),
            name = resource.name,
            version = resource.version,
            policies = resource.policies.join(", "),
            statements = resource.statements.join(", "),
            words = message,
            "refused"
        ),
        Event::Removed { kind, name } => {
            tracing::debug!(proxy = proxy.0, kind = kind.noun(), name, "removed");
        }
        Event::Unopened(UnopenedListeners { names, reason }) => {
            let (names, reason) =
                (names.iter().map(|name| visible(name)).collect::<Vec<_>>(), visible(reason));
            tracing::warn!(proxy = proxy.0, names = names.join(", "), %reason, "listeners that it took are not open");
        }
        Event::Counts(_) => {}
        Event::Application(Application::Answers) => {
            tracing::debug!(proxy = proxy.0, "its application answers");
        }
        Event::Application(Application::Silent { reason }) => {
            let reason = visible(reason);
            tracing::debug!(proxy = proxy.0, %reason, "its application does not answer");
        }
    }
}
