//! The strand of limits: all that match count a request, each known by its place in the list of limits.

use super::Answers;
use crate::bug::{Bug, number};
use crate::checked::{Expr, ExprKind, Limit};
use crate::linked::LinkedTraffic;
use crate::literals::header_of;
use crate::module::Share;
use crate::plan::{Entry, LimitPlan, Pick, Strand, TrafficPlan};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Adds the strand of the limits, if there are any; gives what its indexes mean.
pub(super) fn lower(
    traffic: &LinkedTraffic,
    answers: &Answers,
    strands: &mut Vec<Strand>,
) -> Result<Option<TrafficPlan>, Bug> {
    let mut limits = Vec::new();
    let mut numbers = BTreeMap::new();
    let mut entries = Vec::new();
    let mut shares = Vec::new();
    for linked in &traffic.limits {
        let limit = &linked.limit;
        let index = match numbers.get(&limit.id) {
            Some(known) => *known,
            None => {
                let fresh = number(limits.len())?;
                numbers.insert(limit.id.clone(), fresh);
                limits.push(LimitPlan {
                    id: limit.id.clone(),
                    step_ns: limit.rate.step_ns(),
                    filling_ns: limit.filling_ns(),
                    burst: limit.burst,
                    keys: limit.keys.clone(),
                    share: limit.shared.then(|| share(limit, &mut shares)).transpose()?,
                    answer: answers.of_limit(limit)?,
                    shadow: linked.shadow,
                });
                fresh
            }
        };
        let guard = Arc::new(limit.guard.clone());
        entries.push(Entry { guard, shadow: linked.shadow, index, span: limit.span });
    }
    if entries.is_empty() {
        return Ok(None);
    }
    strands.push(Strand { name: "limits", pick: Pick::All, entries });
    Ok(Some(TrafficPlan { strand: strands.len() - 1, limits, shares }))
}

/// The place of what a limit is shared over among those that are known.
fn share(limit: &Limit, known: &mut Vec<Share>) -> Result<u32, Bug> {
    let header = |key: &Arc<Expr>| match &key.kind {
        ExprKind::Attribute(attribute) => header_of(attribute),
        _ => None,
    };
    let headers: BTreeSet<Arc<str>> = limit.keys.iter().filter_map(header).collect();
    let policy = limit.id.split('/').next().unwrap_or_default().to_owned();
    let share = Share { policy, headers: headers.into_iter().collect() };
    let place = known.iter().position(|other| *other == share).unwrap_or(known.len());
    if place == known.len() {
        known.push(share);
    }
    number(place)
}
