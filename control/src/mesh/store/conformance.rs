//! What every store must do; each implementation runs all of it from its own tests.
#![expect(clippy::unwrap_used, reason = "tests")]

pub(crate) mod filters;

use super::{
    Actor, AuditLog, Change, Intent, Placement, PolicyChange, ReadinessChange, RolloutChange, RolloutStep,
    StagedFrom, Store, StoreError,
};
use crate::mesh::model::rollout::{RolloutPlan, Share, Stage};
use crate::mesh::model::{
    DesiredState, Document, Inbound, PolicyRecord, Protocol, ProxyId, ProxyRegistration, Readiness, Revision,
};
use chancery_policy_lang::checked::ServiceRef;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn somebody() -> Actor {
    Actor { name: "test".to_owned(), at: Timestamp::UNIX_EPOCH }
}

/// Puts policies in force for the first time, all from one file.
pub(crate) fn apply(base: u64, file: &str, text: &str, policies: &[&str]) -> Change {
    let document = Arc::new(Document { name: file.to_owned(), text: text.into() });
    let placement =
        Placement { document: document.digest(), before: None, changed: true, set: None, filters: [].into() };
    Change::Policies(PolicyChange {
        base: Revision(base),
        intent: Intent::Apply { tests_skipped: false },
        documents: vec![document],
        placed: policies.iter().map(|&name| (name.to_owned(), placement.clone())).collect(),
        removed: BTreeMap::new(),
        rollout: None,
    })
}

/// Takes a policy out of force.
pub(crate) fn delete(name: &str) -> Change {
    Change::Policies(PolicyChange {
        base: Revision(0),
        intent: Intent::Delete,
        documents: Vec::new(),
        placed: BTreeMap::new(),
        removed: [(name.to_owned(), String::new())].into(),
        rollout: None,
    })
}

impl Change {
    /// The change as if it had been prepared on this state.
    pub(crate) fn seen(mut self, state: &DesiredState) -> Self {
        if let Self::Policies(change) = &mut self {
            change.base = state.revision;
            let document = |name: &String| state.policies.get(name).map(|record| record.document.clone());
            for (name, placement) in &mut change.placed {
                placement.before = document(name);
            }
            for (name, before) in &mut change.removed {
                *before = document(name).unwrap_or_default();
            }
        }
        self
    }
}

pub(crate) fn proxy(id: &str) -> Arc<ProxyRegistration> {
    let mut parts = id.split('/').map(str::to_owned);
    let service = ServiceRef { namespace: parts.next().unwrap(), name: parts.next().unwrap() };
    Arc::new(ProxyRegistration {
        token: None,
        check: None,
        readiness: Readiness::Starting,
        id: ProxyId(id.to_owned()),
        service,
        labels: Arc::new([("version".to_owned(), "v1".to_owned())].into()),
        inbound: None,
        outbounds: Vec::new(),
    })
}

/// Everything that does not need to open the store twice.
pub(crate) async fn check(store: &dyn Store) {
    a_new_store_is_at_revision_zero(store);
    a_change_is_seen_by_readers_and_in_the_audit_log(store).await;
    machines_write_into_a_log_of_their_own(store).await;
    what_was_found_out_of_a_replica_stays_until_it_is_elsewhere(store).await;
    a_document_goes_when_its_last_policy_goes(store).await;
    only_a_change_of_the_same_policy_is_in_the_way(store).await;
    every_revision_keeps_its_documents(store).await;
    of_concurrent_writers_each_writes_once(store).await;
    the_first_creator_of_an_item_wins(store).await;
    filters::check(store).await;
}

fn a_new_store_is_at_revision_zero(store: &dyn Store) {
    let state = store.watch().borrow().clone();
    assert_eq!(state.revision, Revision(0));
    assert!(state.policies.is_empty() && state.documents.is_empty() && state.proxies.is_empty());
}

