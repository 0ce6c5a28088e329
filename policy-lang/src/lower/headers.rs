//! The strand of operations on headers: all that match are picked, and of those on one header the one of the greatest
//! rank is done.

use super::kept::Keeping;
use crate::bug::{Bug, OrBug as _, number};
use crate::linked::{LinkedHeader, LinkedTraffic, Rank};
use crate::plan::{Entry, HeaderOperation, HeaderPlace, HeadersPlan, Pick, Strand};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Adds the strand of the operations, if there are any; gives what its indexes mean. Those of shadow policies are
/// never done, and are left out.
pub(super) fn lower(traffic: &LinkedTraffic, strands: &mut Vec<Strand>) -> Result<Option<HeadersPlan>, Bug> {
    let done: Vec<&LinkedHeader> = traffic.headers.iter().filter(|linked| !linked.shadow).collect();
    if done.is_empty() {
        return Ok(None);
    }
    let ranked: BTreeMap<Key, &LinkedHeader> = done.iter().map(|linked| (key(linked), *linked)).collect();
    let distinct: BTreeSet<HeaderPlace> = done.iter().map(|linked| place_of(linked)).collect();
    let places: Vec<HeaderPlace> = distinct.into_iter().collect();
    let mut keeping = Keeping::from(0);
    let mut operations = Vec::new();
    let mut indexes: BTreeMap<Key, u32> = BTreeMap::new();
    for (key, linked) in ranked {
        let place = places.binary_search(&place_of(linked)).ok().or_bug("each header has a place")?;
        indexes.insert(key, number(operations.len())?);
        let change = match linked.statement.change.value().filter(|_| linked.statement.change.is_late()) {
            Some(value) => linked.statement.change.with_value(keeping.late(value)),
            None => linked.statement.change.clone(),
        };
        let late = linked.statement.late.as_ref().map(|late| keeping.late(late));
        operations.push(HeaderOperation { place: number(place)?, change, late });
    }
    let entries = done.iter().map(|linked| {
        Ok(Entry {
            guard: Arc::new(linked.statement.guard.clone()),
            shadow: false,
            index: indexes.get(&key(linked)).copied().or_bug("each operation has an index")?,
            span: linked.statement.span,
        })
    });
    let entries = entries.collect::<Result<Vec<Entry>, Bug>>()?;
    strands.push(Strand { name: "headers", pick: Pick::All, entries });
    Ok(Some(HeadersPlan { strand: strands.len() - 1, places, operations, kept: keeping.finish()? }))
}

/// Two statements of one key are one operation: they do the same, if the same holds of the answer.
type Key = (Rank, Option<String>);

fn key(linked: &LinkedHeader) -> Key {
    (linked.rank(), linked.late_text())
}

fn place_of(linked: &LinkedHeader) -> HeaderPlace {
    let (message, header) = linked.place();
    HeaderPlace { message, header }
}
