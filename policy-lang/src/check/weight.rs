//! What asking the statements of a policy about a request counts, before it is done.

use crate::checked::{CheckedPolicy, Expr, ExprKind, Guard, Value};

/// What matching a pattern counts.
const PATTERN_STEPS: u64 = 50;
/// The most elements of a list that a request can have.
const ELEMENTS_MAX: u64 = 64;

/// What asking all statements of a policy counts, roughly.
pub(crate) fn steps_of_asking(policy: &CheckedPolicy) -> u64 {
    let guards = policy.guards().map(|(guard, _)| steps(guard));
    let computed = policy.computed().map(|expr| steps_of(expr));
    guards.chain(computed).fold(1_u64, u64::saturating_add)
}

/// What asking whether a guard matches counts.
fn steps(guard: &Guard) -> u64 {
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
