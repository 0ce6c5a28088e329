//! The strand of limits: all that match count a request, each known by its place in the list of limits.

use super::Answers;
use crate::bug::{Bug, number};
use crate::linked::LinkedTraffic;
use crate::plan::{Entry, LimitPlan, Pick, Strand, TrafficPlan};
use std::collections::BTreeMap;
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
                    keys: limit.keys.clone(),
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
    Ok(Some(TrafficPlan { strand: strands.len() - 1, limits }))
}
