//! What is written of filters and their modules: what differs between the states before and after a change.

use super::Fault;
use super::contents::bytes;
use super::tables::{Batch, Table};
use crate::mesh::model::DesiredState;
use crate::mesh::model::filter::FilterDigest;
use crate::mesh::store::FilterPush;
use crate::mesh::store::record::{Record, StoredFilter, StoredRetiredFilter};
use imbl::ordmap::DiffItem;
use std::collections::BTreeSet;

/// Writes the records that differ.
pub(super) fn write_records(
    before: &DesiredState,
    after: &DesiredState,
    batch: &mut Batch,
) -> Result<(), Fault> {
    for item in before.filters.diff(&after.filters) {
        match item {
            DiffItem::Add(id, record) | DiffItem::Update { new: (id, record), .. } => {
                batch.put(Table::Filters, id.to_string(), bytes(&StoredFilter::of(record))?);
            }
            DiffItem::Remove(id, _) => batch.remove(Table::Filters, id.to_string()),
        }
    }
    for item in before.retired_filters.diff(&after.retired_filters) {
        match item {
            DiffItem::Add(id, record) | DiffItem::Update { new: (id, record), .. } => {
                batch.put(Table::RetiredFilters, id.to_string(), bytes(&StoredRetiredFilter::of(record))?);
            }
            DiffItem::Remove(id, _) => batch.remove(Table::RetiredFilters, id.to_string()),
        }
    }
    Ok(())
}

/// Writes the modules of a filter that are not kept already.
pub(super) fn write_modules(
    before: &DesiredState,
    push: &FilterPush,
    batch: &mut Batch,
) -> Result<(), Fault> {
    let record = &push.record;
    for (digest, module) in [(record.digest, &push.pushed), (record.module, &push.module)] {
        if FilterDigest::of(module) != digest {
            return Err(Fault::odd(format!(
                "a module of filter `{}` is not what its digest says",
                record.id
            )));
        }
        if !is_kept(before, digest) {
            batch.put(Table::Modules, digest.to_string(), module.to_vec());
        }
    }
    Ok(())
}

/// Removes the modules that no filter has any more.
pub(super) fn remove_modules(before: &DesiredState, after: &DesiredState, batch: &mut Batch) {
    let gone = before.filters.diff(&after.filters).filter_map(|item| match item {
        DiffItem::Remove(_, record) | DiffItem::Update { old: (_, record), .. } => Some(record),
        DiffItem::Add(..) => None,
    });
    let digests: BTreeSet<FilterDigest> = gone.flat_map(|record| [record.digest, record.module]).collect();
    for digest in digests.into_iter().filter(|digest| !is_kept(after, *digest)) {
        batch.remove(Table::Modules, digest.to_string());
    }
}

fn is_kept(state: &DesiredState, digest: FilterDigest) -> bool {
    state.filters.values().any(|record| record.digest == digest || record.module == digest)
}
