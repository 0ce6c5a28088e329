//! Bans on one value of what a client can repeat: `deny … when headers["x"] == "v"`.
//!
//! A repeated header or parameter is seen joined, so a client that sends `v` twice is not equal to `v`, and
//! passes. An allowance that is written so is safe: it is refused more, not less.

use super::errors::warnings;
use crate::checked::{Attribute, BinaryOp, Expr, ExprKind, UnaryOp, Value};
use crate::diagnostic::Findings;

/// Says which comparisons of a ban's condition a client can evade by sending a value twice.
pub(super) fn warn(condition: &Expr, diagnostics: &mut Findings) {
    look_at(condition, true, diagnostics);
}

/// `wanted`: what the expression is where the ban holds.
fn look_at(expr: &Expr, wanted: bool, diagnostics: &mut Findings) {
    match &expr.kind {
        ExprKind::Unary(UnaryOp::Not, inner) => look_at(inner, !wanted, diagnostics),
        ExprKind::Binary(BinaryOp::And | BinaryOp::Or, left, right) => {
            look_at(left, wanted, diagnostics);
            look_at(right, wanted, diagnostics);
        }
        ExprKind::Binary(op, left, right) => {
            let is_evaded = match op {
                BinaryOp::Equal | BinaryOp::In => wanted,
                BinaryOp::NotEqual => !wanted,
                _ => false,
            };
            if !is_evaded {
                return;
            }
            for (side, other) in [(left, right), (right, left)] {
                if let (Some(name), Some(value)) = (repeatable(side), constant(other)) {
                    diagnostics.push(warnings::evaded_by_repetition(expr.span, &name, &value));
                }
            }
        }
        _ => {}
    }
}

/// How a value is written that a client can send several times.
fn repeatable(expr: &Expr) -> Option<String> {
    match &expr.kind {
        ExprKind::Attribute(Attribute::Header(name)) => Some(format!("headers[{:?}]", name.as_ref())),
        ExprKind::Attribute(Attribute::Query(name)) => Some(format!("query[{:?}]", name.as_ref())),
        _ => None,
    }
}

/// A constant that is compared with, or one of several.
fn constant(expr: &Expr) -> Option<String> {
    match &expr.kind {
        ExprKind::Literal(Value::String(value)) => Some(value.to_string()),
        ExprKind::Literal(Value::List(values)) => values.first().map(ToString::to_string),
        _ => None,
    }
}
