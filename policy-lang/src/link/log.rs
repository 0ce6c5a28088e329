//! The `log` part of a program: the union of samples and fields, and redactions over all of it.

use super::hidden::redacted;
use super::scope::Specificity;
use super::{At, entries, errors, order};
use crate::budget::{Budget, Overrun};
use crate::checked::{CheckedPolicy, Expr, ExprKind, Field, Redact, Sample, Value};
use crate::diagnostic::Diagnostic;
use crate::linked::{LinkedField, LinkedLog};
use crate::literals::{attributes_of, expression_text};
use crate::log::{FIELDS_MAX, LATER_MAX, is_whole, origin};
use crate::sinks::Goals;
use crate::source::Span;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What the `log` policies say, if there are any. The policies are sorted by name and all concern the workload; those that
/// are `hiding` say nothing but what they redact.
pub(super) fn of_all(
    concerned: &[&CheckedPolicy],
    hiding: &[&CheckedPolicy],
    goals: Goals,
    at: At<'_>,
    budget: &mut Budget,
) -> Result<Option<LinkedLog>, Vec<Diagnostic>> {
    let bodies: Vec<_> = concerned.iter().filter_map(|policy| policy.log()).collect();
    if bodies.is_empty() {
        return Ok(None);
    }
    let redacted = redacted(concerned.iter().chain(hiding).copied());
    let mut samples = Vec::new();
    for sample in bodies.iter().flat_map(|body| &body.samples) {
        samples.extend(folded(sample, at, budget).map_err(|overrun| vec![overrun.diagnostic()])?);
    }
    order::sort_samples(&mut samples);
    let mut later: Vec<Span> = Vec::new();
    for sample in samples.iter().filter(|sample| sample.later.is_some()) {
        if !later.contains(&sample.span) {
            later.push(sample.span);
        }
    }
    if let Some(span) = later.get(LATER_MAX as usize) {
        return Err(vec![errors::many_samples(*span)]);
    }
    let states_samples = bodies.iter().any(|body| !body.samples.is_empty());
    let fields = fields(concerned, at, budget, &redacted)?;
    Ok(Some(LinkedLog { samples: states_samples.then_some(samples), fields, redacted, goals }))
}

/// The entries that stand for a sample at a workload.
fn folded(sample: &Sample, at: At<'_>, budget: &mut Budget) -> Result<Vec<Arc<Sample>>, Overrun> {
    let later = match &sample.later {
        Some(later) => {
            let later = at.folding(budget).expression(later)?;
            match later.kind {
                ExprKind::Literal(Value::Bool(false)) => return Ok(Vec::new()),
                ExprKind::Literal(Value::Bool(true)) => None,
                _ => Some(later),
            }
        }
        None => None,
    };
    let entry = |guard| Arc::new(Sample { guard, later: later.clone(), ..sample.clone() });
    Ok(entries(&sample.guard, sample.span, at, budget)?.into_iter().map(entry).collect())
}

/// The fields of all policies; of two of one name that of the narrower scope.
fn fields(
    concerned: &[&CheckedPolicy],
    at: At<'_>,
    budget: &mut Budget,
    redacted: &BTreeMap<String, Redact>,
) -> Result<BTreeMap<Arc<str>, LinkedField>, Vec<Diagnostic>> {
    let mut chosen: BTreeMap<&Arc<str>, (Specificity, &CheckedPolicy, &Field)> = BTreeMap::new();
    let mut conflicts = Vec::new();
    for policy in concerned {
        let Some(specificity) = at.reach(policy) else { continue };
        for field in policy.log().into_iter().flat_map(|log| &log.fields) {
            match chosen.get(&field.name) {
                Some((best, _, _)) if *best > specificity => {}
                Some((best, first, known)) if *best == specificity => {
                    if expression_text(&known.value) != expression_text(&field.value) {
                        conflicts.push((
                            best.to_owned(),
                            &field.name,
                            errors::field_conflict((first, known), (policy, field)),
                        ));
                    }
                }
                _ => drop(chosen.insert(&field.name, (specificity, policy, field))),
            }
        }
    }
    let is_of_best = |(at, name, _): &(Specificity, &Arc<str>, Diagnostic)| {
        chosen.get(name).is_some_and(|(best, _, _)| best == at)
    };
    let conflicts: Vec<Diagnostic> =
        conflicts.into_iter().filter(is_of_best).map(|(_, _, conflict)| conflict).collect();
    if !conflicts.is_empty() {
        return Err(conflicts);
    }
    if let Some((_, policy, field)) = chosen.values().nth(FIELDS_MAX) {
        return Err(vec![errors::many_fields(policy, field)]);
    }
    let mut fields = BTreeMap::new();
    for (name, (_, _, field)) in chosen {
        let folded = at.folding(budget).expression(&field.value);
        let value = folded.map_err(|overrun| vec![overrun.diagnostic()])?;
        let redact = redaction(&field.value, redacted);
        if redact != Some(Redact::Drop) {
            fields.insert(name.clone(), LinkedField { value, redact });
        }
    }
    Ok(fields)
}

/// What stands in the place of an expression's value: what tells the least of what any of its parts ask for. A hash
/// stands only in the place of a whole value.
fn redaction(value: &Expr, redacted: &BTreeMap<String, Redact>) -> Option<Redact> {
    let mut asked = BTreeSet::new();
    attributes_of(value, &mut asked);
    let how = asked.iter().filter_map(|attribute| redacted.get(&origin(attribute)).copied()).max()?;
    Some(if how == Redact::Hash && !is_whole(value) { Redact::Mask } else { how })
}
