//! Going back: the change that puts the policies of an earlier revision in force again.

use super::tests_touched::Next;
use super::{Admission, AppliedPolicy, ApplyOutcome, Refusal, Terms, check_together, findings, run_all};
use crate::mesh::model::DesiredState;
use crate::mesh::store::{Change, Intent, Placement, PoliciesAt, PolicyChange};
use crate::policies::differences::concerned;
use crate::policies::effort::Effort;
use crate::policies::in_force::InForce;
use crate::policies::programs::Programs;
use chancery_policy_lang::Diagnostic;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Checks the policies of an earlier revision as if they were applied today, without those that came later.
///
/// # Errors
/// If they cannot be read any more or do not fit together, if a test of theirs fails, or if it takes longer than it
/// may.
pub fn admit_rollback(
    in_force: &InForce,
    earlier: &PoliciesAt,
    terms: Terms<'_>,
    programs: &Programs,
    effort: &Effort,
) -> Result<Admission, Refusal> {
    let state = &*in_force.state;
    let (mut change, mut outcomes) = going_back(state, earlier, terms);
    if outcomes.is_empty() {
        return Ok(Admission { tests: (!terms.skip_tests).then_some(0), ..Admission::default() });
    }
    let after = in_force.at(&Arc::new(Change::Policies(change.clone()).apply_to(state)?));
    if let Some(problem) = after.policies.problem() {
        return Err(Refusal::Request {
            message: format!("revision {} cannot be put in force again: {problem}", earlier.revision),
            help: "apply the policies as this version reads them".to_owned(),
        });
    }
    leave_unchanged(&mut change, &mut outcomes, in_force, &after);
    let changed = outcomes.iter().filter(|(_, outcome)| **outcome != ApplyOutcome::Unchanged);
    let changed: Vec<&str> = changed.map(|(name, _)| name.as_str()).collect();
    check_together(in_force, &after.policies, &changed, programs, effort)?;
    let concerned = concerned(in_force, &after.policies, &changed);
    // Tests beside a policy that only moved may be others than those of today.
    let touched: Vec<&str> = outcomes.keys().map(String::as_str).collect();
    let next = Next { state: &after.state, policies: &after.policies };
    let tests = if terms.skip_tests {
        None
    } else {
        let (tests, diagnostics) = next.tests_of_others(&BTreeSet::new(), &touched);
        if diagnostics.iter().any(Diagnostic::is_error) {
            return Err(Refusal::Policies(findings(&diagnostics, &after.policies.sources)));
        }
        Some(run_all(&next, &tests, programs, effort)?)
    };
    let left_out = next.tests_left_behind(state, touched);
    let outcomes = outcomes.into_iter().map(|(name, outcome)| AppliedPolicy { name, outcome }).collect();
    let change = Some(Change::Policies(change));
    Ok(Admission { change, outcomes, tests, warnings: Vec::new(), left_out, concerned })
}

/// A policy that says what it says today, in another file or set, is not changed and keeps its revision.
fn leave_unchanged(
    change: &mut PolicyChange,
    outcomes: &mut BTreeMap<String, ApplyOutcome>,
    now: &InForce,
    after: &InForce,
) {
    for (name, placement) in &mut change.placed {
        let both = (now.policies.get(name), after.policies.get(name));
        if let (Some(now), Some(after)) = both
            && now.digest == after.digest
        {
            placement.changed = false;
            outcomes.insert(name.clone(), ApplyOutcome::Unchanged);
        }
    }
}

/// The change that makes the policies of today those of then, and what becomes of each that differs.
fn going_back(
    state: &DesiredState,
    earlier: &PoliciesAt,
    terms: Terms<'_>,
) -> (PolicyChange, BTreeMap<String, ApplyOutcome>) {
    let (mut placed, mut removed, mut outcomes) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for (name, then) in &earlier.policies {
        let now = state.policies.get(name);
        if now.is_some_and(|now| now.document == then.document && now.set == then.set) {
            continue;
        }
        let changed = now.is_none_or(|now| now.document != then.document);
        let before = now.map(|now| now.document.clone());
        let (document, set, filters) = (then.document.clone(), then.set.clone(), then.filters.clone());
        placed.insert(name.clone(), Placement { document, before, changed, set, filters });
        let outcome = if now.is_some() { ApplyOutcome::Changed } else { ApplyOutcome::Created };
        outcomes.insert(name.clone(), outcome);
    }
    for (name, now) in state.policies.iter().filter(|(name, _)| !earlier.policies.contains_key(*name)) {
        removed.insert(name.clone(), now.document.clone());
        outcomes.insert(name.clone(), ApplyOutcome::Deleted);
    }
    let intent = Intent::RollBack { to: earlier.revision, tests_skipped: terms.skip_tests };
    let documents = earlier.documents.values().cloned().collect();
    (PolicyChange { base: state.revision, intent, documents, placed, removed, rollout: None }, outcomes)
}
