//! What changed: the desired state told as steps, so that who follows it works in proportion to the change.
//!
//! ```text
//! writer --> watch: newest state --> Follower {last state seen} --> Update {before, state, changes}
//! ```
//!
//! Nothing of it is a queue: a [`Follower`] keeps the last state that it gave and compares it with the newest.
//! The maps of a state are persistent and share what did not change, and the comparison leaves out what is
//! shared, so it costs about what the changes between the two do. However many writes a follower slept through,
//! it gets one update with all of them, never misses one, and there is nothing that it could be too slow for.
//!
//! ```text
//! let mut follower = store.follow();
//! while let Some(update) = follower.next().await {
//!     for (id, step) in &update.changes.proxies { /* step.before: what it was; step.after: what it is */ }
//! }
//! ```

use crate::mesh::model::{DesiredState, FilterId, FilterRecord, PolicyRecord, ProxyId, ProxyRegistration};
use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// One value before and after: created if there was none before, removed if there is none after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<T> {
    /// What it was.
    pub before: Option<T>,
    /// What it is.
    pub after: Option<T>,
}

/// What differs between two states, by kind and key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Policies, by name. One whose document changed around it is there too: its record names another document.
    pub policies: BTreeMap<String, Step<PolicyRecord>>,
    /// Sidecars, by id.
    pub proxies: BTreeMap<ProxyId, Step<Arc<ProxyRegistration>>>,
    /// Versions of filters.
    pub filters: BTreeMap<FilterId, Step<Arc<FilterRecord>>>,
}

/// A new state, and how it differs from the one before.
#[derive(Clone, Debug)]
pub struct Update {
    /// The state of the update before; the empty one in the first update.
    pub before: Arc<DesiredState>,
    /// The state now.
    pub state: Arc<DesiredState>,
    /// What differs. Empty if a policy was applied and deleted, say: then only the revision differs.
    pub changes: Changes,
}

/// Gives the desired state step by step.
#[derive(Clone, Debug)]
pub struct Follower {
    states: watch::Receiver<Arc<DesiredState>>,
    seen: Arc<DesiredState>,
}

impl Changes {
    /// What differs between two states.
    #[must_use]
    pub fn between(before: &DesiredState, after: &DesiredState) -> Self {
        Self {
            policies: steps(&before.policies, &after.policies),
            proxies: steps(&before.proxies, &after.proxies),
            filters: steps(&before.filters, &after.filters),
        }
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty() && self.proxies.is_empty() && self.filters.is_empty()
    }
}

impl Follower {
    /// Follows the states of a store. The first update is the state that there is, as a change from nothing.
    #[must_use]
    pub fn new(mut states: watch::Receiver<Arc<DesiredState>>) -> Self {
        states.mark_changed();
        Self { states, seen: Arc::default() }
    }

    /// Waits for a state that is not the last one given; `None` when the store is gone. May be dropped while it
    /// waits: no change is lost.
    pub async fn next(&mut self) -> Option<Update> {
        self.states.changed().await.ok()?;
        Some(self.take())
    }

    /// What changed since the last update, without waiting; `None` if nothing did.
    pub fn try_next(&mut self) -> Option<Update> {
        matches!(self.states.has_changed(), Ok(true)).then(|| self.take())
    }

    fn take(&mut self) -> Update {
        let state = Arc::clone(&self.states.borrow_and_update());
        let before = std::mem::replace(&mut self.seen, Arc::clone(&state));
        let changes = Changes::between(&before, &state);
        Update { before, state, changes }
    }
}

