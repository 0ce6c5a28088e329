//! What sidecars have in common: groups of them that get the same, and resources that are made once as long as anybody
//! has them.

use crate::mesh::model::ProxyId;
use chancery_policy_lang::checked::ServiceRef;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Weak};

/// Made resources that are looked through for those that nobody needs any more, at least.
const SWEPT_MIN: usize = 64;

/// Sidecars by a service and something that tells them apart there; what those of a group get is made for all of them.
#[derive(Clone, Debug)]
pub(super) struct Groups<K, V>(BTreeMap<ServiceRef, BTreeMap<K, Group<V>>>);

/// Sidecars that get the same.
#[derive(Clone, Debug)]
pub(super) struct Group<V> {
    pub(super) gets: V,
    pub(super) ids: BTreeSet<ProxyId>,
}

impl<K, V> Default for Groups<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord, V> Groups<K, V> {
    pub(super) fn get(&self, service: &ServiceRef, key: &K) -> Option<&V> {
        Some(&self.0.get(service)?.get(key)?.gets)
    }

    pub(super) fn group(&mut self, service: &ServiceRef, key: &K) -> Option<&mut Group<V>> {
        self.0.get_mut(service)?.get_mut(key)
    }

    /// The groups by service.
    pub(super) fn by_service(&self) -> impl Iterator<Item = (&ServiceRef, &BTreeMap<K, Group<V>>)> {
        self.0.iter()
    }

    /// The groups of a service.
    pub(super) fn of(&self, service: &ServiceRef) -> impl Iterator<Item = (&K, &V)> {
        self.0.get(service).into_iter().flatten().map(|(key, group)| (key, &group.gets))
    }

    /// Adds a sidecar to its group: gives what that gets, if the group is there.
    pub(super) fn join(&mut self, service: &ServiceRef, key: &K, id: &ProxyId) -> Option<&V> {
        let group = self.group(service, key)?;
        group.ids.insert(id.clone());
        Some(&group.gets)
    }

    /// Begins a group with its first sidecar.
    pub(super) fn begin(&mut self, service: &ServiceRef, key: K, gets: V, first: &ProxyId) {
        let group = Group { gets, ids: [first.clone()].into() };
        self.0.entry(service.clone()).or_default().insert(key, group);
    }

    /// Takes a sidecar out of its group, which ends with its last.
    pub(super) fn leave(&mut self, service: &ServiceRef, key: &K, id: &ProxyId) {
        let Some(groups) = self.0.get_mut(service) else { return };
        if let Some(group) = groups.get_mut(key) {
            group.ids.remove(id);
            if group.ids.is_empty() {
                groups.remove(key);
            }
        }
        if groups.is_empty() {
            self.0.remove(service);
        }
    }
}

/// What was made, as long as anybody has it.
#[derive(Clone, Debug)]
pub(super) struct MadeOnce<K, V: ?Sized> {
    made: HashMap<K, Weak<V>>,
    swept: usize,
}

impl<K, V: ?Sized> Default for MadeOnce<K, V> {
    fn default() -> Self {
        Self { made: HashMap::new(), swept: SWEPT_MIN }
    }
}

impl<K: Eq + Hash, V: ?Sized> MadeOnce<K, V> {
    pub(super) fn get(&self, key: &K) -> Option<Arc<V>> {
        self.made.get(key).and_then(Weak::upgrade)
    }

    pub(super) fn keep(&mut self, key: K, made: &Arc<V>) {
        if self.made.len() >= self.swept {
            self.made.retain(|_, made| made.strong_count() > 0);
            self.swept = SWEPT_MIN.max(2 * self.made.len());
        }
        self.made.insert(key, Arc::downgrade(made));
    }
}