async fn a_change_is_seen_by_readers_and_in_the_audit_log(store: &dyn Store) {
    let mut reader = store.watch();
    let state = store.commit(apply(0, "a.writ", "one", &["p", "q"]), somebody()).await.unwrap();
    assert_eq!(state.revision, Revision(1));
    assert!(reader.has_changed().unwrap());
    assert_eq!(*reader.borrow_and_update(), state);
    let newest = store.audit(AuditLog::People, 1).await.unwrap();
    let newest = newest.first().unwrap();
    assert_eq!((newest.number, newest.actor.as_str(), newest.revision), (1, "test", Revision(1)));
    assert_eq!(newest.action, "apply policies `p`, `q`");
    let [p, q] = newest.changes.as_slice() else { unreachable!("{newest:?}") };
    assert_eq!((p.what.as_str(), q.what.as_str(), &p.before), ("policy `p`", "policy `q`", &None));
    assert_eq!(p.after.as_ref(), state.documents.keys().next());
}

async fn machines_write_into_a_log_of_their_own(store: &dyn Store) {
    let people = store.audit(AuditLog::People, usize::MAX).await.unwrap();
    let by = Actor { name: "proxy shop/orders/9".to_owned(), at: Timestamp::UNIX_EPOCH };
    let registration = proxy("shop/orders/9");
    for _ in 0..3 {
        store.commit(Change::RegisterProxy(registration.clone()), by.clone()).await.unwrap();
    }
    store.commit(Change::RemoveProxy(registration.id.clone()), by).await.unwrap();
    assert_eq!(store.audit(AuditLog::People, usize::MAX).await.unwrap(), people);
    let machines = store.audit(AuditLog::Machines, usize::MAX).await.unwrap();
    let [left, joined] = machines.as_slice() else {
        unreachable!("what changes nothing is no write: {machines:?}")
    };
    let (left, joined) = (left.changes.first().unwrap(), joined.changes.first().unwrap());
    assert_eq!((joined.what.as_str(), &joined.before, &left.after), ("proxy `shop/orders/9`", &None, &None));
    assert!(joined.after.is_some() && joined.after == left.before);
}

async fn what_was_found_out_of_a_replica_stays_until_it_is_elsewhere(store: &dyn Store) {
    let inbound = |port| {
        let address = ([127, 0, 0, 1], port).into();
        Some(Inbound {
            listen: address,
            advertised: address,
            application: address,
            protocol: Protocol::H2c,
            probes: Some(address),
        })
    };
    let stated = ProxyRegistration { inbound: inbound(1), ..(*proxy("shop/orders/9")).clone() };
    let register = async |registration: ProxyRegistration| {
        let change = Change::RegisterProxy(Arc::new(registration));
        let state = store.commit(change, somebody()).await.unwrap();
        Arc::clone(state.proxies.get(&ProxyId("shop/orders/9".to_owned())).unwrap())
    };
    let find = async |seen: Arc<ProxyRegistration>, now| {
        let change = Change::Readiness(vec![ReadinessChange { seen, now }]);
        store.commit(change, somebody()).await.unwrap()
    };
    let first = register(ProxyRegistration { readiness: Readiness::Ready, ..stated.clone() }).await;
    assert_eq!(first.readiness, Readiness::Starting, "that is not stated");
    let state = find(first.clone(), Readiness::Ready).await;
    let entries = store.audit(AuditLog::People, 1).await.unwrap();
    assert_eq!(entries.first().unwrap().action, "proxy `shop/orders/9` is ready");
    let again = register(stated.clone()).await;
    assert_eq!(again.readiness, Readiness::Ready, "stated as before");
    assert_eq!(
        *store.watch().borrow().proxies.get(&again.id).unwrap(),
        *state.proxies.get(&again.id).unwrap()
    );

    let elsewhere = register(ProxyRegistration { inbound: inbound(2), ..stated }).await;
    assert_eq!(elsewhere.readiness, Readiness::Starting);
    find(again, Readiness::Silent { since: Timestamp::UNIX_EPOCH }).await;
    find(first, Readiness::Ready).await;
    assert_eq!(
        *store.watch().borrow().proxies.get(&elsewhere.id).unwrap(),
        elsewhere,
        "nobody looked at that"
    );
    store.commit(Change::RemoveProxy(elsewhere.id.clone()), somebody()).await.unwrap();
}

async fn a_document_goes_when_its_last_policy_goes(store: &dyn Store) {
    let now = store.watch().borrow().clone();
    let state = store.commit(apply(1, "b.writ", "two", &["p"]).seen(&now), somebody()).await.unwrap();
    assert_eq!(state.documents.len(), 2, "`q` still stands in a.writ");
    let state = store.commit(delete("q").seen(&state), somebody()).await.unwrap();
    assert_eq!(state.documents.values().map(|text| text.name.as_str()).collect::<Vec<_>>(), ["b.writ"]);
    let again = store.commit(delete("q"), somebody()).await;
    assert!(matches!(again, Err(StoreError::NoSuchPolicy(name)) if name == "q"));
}

