//! Conditions by phase: what is known when a request is decided, and what only when there is an answer.

use super::errors::phases as errors;
use super::rule::Around;
use crate::checked::{BaseType, BinaryOp, Expr, ExprKind, Type, UnaryOp};
use crate::literals::{attributes_of, is_of_answer, is_of_target};
use crate::source::Span;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The parts of a condition that must all hold.
#[derive(Debug, Default)]
pub(super) struct Phased {
    /// What it asks about the request.
    pub(super) now: Option<Arc<Expr>>,
    /// What it asks about the answer.
    pub(super) late: Option<Arc<Expr>>,
}

impl Around<'_> {
    /// The parts of a condition. `None` if one of them asks about both: `instead` says what to write.
    pub(super) fn by_phase(&mut self, condition: &Arc<Expr>, instead: &str) -> Option<Phased> {
        let mut parts = Vec::new();
        conjuncts(condition, true, &mut parts);
        let (mut now, mut late) = (Vec::new(), Vec::new());
        for part in parts {
            if is_of_both(&part) {
                self.diagnostics.push(errors::two_phases(part.span, instead));
                return None;
            }
            if asks(&part, is_of_answer) { late.push(part) } else { now.push(part) }
        }
        if late.is_empty() {
            return Some(Phased { now: Some(condition.clone()), late: None });
        }
        Some(Phased { now: all_of(now), late: all_of(late) })
    }
}

/// Whether an expression asks about the answer and about the request, too. What a target is, is known in any phase.
pub(super) fn is_of_both(expr: &Expr) -> bool {
    asks(expr, is_of_answer) && asks(expr, |attribute| !is_of_answer(attribute) && !is_of_target(attribute))
}

/// Whether an expression asks about such an attribute.
fn asks(expr: &Expr, is: impl Fn(&crate::checked::Attribute) -> bool) -> bool {
    let mut asked = BTreeSet::new();
    attributes_of(expr, &mut asked);
    asked.iter().any(is)
}

/// Adds the parts that must all hold for `expr` to be `wanted`.
fn conjuncts(expr: &Arc<Expr>, wanted: bool, parts: &mut Vec<Arc<Expr>>) {
    match &expr.kind {
        ExprKind::Unary(UnaryOp::Not, inner) => conjuncts(inner, !wanted, parts),
        ExprKind::Binary(BinaryOp::And, left, right) if wanted => {
            conjuncts(left, wanted, parts);
            conjuncts(right, wanted, parts);
        }
        ExprKind::Binary(BinaryOp::Or, left, right) if !wanted => {
            conjuncts(left, wanted, parts);
            conjuncts(right, wanted, parts);
        }
        _ if wanted => parts.push(expr.clone()),
        _ => parts.push(bool_of(ExprKind::Unary(UnaryOp::Not, expr.clone()), expr.span)),
    }
}

fn all_of(parts: Vec<Arc<Expr>>) -> Option<Arc<Expr>> {
    parts.into_iter().reduce(|all, part| {
        let span = all.span;
        bool_of(ExprKind::Binary(BinaryOp::And, all, part), span)
    })
}

fn bool_of(kind: ExprKind, span: Span) -> Arc<Expr> {
    Arc::new(Expr { kind, ty: Type { base: BaseType::Bool, optional: false }, span })
}
