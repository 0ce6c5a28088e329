//! Changes of filters as pure functions: a version is added once, never gets other bytes, and stays while it is used.

use super::StoreError;
use crate::mesh::model::filter::{FILTER_BYTES_MAX, FILTER_VERSIONS_MAX, FilterDigest, RETIRED_FILTERS_MAX};
use crate::mesh::model::{DesiredState, FilterId, FilterRecord, RetiredFilter};
use chancery_sdk_admission::Capability;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A version of a filter that was admitted, with its bytes.
#[derive(Clone, Debug)]
pub struct FilterPush {
    /// What is known of it.
    pub record: Arc<FilterRecord>,
    /// The bytes that were pushed; their digest is [`FilterRecord::digest`].
    pub pushed: Arc<[u8]>,
    /// The bytes that sidecars get; their digest is [`FilterRecord::module`].
    pub module: Arc<[u8]>,
}

/// A version of a filter that somebody does not want any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterDeletion {
    /// Which.
    pub id: FilterId,
    /// Who does not want it.
    pub by: String,
    /// Since when.
    pub at: Timestamp,
}

impl FilterPush {
    /// Adds the version. One that is there with the same bytes on the same terms stays as it is.
    ///
    /// # Errors
    /// [`StoreError::FilterTaken`] if the version has other bytes or had them, [`StoreError::NoRoomForFilter`] if there is
    /// as much as may be.
    pub(super) fn apply_to(&self, next: &mut DesiredState) -> Result<(), StoreError> {
        let FilterRecord { id, digest, may, .. } = &*self.record;
        if is_pushed(next, id, *digest, may.as_ref())? {
            return Ok(());
        }
        next.filters.insert(id.clone(), Arc::clone(&self.record));
        next.retired_filters.remove(id);
        check_room(next)
    }

    pub(super) fn describe(&self) -> String {
        format!("push filter `{}`", self.record.id)
    }
}

impl FilterDeletion {
    /// Takes the version away, and remembers that there was one.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFilter`] if it is not there, [`StoreError::FilterInUse`] if policies need it.
    pub(super) fn apply_to(&self, next: &mut DesiredState) -> Result<(), StoreError> {
        let id = &self.id;
        let users: BTreeSet<&str> = next.users_of(id).collect();
        let users: Vec<String> = users.into_iter().map(str::to_owned).collect();
        if !users.is_empty() {
            return Err(StoreError::FilterInUse { id: id.clone(), policies: users });
        }
        let record = next.filters.remove(id).ok_or_else(|| StoreError::NoSuchFilter(id.clone()))?;
        let retired = RetiredFilter {
            digest: record.digest,
            pushed_by: record.pushed_by.clone(),
            pushed_at: record.pushed_at,
            deleted_by: self.by.clone(),
            deleted_at: self.at,
        };
        next.retired_filters.insert(id.clone(), Arc::new(retired));
        forget_oldest(next);
        Ok(())
    }

    pub(super) fn describe(&self) -> String {
        format!("delete filter `{}`", self.id)
    }
}

/// Whether a version is there with these bytes on these terms; `false` if it may be pushed.
///
/// # Errors
/// [`StoreError::FilterTaken`] if the version has other bytes or had them, [`StoreError::FilterOnOtherTerms`] if it may do
/// something else.
pub fn is_pushed(
    state: &DesiredState,
    id: &FilterId,
    digest: FilterDigest,
    may: Option<&BTreeSet<Capability>>,
) -> Result<bool, StoreError> {
    let taken = |digest| Err(StoreError::FilterTaken { id: id.clone(), digest });
    match (state.filters.get(id), state.retired_filters.get(id)) {
        (Some(present), _) if present.digest != digest => taken(present.digest),
        (Some(present), _) if present.may.as_ref() != may => Err(StoreError::FilterOnOtherTerms(id.clone())),
        (Some(_), _) => Ok(true),
        (None, Some(retired)) if retired.digest != digest => taken(retired.digest),
        (None, _) => Ok(false),
    }
}

/// Refuses a policy that uses a filter which is not there.
pub(super) fn check_used(
    state: &DesiredState,
    filters: &BTreeMap<&FilterId, &str>,
) -> Result<(), StoreError> {
    match filters.iter().find(|(filter, _)| !state.filters.contains_key(**filter)) {
        Some((filter, policy)) => {
            Err(StoreError::FilterMissing { policy: (*policy).to_owned(), id: (*filter).clone() })
        }
        None => Ok(()),
    }
}

/// The modules that a filter keeps, with how many bytes they have.
pub(super) fn modules_of(record: &FilterRecord) -> [(FilterDigest, u64); 2] {
    [(record.digest, record.bytes), (record.module, record.module_bytes)]
}

fn check_room(state: &DesiredState) -> Result<(), StoreError> {
    if state.filters.len() > FILTER_VERSIONS_MAX {
        let detail = format!("there are {FILTER_VERSIONS_MAX} versions of filters, as many as may be");
        return Err(StoreError::NoRoomForFilter(detail));
    }
    let modules: BTreeMap<FilterDigest, u64> =
        state.filters.values().flat_map(|record| modules_of(record)).collect();
    if modules.values().sum::<u64>() > FILTER_BYTES_MAX {
        let mebibytes = FILTER_BYTES_MAX >> 20;
        let detail = format!("all filters together may have {mebibytes} MiB, with this one they have more");
        return Err(StoreError::NoRoomForFilter(detail));
    }
    Ok(())
}

fn forget_oldest(next: &mut DesiredState) {
    if next.retired_filters.len() > RETIRED_FILTERS_MAX {
        let oldest = next.retired_filters.iter().min_by_key(|(_, retired)| retired.deleted_at);
        if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
            next.retired_filters.remove(&oldest);
        }
    }
}