async fn only_a_change_of_the_same_policy_is_in_the_way(store: &dyn Store) {
    let earlier = store.watch().borrow().clone();
    let theirs = apply(3, "theirs.writ", "theirs", &["p"]).seen(&earlier);
    let before = store.commit(theirs, somebody()).await.unwrap();
    let ours = apply(3, "ours.writ", "ours", &["p", "r"]).seen(&earlier);
    let refused = store.commit(ours, somebody()).await;
    let Err(StoreError::Conflict { policy, base: Revision(3), now: Revision(4) }) = refused else {
        unreachable!("{refused:?}")
    };
    assert_eq!(policy, "p");
    let refused = store.commit(delete("p").seen(&earlier), somebody()).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    assert_eq!(*store.watch().borrow(), before);
    let other = apply(3, "other.writ", "other", &["s"]).seen(&earlier);
    let state = store.commit(other, somebody()).await.unwrap();
    assert_eq!(state.revision, Revision(5));
    assert_eq!(state.policies.get("s").unwrap().revision, Revision(5));
}

async fn every_revision_keeps_its_documents(store: &dyn Store) {
    let told = async |revision| {
        let at = store.policies_at(Revision(revision)).await.unwrap();
        assert_eq!(at.revision, Revision(revision));
        let policy = |record: &PolicyRecord| {
            let text = &at.documents.get(&record.document).unwrap().text;
            format!("{}={text}@{}", record.name, record.revision)
        };
        at.policies.values().map(policy).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(told(0).await, "");
    assert_eq!(told(1).await, "p=one@1 q=one@1");
    assert_eq!(told(2).await, "p=two@2 q=one@1");
    assert_eq!(told(3).await, "p=two@2");
    assert_eq!(told(5).await, "p=theirs@4 s=other@5");
    let newest = store.revisions(2).await.unwrap();
    let actions: Vec<_> = newest.iter().map(|record| (record.revision.0, record.action.as_str())).collect();
    assert_eq!(actions, [(5, "apply policy `s`"), (4, "apply policy `p`")]);
    let step = newest.last().unwrap().policies.get("p").unwrap();
    assert_eq!(
        (step.before.as_ref().unwrap().revision, step.after.as_ref().unwrap().revision.0),
        (Revision(2), 4)
    );
    assert_eq!(store.revisions(100).await.unwrap().len(), 5);
    let refused = store.policies_at(Revision(6)).await;
    assert!(
        matches!(refused, Err(StoreError::NoSuchRevision { oldest: Revision(0), newest: Revision(5), .. })),
        "{refused:?}"
    );
}

async fn of_concurrent_writers_each_writes_once(store: &dyn Store) {
    let ids: Vec<_> = (0..20).map(|at| format!("shop/orders/{at}")).collect();
    let mut writes: Vec<_> =
        ids.iter().map(|id| store.commit(Change::RegisterProxy(proxy(id)), somebody())).collect();
    // Polled together, so that the writes really race.
    std::future::poll_fn(|context| {
        writes.retain_mut(|write| match write.as_mut().poll(context) {
            std::task::Poll::Ready(done) => {
                done.unwrap();
                false
            }
            std::task::Poll::Pending => true,
        });
        if writes.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    let state = store.watch().borrow().clone();
    assert_eq!(state.proxies.len(), ids.len());
    assert_eq!(state.revision, Revision(5), "registrations make no revision");
    store.commit(Change::RemoveProxy(ProxyId("shop/orders/0".to_owned())), somebody()).await.unwrap();
    assert_eq!(store.watch().borrow().proxies.len(), ids.len() - 1);
}

async fn the_first_creator_of_an_item_wins(store: &dyn Store) {
    assert_eq!(store.item("k/1").await.unwrap(), None);
    assert_eq!(store.create_item("k/1", b"first".to_vec(), somebody()).await.unwrap(), b"first");
    assert_eq!(store.create_item("k/1", b"second".to_vec(), somebody()).await.unwrap(), b"first");
    store.create_item("k/2", b"other".to_vec(), somebody()).await.unwrap();
    store.create_item("l", b"apart".to_vec(), somebody()).await.unwrap();
    assert_eq!(store.items("k/").await.unwrap().keys().collect::<Vec<_>>(), ["k/1", "k/2"]);
    assert!(store.remove_item("k/2", somebody()).await.unwrap());
    assert!(!store.remove_item("k/2", somebody()).await.unwrap());
}

/// A rollout of revision 2 in two stages, in a store that was new.
pub(crate) async fn begin_rollout(store: &dyn Store) -> Arc<DesiredState> {
    store.commit(Change::PushFilter(Box::new(filters::push("pii@1.0.0", "pii"))), somebody()).await.unwrap();
    let mut first = apply(0, "a.writ", "one", &["p", "q"]);
    if let Change::Policies(change) = &mut first {
        let p = change.placed.get_mut("p").unwrap();
        p.filters.insert("pii@1.0.0".parse().unwrap());
    }
    let first = store.commit(first, somebody()).await.unwrap();
    let Change::Policies(change) = apply(1, "a.writ", "two", &["p", "r"]).seen(&first) else {
        unreachable!("it is one of policies")
    };
    let plan = RolloutPlan {
        stages: vec![Stage::Share(Share::parse("5%").unwrap()), Stage::Share(Share::ALL)],
        soak: Duration::from_millis(1500),
        absent_wait: Duration::from_secs(60),
        errors_max: Share::parse("0.5%").unwrap(),
    };
    let rollout = Some(StagedFrom { plan, at: Timestamp::UNIX_EPOCH });
    let second = Change::Policies(PolicyChange { rollout, ..change });
    store.commit(second, somebody()).await.unwrap()
}

/// A step of the rollout of revision 2.
pub(crate) fn step(step: RolloutStep) -> Change {
    Change::Rollout(RolloutChange { of: Revision(2), step })
}

/// What a rollout does to a new store.
pub(crate) async fn check_rollout(store: &dyn Store) {
    let begun = begin_rollout(store).await;
    let names = |state: &DesiredState| state.policies.keys().cloned().collect::<Vec<_>>().join(" ");
    let stable = begun.stable().unwrap();
    assert_eq!((names(&begun), names(&stable), stable.revision), ("p q r".into(), "p q".into(), Revision(1)));
    assert_eq!(stable.documents.values().next().unwrap().text.as_ref(), "one");
    let refused = store.commit(apply(2, "b.writ", "three", &["s"]), somebody()).await.unwrap_err();
    assert!(matches!(refused, StoreError::RolloutUnderWay { revision: Revision(2) }), "{refused}");

    let deletion = || filters::deletion("pii@1.0.0");
    let refused = store.commit(deletion(), somebody()).await.unwrap_err();
    assert!(matches!(refused, StoreError::FilterInUse { .. }), "what can be gone back to stays: {refused}");

    let at = Timestamp::UNIX_EPOCH;
    let go_on = |stage| step(RolloutStep::GoOn { stage, bound: Some(7), at });
    assert!(store.commit(go_on(1), somebody()).await.is_err(), "no stage is left out");
    store.commit(go_on(0), somebody()).await.unwrap();
    store.commit(step(RolloutStep::Pause), somebody()).await.unwrap();
    assert!(store.commit(go_on(1), somebody()).await.is_err(), "it is paused");
    store.commit(step(RolloutStep::Resume), somebody()).await.unwrap();
    let undo = RolloutStep::Undo {
        reason: "it was refused".to_owned(),
        policies: vec!["p".to_owned()],
        proxies: vec![ProxyId("shop/orders/1".to_owned())],
    };
    let undone = store.commit(step(undo), somebody()).await.unwrap();
    assert_eq!((undone.revision, &undone.policies), (Revision(3), &stable.policies), "exactly as before");
    assert_eq!((&undone.documents, undone.stable()), (&stable.documents, None));
    let newest = store.revisions(1).await.unwrap();
    let action = &newest.first().unwrap().action;
    assert_eq!(action, "undo the rollout of revision 2: it was refused");
    assert!(store.commit(step(RolloutStep::Finish), somebody()).await.is_err(), "it is over");
    let at_two = store.policies_at(Revision(2)).await.unwrap();
    assert_eq!(at_two.policies.len(), 3, "history knows what was rolled out");
    store.commit(apply(3, "b.writ", "three", &["s"]), somebody()).await.unwrap();
}