fn steps<K: Ord + Clone, V: Clone + PartialEq>(
    before: &OrdMap<K, V>,
    after: &OrdMap<K, V>,
) -> BTreeMap<K, Step<V>> {
    let step = |item: DiffItem<'_, '_, K, V>| match item {
        DiffItem::Add(key, value) => (key.clone(), Step { before: None, after: Some(value.clone()) }),
        DiffItem::Remove(key, value) => (key.clone(), Step { before: Some(value.clone()), after: None }),
        DiffItem::Update { old: (key, old), new: (_, new) } => {
            (key.clone(), Step { before: Some(old.clone()), after: Some(new.clone()) })
        }
    };
    before.diff(after).map(step).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::conformance::{apply, delete, proxy};
    use super::super::{Change, PolicyChange};
    use super::*;
    use crate::mesh::model::Revision;
    use std::time::{Duration, Instant};

    fn after(state: &DesiredState, change: &Change) -> DesiredState {
        change.apply_to(state).unwrap()
    }

    fn names(changes: &Changes) -> String {
        let sign = |(is_before, is_after)| match (is_before, is_after) {
            (false, _) => '+',
            (true, false) => '-',
            (true, true) => '~',
        };
        let policies = changes.policies.iter();
        let policies =
            policies.map(|(name, step)| (name.clone(), (step.before.is_some(), step.after.is_some())));
        let proxies = changes.proxies.iter();
        let proxies = proxies.map(|(id, step)| (id.0.clone(), (step.before.is_some(), step.after.is_some())));
        let all: Vec<_> = policies.chain(proxies).map(|(key, step)| format!("{}{key}", sign(step))).collect();
        all.join(" ")
    }

    #[tokio::test]
    async fn a_follower_gets_all_changes_however_late_it_looks() {
        let (states, receiver) = watch::channel(Arc::new(DesiredState::default()));
        let mut follower = Follower::new(receiver);
        assert!(follower.next().await.unwrap().changes.is_empty(), "of a new mesh");
        assert!(follower.try_next().is_none());
        let mut state = after(&DesiredState::default(), &apply(0, "a.writ", "one", &["p", "q"]));
        states.send_replace(Arc::new(state.clone()));
        assert_eq!(names(&follower.next().await.unwrap().changes), "+p +q");
        for change in [
            apply(1, "b.writ", "two", &["p"]).seen(&state),
            delete("q").seen(&state),
            Change::RegisterProxy(proxy("shop/orders/1")),
        ] {
            state = after(&state, &change);
            states.send_replace(Arc::new(state.clone()));
        }
        let update = follower.next().await.unwrap();
        assert_eq!(names(&update.changes), "~p -q +shop/orders/1");
        assert_eq!((update.before.revision, update.state.revision), (Revision(1), Revision(3)));
        let late = Follower::new(states.subscribe()).next().await.unwrap();
        assert_eq!(names(&late.changes), "+p +shop/orders/1", "who comes late gets all that there is");
        drop(states);
        assert!(follower.next().await.is_none());
    }

    /// What one change costs in a state with so many policies and proxies, in the best of some runs.
    fn cost(size: usize) -> Duration {
        let mut state = DesiredState::default();
        let policies: Vec<String> = (0..size).map(|at| format!("policy-{at:06}")).collect();
        for name in &policies {
            let first = apply(0, name, name, &[name]);
            let Change::Policies(PolicyChange { documents, .. }) = &first else { unreachable!() };
            state.documents.extend(documents.iter().map(|text| (text.digest(), text.clone())));
            state.place(PolicyRecord {
                name: name.clone(),
                document: documents.first().unwrap().digest(),
                revision: Revision(1),
                set: None,
                filters: [].into(),
            });
            let proxy = proxy(&format!("shop/{name}/1"));
            state.register(proxy);
        }
        let costs = (0..50).map(|at| {
            let name = policies.get(at * 7 % size).unwrap();
            let change = apply(1, name, &format!("{name} new"), &[name]).seen(&state);
            let begun = Instant::now();
            let next = after(&state, &change);
            let next = after(&next, &Change::RegisterProxy(proxy(&format!("shop/{name}/2"))));
            let changes = Changes::between(&state, &next);
            let cost = begun.elapsed();
            assert_eq!((changes.policies.len(), changes.proxies.len()), (1, 1));
            cost
        });
        costs.min().unwrap()
    }

    #[test]
    fn a_change_among_many_costs_what_it_costs_among_few() {
        let (few, many) = (cost(100), cost(20_000));
        assert!(many < few * 20, "200 times as much, {few:?} against {many:?}");
    }
}
