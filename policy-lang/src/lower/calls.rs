//! The strands of what a caller's sidecar does: of each kind of statement the first that matches, of faults all.

use crate::bug::{Bug, number};
use crate::checked::Choice;
use crate::linked::{LinkedCalls, Ordered};
use crate::plan::{CallPlan, ChoicePlan, Entry, Pick, Strand};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Adds the strands, if something is to be decided; gives what their indexes mean.
pub(super) fn lower(calls: &LinkedCalls, strands: &mut Vec<Strand>) -> Result<Option<CallPlan>, Bug> {
    if !calls.decides() {
        return Ok(None);
    }
    Ok(Some(CallPlan {
        ways: first("ways", &calls.ways, strands)?,
        rewrites: first("rewrites", &calls.rewrites, strands)?,
        mirrors: first("mirrors", &calls.mirrors, strands)?,
        timeouts: first("timeouts", &calls.timeouts, strands)?,
        ceilings: first("ceilings", &calls.ceilings, strands)?,
        retries: first("retries", &calls.retries, strands)?,
        faults: strand("faults", Pick::All, &calls.faults, strands)?,
        timeout_otherwise: calls.timeouts.otherwise.clone(),
        ceiling_otherwise: calls.ceilings.otherwise.clone(),
        fixed_timeout: crate::routes::fixed_timeout(calls),
    }))
}

/// The strand of statements of which the first that matches holds.
fn first<T: Clone>(
    name: &'static str,
    ordered: &Ordered<T>,
    strands: &mut Vec<Strand>,
) -> Result<Option<ChoicePlan<T>>, Bug> {
    strand(name, Pick::First, &ordered.entries, strands)
}

fn strand<T: Clone>(
    name: &'static str,
    pick: Pick,
    all: &[Arc<Choice<T>>],
    strands: &mut Vec<Strand>,
) -> Result<Option<ChoicePlan<T>>, Bug> {
    let mut choices: Vec<Arc<Choice<T>>> = Vec::new();
    let mut numbers: BTreeMap<Arc<str>, u32> = BTreeMap::new();
    let mut entries = Vec::new();
    for choice in all {
        let index = match numbers.get(&choice.id) {
            Some(known) => *known,
            None => {
                let fresh = number(choices.len())?;
                numbers.insert(choice.id.clone(), fresh);
                choices.push(choice.clone());
                fresh
            }
        };
        let guard = Arc::new(choice.guard.clone());
        entries.push(Entry { guard, shadow: false, index, span: choice.span });
    }
    if entries.is_empty() {
        return Ok(None);
    }
    strands.push(Strand { name, pick, entries });
    Ok(Some(ChoicePlan { strand: strands.len() - 1, choices }))
}
