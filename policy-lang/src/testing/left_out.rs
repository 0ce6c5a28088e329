//! Policies that a test leaves out, where they change what it says.
//!
//! A test sees the policies that it names, so that no change of another can break it. In force the others
//! decide too. [`left_out`] asks each request of a test again with all policies that concern its workload,
//! and warns where one that is not named turns the answer round. One that does not is not spoken of: most
//! tests leave out a baseline on purpose.

use super::workload_of_test;
use crate::checked::{CheckedPolicy, CheckedTest, Direction, Expr, ExprKind, Mode, Rule, TestCase, Value};
use crate::diagnostic::{Code, Diagnostic};
use crate::eval::evaluate;
use crate::link::link;
use crate::linked::{LinkedProgram, Workload};
use std::collections::BTreeMap;

const LEFT_OUT: Code = Code("W120");

/// A warning for each test of which a policy that it does not name turns an answer round.
#[must_use]
pub fn left_out(tests: &[CheckedTest], policies: &[CheckedPolicy]) -> Vec<Diagnostic> {
    let mut together = Together { policies, programs: BTreeMap::new() };
    let weights: BTreeMap<&str, u64> =
        policies.iter().map(|policy| (policy.name.as_str(), policy.rules.iter().map(steps).sum())).collect();
    let all: u64 = weights.values().sum();
    let mut left = STEPS_MAX;
    let mut found = Vec::new();
    for test in tests {
        let alone: u64 = test.policies.iter().filter_map(|name| weights.get(name.as_str())).sum();
        // Each request is asked twice, and both programs are made.
        let count = test.cases.len() as u64 + 1;
        let Some(rest) = left.checked_sub((alone + all + policies.len() as u64).saturating_mul(count)) else {
            break;
        };
        left = rest;
        found.extend(together.warning(test));
    }
    found
}

/// The most steps that are made for these warnings; the tests behind that are not looked at.
const STEPS_MAX: u64 = 3_000_000;
/// What matching a pattern counts.
const PATTERN_STEPS: u64 = 50;
/// The most elements of a list that a request can have.
const ELEMENTS_MAX: u64 = 64;

/// What asking a rule counts, roughly.
fn steps(rule: &Rule) -> u64 {
    let guard = &rule.guard;
    let parts = 1 + guard.methods.len() + guard.paths.len() + guard.peers.len();
    (parts as u64).saturating_add(guard.condition.as_ref().map_or(0, |condition| steps_of(condition)))
}

fn steps_of(expr: &Expr) -> u64 {
    let parts =
        |expr: &Expr| expr.parts().into_iter().fold(1_u64, |sum, part| sum.saturating_add(steps_of(part)));
    match &expr.kind {
        ExprKind::Matches(..) => parts(expr).saturating_add(PATTERN_STEPS),
        ExprKind::Quantify { .. } => parts(expr).saturating_mul(ELEMENTS_MAX),
        ExprKind::Literal(Value::List(elements)) => 1 + elements.len() as u64,
        _ => parts(expr),
    }
}

/// What is decided where all policies meet.
struct Together<'a> {
    policies: &'a [CheckedPolicy],
    /// For the workloads of tests of policies that are enforced anyway.
    programs: BTreeMap<Workload, Option<LinkedProgram>>,
}

impl Together<'_> {
    fn warning(&mut self, test: &CheckedTest) -> Option<Diagnostic> {
        let alone = super::link_test(test, self.policies).ok()?;
        let all = self.program(test)?;
        let differs = |case: &&TestCase| {
            let with_all = evaluate(&all, &case.request);
            evaluate(&alone, &case.request).outcome.allows() != with_all.outcome.allows()
        };
        let case = test.cases.iter().find(differs)?;
        let decision = evaluate(&all, &case.request);
        let (policy, _) = decision.rule.rsplit_once('/')?;
        let place = self.policies.iter().find(|known| known.name == policy)?.name_span;
        let verdict = if decision.outcome.allows() { "allows" } else { "denies" };
        let names = test.policies.join(", ");
        let message = format!("`{}` {verdict} this, and the test leaves it out", decision.rule);
        Some(
            Diagnostic::warning(LEFT_OUT, case.span, message)
                .with(place, format!("applies to {} too", shown(&all.workload)))
                .help(format!("write `for {names}, {policy}` to test what is in force together")),
        )
    }

    /// The program of all policies for the test's workload, those under test enforced.
    fn program(&mut self, test: &CheckedTest) -> Option<LinkedProgram> {
        let workload = workload_of_test(test, self.policies);
        let is_named = |policy: &&CheckedPolicy| test.policies.contains(&policy.name);
        if self.policies.iter().filter(is_named).all(|policy| policy.mode == Mode::Enforce) {
            let made = self.programs.entry(workload).or_insert_with_key(|workload| {
                // What does not go together is told elsewhere.
                link(self.policies, workload, Direction::Inbound).ok().flatten()
            });
            return made.clone();
        }
        let enforced = |policy: &CheckedPolicy| match is_named(&policy) {
            true => CheckedPolicy { mode: Mode::Enforce, ..policy.clone() },
            false => policy.clone(),
        };
        let policies: Vec<CheckedPolicy> = self.policies.iter().map(enforced).collect();
        link(&policies, &workload, Direction::Inbound).ok().flatten()
    }
}

fn shown(workload: &Workload) -> String {
    format!("`{}/{}`", workload.namespace, workload.service)
}
