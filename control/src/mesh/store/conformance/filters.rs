//! What every store must do with filters and their modules.

use super::{apply, delete, somebody};
use crate::mesh::model::filter::{FILTER_BYTES_MAX, FilterDigest, FilterSource};
use crate::mesh::model::{FilterId, FilterRecord};
use crate::mesh::store::{AuditLog, Change, FilterDeletion, FilterPush, Store, StoreError};
use jiff::Timestamp;
use std::sync::Arc;

/// A push of these bytes, whose bounds are a letter behind them.
pub(crate) fn push(id: &str, bytes: &str) -> FilterPush {
    let module = format!("{bytes}+");
    let record = FilterRecord {
        id: id.parse().unwrap(),
        digest: FilterDigest::of(bytes.as_bytes()),
        module: FilterDigest::of(module.as_bytes()),
        bytes: bytes.len() as u64,
        module_bytes: module.len() as u64,
        uses: ["read body", "set state"].map(|words| words.parse().unwrap()).into(),
        may: Some(["read body".parse().unwrap()].into()),
        allowed: ["proxy_log".to_owned()].into(),
        envoy: Some("1.40.0".to_owned()),
        pushed_by: "test".to_owned(),
        pushed_at: Timestamp::UNIX_EPOCH,
        source: FilterSource::File("a.wasm".to_owned()),
        signed_by: Some("key".to_owned()),
    };
    FilterPush { record: Arc::new(record), pushed: bytes.as_bytes().into(), module: module.as_bytes().into() }
}

pub(crate) fn deletion(id: &str) -> Change {
    let (id, by, at) = (id.parse().unwrap(), "test".to_owned(), Timestamp::UNIX_EPOCH);
    Change::DeleteFilter(FilterDeletion { id, by, at })
}

/// A policy that uses filters.
pub(crate) fn apply_using(store: &dyn Store, policy: &str, filters: &[&str]) -> Change {
    let mut change = apply(0, policy, policy, &[policy]).seen(&store.watch().borrow());
    if let Change::Policies(policies) = &mut change {
        for placement in policies.placed.values_mut() {
            placement.filters = filters.iter().map(|id| id.parse().unwrap()).collect();
        }
    }
    change
}

async fn is_kept(store: &dyn Store, bytes: &str) -> bool {
    let kept = store.blob(FilterDigest::of(bytes.as_bytes())).await.unwrap();
    assert!(kept.as_deref().is_none_or(|kept| kept == bytes.as_bytes()));
    kept.is_some()
}

async fn commit(store: &dyn Store, change: Change) -> Result<(), StoreError> {
    store.commit(change, somebody()).await.map(|_| ())
}

pub(super) async fn check(store: &dyn Store) {
    a_version_never_gets_other_bytes(store).await;
    a_module_goes_with_the_last_filter_that_has_it(store).await;
    a_filter_stays_while_a_policy_uses_it(store).await;
    there_is_an_end_to_the_bytes_of_filters(store).await;
}

async fn a_version_never_gets_other_bytes(store: &dyn Store) {
    let revision = store.watch().borrow().revision;
    let first = push("f@1.0.0", "one");
    commit(store, Change::PushFilter(Box::new(first.clone()))).await.unwrap();
    let state = store.watch().borrow().clone();
    assert_eq!(state.revision, revision, "nothing in force changes");
    assert_eq!(state.filters.get(&first.record.id), Some(&first.record));
    assert!(is_kept(store, "one").await && is_kept(store, "one+").await);
    let audit = store.audit(AuditLog::People, 1).await.unwrap();
    let entry = audit.first().unwrap();
    assert_eq!(entry.action, "push filter `f@1.0.0`");
    let change = entry.changes.first().unwrap();
    assert_eq!((&change.before, &change.after), (&None, &Some(FilterDigest::of(b"one").to_string())));

    commit(store, Change::PushFilter(Box::new(push("f@1.0.0", "one")))).await.unwrap();
    assert_eq!(store.audit(AuditLog::People, 1).await.unwrap(), audit, "the same again is no write");
    let other = commit(store, Change::PushFilter(Box::new(push("f@1.0.0", "two")))).await;
    assert!(matches!(other, Err(StoreError::FilterTaken { .. })), "{other:?}");
    let mut terms = push("f@1.0.0", "one");
    Arc::make_mut(&mut terms.record).may = None;
    let other = commit(store, Change::PushFilter(Box::new(terms))).await;
    assert!(matches!(other, Err(StoreError::FilterOnOtherTerms(_))), "{other:?}");

    commit(store, deletion("f@1.0.0")).await.unwrap();
    let state = store.watch().borrow().clone();
    let id: FilterId = "f@1.0.0".parse().unwrap();
    assert!(!state.filters.contains_key(&id) && state.retired_filters.contains_key(&id));
    let other = commit(store, Change::PushFilter(Box::new(push("f@1.0.0", "two")))).await;
    assert!(matches!(other, Err(StoreError::FilterTaken { .. })), "not even after it was deleted: {other:?}");
    assert!(!is_kept(store, "two").await, "nothing of what was refused stays");
    commit(store, Change::PushFilter(Box::new(first))).await.unwrap();
    assert!(!store.watch().borrow().retired_filters.contains_key(&id));
    commit(store, deletion("f@1.0.0")).await.unwrap();
    let again = commit(store, deletion("f@1.0.0")).await;
    assert!(matches!(again, Err(StoreError::NoSuchFilter(_))), "{again:?}");
}

async fn a_module_goes_with_the_last_filter_that_has_it(store: &dyn Store) {
    for id in ["f@2.0.0", "g@1.0.0"] {
        commit(store, Change::PushFilter(Box::new(push(id, "shared")))).await.unwrap();
    }
    commit(store, deletion("f@2.0.0")).await.unwrap();
    assert!(is_kept(store, "shared").await && is_kept(store, "shared+").await);
    commit(store, deletion("g@1.0.0")).await.unwrap();
    assert!(!is_kept(store, "shared").await && !is_kept(store, "shared+").await);
}

async fn a_filter_stays_while_a_policy_uses_it(store: &dyn Store) {
    let early = commit(store, apply_using(store, "uses", &["h@1.0.0"])).await;
    assert!(matches!(early, Err(StoreError::FilterMissing { .. })), "{early:?}");
    commit(store, Change::PushFilter(Box::new(push("h@1.0.0", "h")))).await.unwrap();
    commit(store, apply_using(store, "uses", &["h@1.0.0"])).await.unwrap();
    let refused = commit(store, deletion("h@1.0.0")).await;
    let Err(StoreError::FilterInUse { policies, .. }) = refused else { unreachable!("{refused:?}") };
    assert_eq!(policies, ["uses"]);
    let state = store.watch().borrow().clone();
    commit(store, delete("uses").seen(&state)).await.unwrap();
    commit(store, deletion("h@1.0.0")).await.unwrap();
    assert!(!is_kept(store, "h").await);
}

async fn there_is_an_end_to_the_bytes_of_filters(store: &dyn Store) {
    let mut large = push("l@1.0.0", "l");
    Arc::make_mut(&mut large.record).bytes = FILTER_BYTES_MAX;
    let refused = commit(store, Change::PushFilter(Box::new(large))).await;
    assert!(matches!(refused, Err(StoreError::NoRoomForFilter(_))), "{refused:?}");
    assert!(!is_kept(store, "l").await);
}
