//! Operations on headers: which concern a workload, and that no two of one scope contradict each other.

use super::scope::Specificity;
use super::{At, entries, errors, late, order};
use crate::budget::{Budget, Overrun, Work};
use crate::checked::{CheckedPolicy, ExprKind, HeaderStatement, Message, Mode, Value};
use crate::classify::overlap;
use crate::diagnostic::Diagnostic;
use crate::linked::LinkedHeader;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What comparing two guards counts beside their own parts.
const PARTS_PER_PAIR: u64 = 4;

/// The operations that concern the workload, in an order that depends on what they say only; the policies are
/// sorted by name and all concern it.
pub(super) fn headers(
    concerned: &[&CheckedPolicy],
    at: At<'_>,
    budget: &mut Budget,
) -> Result<Vec<LinkedHeader>, Vec<Diagnostic>> {
    let mut headers = of_all(concerned, at, budget).map_err(|overrun| vec![overrun.diagnostic()])?;
    let conflicts = conflicts(&headers, at, budget).map_err(|overrun| vec![overrun.diagnostic()])?;
    if !conflicts.is_empty() {
        return Err(conflicts);
    }
    if let Some(span) = late::first_beyond(&headers) {
        return Err(vec![errors::many_late_operations(span)]);
    }
    order::sort_headers(&mut headers);
    Ok(headers)
}

fn of_all(
    concerned: &[&CheckedPolicy],
    at: At<'_>,
    budget: &mut Budget,
) -> Result<Vec<LinkedHeader>, Overrun> {
    let mut headers = Vec::new();
    for policy in concerned {
        let shadow = policy.mode != Mode::Enforce;
        let Some(scope) = at.reach(policy) else { continue };
        for statement in policy.headers() {
            let change = match statement.change.value() {
                Some(value) => {
                    let folded = at.folding(budget).expression(value)?;
                    statement.change.with_value(folded)
                }
                None => statement.change.clone(),
            };
            let late = match &statement.late {
                Some(late) => {
                    let late = at.folding(budget).expression(late)?;
                    match late.kind {
                        ExprKind::Literal(Value::Bool(false)) => continue,
                        ExprKind::Literal(Value::Bool(true)) => None,
                        _ => Some(late),
                    }
                }
                None => None,
            };
            for guard in entries(&statement.guard, statement.span, at, budget)? {
                let (change, late) = (change.clone(), late.clone());
                let statement = HeaderStatement { guard, change, late, ..statement.clone() };
                headers.push(LinkedHeader { statement: Arc::new(statement), scope, shadow });
            }
        }
    }
    Ok(headers)
}

/// An error for each two statements that make different things of one header of one request.
fn conflicts(headers: &[LinkedHeader], at: At<'_>, budget: &mut Budget) -> Result<Vec<Diagnostic>, Overrun> {
    type Place = (Message, Arc<str>, Specificity, bool);
    let mut places: BTreeMap<Place, Vec<(&LinkedHeader, String)>> = BTreeMap::new();
    for header in headers {
        let (message, name) = header.place();
        let change = header.rank().change;
        places.entry((message, name, header.scope, header.shadow)).or_default().push((header, change));
    }
    let mut found: BTreeMap<(Arc<str>, Arc<str>), Diagnostic> = BTreeMap::new();
    for same in places.values() {
        for (number, (one, change)) in same.iter().enumerate() {
            for (other, _) in same.iter().skip(number + 1).filter(|(_, other)| other != change) {
                let (first, second) = (&one.statement, &other.statement);
                let key = (first.id.clone(), second.id.clone());
                if found.contains_key(&key) {
                    continue;
                }
                let parts = parts(first).saturating_add(parts(second)).saturating_add(PARTS_PER_PAIR);
                budget.spend(Work::LinkedParts, parts, second.span)?;
                let guards = [&first.guard, &second.guard];
                if late::exclude([first, second]) {
                    continue;
                }
                if let Some(witness) = overlap(guards, &at.workload.trust_domain) {
                    found.insert(key, errors::header_conflict(one.scope, first, second, &witness));
                }
            }
        }
    }
    Ok(found.into_values().collect())
}

/// How much there is to compare in a statement.
fn parts(statement: &HeaderStatement) -> u64 {
    let guard = &statement.guard;
    (guard.methods.len() + guard.paths.len() + guard.peers.len()) as u64
}
