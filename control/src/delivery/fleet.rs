//! The snapshots of all proxies, each in a cell of its own: who has a stream waits for its own next one, and for
//! nobody else's.

use super::snapshot::Snapshot;
use crate::mesh::model::{ProxyId, Revision};
use imbl::{OrdMap, OrdSet};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// What a proxy is given now; `None` before its first snapshot and after its last.
pub type Cell = watch::Receiver<Option<Arc<Snapshot>>>;

/// The snapshots of all proxies.
#[derive(Debug, Default)]
pub struct Fleet {
    cells: Mutex<BTreeMap<ProxyId, watch::Sender<Option<Arc<Snapshot>>>>>,
    /// The revision that all of them are made from; `None` until the first ones are there.
    built: watch::Sender<Option<Revision>>,
    /// Who is given what, while a rollout is under way.
    split: watch::Sender<Option<Arc<Split>>>,
}

/// Who is given what, while a rollout is under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// The revision that those have who wait.
    pub from: Revision,
    /// The revision that is rolled out.
    pub to: Revision,
    /// The proxies that it changes, each with what it has before that.
    pub stable: OrdMap<ProxyId, Arc<Snapshot>>,
    /// Those of them that are given it by now.
    pub reached: OrdSet<ProxyId>,
}

/// At which revision proxies are that have all that they are given.
#[derive(Clone, Debug, Default)]
pub struct Standpoint {
    /// The newest revision of which there are snapshots.
    pub built: Option<Revision>,
    /// Who waits for it.
    pub split: Option<Arc<Split>>,
}

impl Split {
    /// Whether a proxy waits for the revision that is rolled out.
    #[must_use]
    pub fn waits(&self, proxy: &ProxyId) -> bool {
        self.stable.contains_key(proxy) && !self.reached.contains(proxy)
    }

    /// Those who wait.
    pub fn waiting(&self) -> impl Iterator<Item = &ProxyId> {
        self.stable.keys().filter(|id| !self.reached.contains(*id))
    }
}

impl Standpoint {
    /// The revision of a proxy that has what it is given.
    #[must_use]
    pub fn of(&self, proxy: &ProxyId) -> Option<Revision> {
        match &self.split {
            Some(split) if split.waits(proxy) => Some(split.from),
            _ => self.built,
        }
    }
}

/// How a fleet differs from the one before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetChange {
    /// The revision that all proxies are given now. A snapshot that did not change keeps the one it was made from.
    pub revision: Revision,
    /// New snapshots.
    pub given: BTreeMap<ProxyId, Arc<Snapshot>>,
    /// Proxies that are no more.
    pub gone: BTreeSet<ProxyId>,
    /// Whether there are no other proxies than those that are given something.
    pub is_whole: bool,
    /// Who is given what, while a rollout is under way.
    pub split: Option<Arc<Split>>,
}

impl Fleet {
    /// The cell of a proxy, be there something in it or not yet.
    #[must_use]
    pub fn cell(&self, proxy: &ProxyId) -> Cell {
        self.lock().entry(proxy.clone()).or_default().subscribe()
    }

    /// What a proxy is given.
    #[must_use]
    pub fn snapshot(&self, proxy: &ProxyId) -> Option<Arc<Snapshot>> {
        self.lock().get(proxy)?.borrow().clone()
    }

    /// Removes the cell of a proxy that never had anything in it.
    pub fn forget_empty(&self, proxy: &ProxyId) {
        let mut cells = self.lock();
        if cells.get(proxy).is_some_and(|cell| cell.borrow().is_none()) {
            cells.remove(proxy);
        }
    }

    /// The revision that all snapshots are made from, now and whenever it changes; `None` before the first ones.
    #[must_use]
    pub fn built(&self) -> watch::Receiver<Option<Revision>> {
        self.built.subscribe()
    }

    /// The revision that all snapshots are made from.
    #[must_use]
    pub fn revision(&self) -> Option<Revision> {
        *self.built.borrow()
    }

    /// Who is given what while a rollout is under way, now and whenever it changes.
    #[must_use]
    pub fn split(&self) -> watch::Receiver<Option<Arc<Split>>> {
        self.split.subscribe()
    }

    /// At which revision proxies are that have all that they are given.
    #[must_use]
    pub fn standpoint(&self) -> Standpoint {
        // In this order: whoever is said to wait, waits for that revision or a later one.
        let built = self.revision();
        Standpoint { built, split: self.split.borrow().clone() }
    }

    /// Gives proxies what changed.
    pub fn publish(&self, change: FleetChange) {
        let FleetChange { revision, given, mut gone, is_whole, split } = change;
        let mut cells = self.lock();
        if is_whole {
            // Whoever waits for a first snapshot has none yet, and goes on waiting.
            let has_one = |cell: &watch::Sender<Option<Arc<Snapshot>>>| cell.borrow().is_some();
            let others = cells.iter().filter(|(id, cell)| !given.contains_key(*id) && has_one(cell));
            gone.extend(others.map(|(id, _)| id.clone()));
        }
        for (id, snapshot) in given {
            cells.entry(id).or_default().send_replace(Some(snapshot));
        }
        for id in gone {
            if let Some(cell) = cells.remove(&id) {
                cell.send_replace(None);
            }
        }
        drop(cells);
        self.split.send_replace(split);
        self.built.send_replace(Some(revision));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ProxyId, watch::Sender<Option<Arc<Snapshot>>>>> {
        // A cell is whole after each line in here.
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
