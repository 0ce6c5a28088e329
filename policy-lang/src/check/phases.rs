//! Conditions by phase: what is known when a request is decided, and what only when there is an answer.

use crate::checked::{BaseType, BinaryOp, Expr, ExprKind, Type, UnaryOp};
use crate::literals::asks_answer;
use crate::source::Span;
use std::sync::Arc;

/// The parts of a condition that must all hold.
#[derive(Debug, Default)]
pub(super) struct Phased {
    /// What it asks about the request.
    pub(super) now: Option<Arc<Expr>>,
    /// What it asks about the answer, and perhaps about the request, too.
    pub(super) late: Option<Arc<Expr>>,
}

/// The parts of a condition. One that asks about both stands in the second: what it asks about the request is kept
/// until there is an answer.
pub(super) fn by_phase(condition: &Arc<Expr>) -> Phased {
    let mut parts = Vec::new();
    conjuncts(condition, true, &mut parts);
    let (late, now): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| asks_answer(part));
    match late.is_empty() {
        true => Phased { now: Some(condition.clone()), late: None },
        false => Phased { now: all_of(now), late: all_of(late) },
    }
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
