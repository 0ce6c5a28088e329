//! What operations on headers ask about answers: which of them exclude each other, and that they are not too many.

use crate::checked::{Attribute, BinaryOp, Expr, ExprKind, HeaderStatement, UnaryOp, Value};
use crate::linked::LinkedHeader;
use crate::literals::expression_text;
use crate::response::LATE_OPERATIONS_MAX;
use crate::source::Span;
use std::collections::BTreeSet;

/// Whether no answer to a request meets both conditions, as far as statuses tell (`response.code == 404` and
/// `response.code >= 500`), or one of them says the contrary of the other (`when C` and `unless C`).
pub(super) fn exclude(statements: [&HeaderStatement; 2]) -> bool {
    let mut statuses = Statuses { least: i64::MIN, most: i64::MAX, others: Vec::new() };
    let conditions = statements.iter().filter_map(|statement| statement.late.as_ref());
    conditions.for_each(|condition| statuses.narrow(condition, true));
    let least = (statuses.least..=statuses.most).find(|status| !statuses.others.contains(status));
    let [first, second] = statements;
    least.is_none() || refutes(first, second) || refutes(second, first)
}

/// Whether all ways in which a part of what the first statement asks of an answer can hold are contrary to what the
/// second asks.
fn refutes(first: &HeaderStatement, second: &HeaderStatement) -> bool {
    let (Some(late), true) = (&first.late, second.late.is_some() || second.guard.condition.is_some()) else {
        return false;
    };
    let mut facts = BTreeSet::new();
    for condition in second.late.iter().chain(&second.guard.condition) {
        let mut parts = Vec::new();
        joined(BinaryOp::And, condition, true, &mut parts);
        facts.extend(parts.into_iter().map(|(part, wanted)| fact(part, wanted)));
    }
    let mut parts = Vec::new();
    joined(BinaryOp::And, late, true, &mut parts);
    parts.into_iter().any(|(part, wanted)| {
        let mut ways = Vec::new();
        joined(BinaryOp::Or, part, wanted, &mut ways);
        ways.into_iter().all(|(way, wanted)| facts.contains(&fact(way, !wanted)))
    })
}

/// Adds what is joined by an operator where an expression is `wanted`.
fn joined<'e>(op: BinaryOp, expr: &'e Expr, wanted: bool, parts: &mut Vec<(&'e Expr, bool)>) {
    let other = if op == BinaryOp::And { BinaryOp::Or } else { BinaryOp::And };
    match &expr.kind {
        ExprKind::Unary(UnaryOp::Not, inner) => joined(op, inner, !wanted, parts),
        ExprKind::Binary(found, left, right) if *found == if wanted { op } else { other } => {
            joined(op, left, wanted, parts);
            joined(op, right, wanted, parts);
        }
        _ => parts.push((expr, wanted)),
    }
}

/// An expression and what it is to be, alike for all ways to say the same.
fn fact(expr: &Expr, wanted: bool) -> (String, bool) {
    let text = expression_text(expr);
    let bare = text.trim_start_matches('!');
    let is_same = (text.len() - bare.len()).is_multiple_of(2);
    (bare.to_owned(), wanted == is_same)
}

/// The statement behind the last of those that may ask about answers, if there are too many.
pub(super) fn first_beyond(headers: &[LinkedHeader]) -> Option<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for linked in headers.iter().filter(|linked| linked.statement.late.is_some() && !linked.shadow) {
        if !spans.contains(&linked.statement.span) {
            spans.push(linked.statement.span);
        }
    }
    spans.get(LATE_OPERATIONS_MAX as usize).copied()
}

/// The statuses that parts of conditions leave.
struct Statuses {
    least: i64,
    most: i64,
    others: Vec<i64>,
}

impl Statuses {
    /// Takes in what must hold for a condition to be `wanted`.
    fn narrow(&mut self, expr: &Expr, wanted: bool) {
        match &expr.kind {
            ExprKind::Unary(UnaryOp::Not, inner) => self.narrow(inner, !wanted),
            ExprKind::Binary(BinaryOp::And, left, right) if wanted => {
                self.narrow(left, wanted);
                self.narrow(right, wanted);
            }
            ExprKind::Binary(BinaryOp::Or, left, right) if !wanted => {
                self.narrow(left, wanted);
                self.narrow(right, wanted);
            }
            ExprKind::Binary(op, left, right) => match (&left.kind, &right.kind) {
                (ExprKind::Attribute(Attribute::ResponseCode), ExprKind::Literal(Value::Int(value))) => {
                    self.compare(*op, *value, wanted);
                }
                (ExprKind::Literal(Value::Int(value)), ExprKind::Attribute(Attribute::ResponseCode)) => {
                    self.compare(turned(*op), *value, wanted);
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn compare(&mut self, op: BinaryOp, value: i64, wanted: bool) {
        match (op, wanted) {
            (BinaryOp::Equal, true) | (BinaryOp::NotEqual, false) => {
                self.least = self.least.max(value);
                self.most = self.most.min(value);
            }
            (BinaryOp::Equal, false) | (BinaryOp::NotEqual, true) => self.others.push(value),
            (BinaryOp::Less, true) | (BinaryOp::GreaterOrEqual, false) => {
                self.most = self.most.min(value.saturating_sub(1));
            }
            (BinaryOp::LessOrEqual, true) | (BinaryOp::Greater, false) => self.most = self.most.min(value),
            (BinaryOp::Greater, true) | (BinaryOp::LessOrEqual, false) => {
                self.least = self.least.max(value.saturating_add(1));
            }
            (BinaryOp::GreaterOrEqual, true) | (BinaryOp::Less, false) => self.least = self.least.max(value),
            _ => {}
        }
    }
}

/// The operator for the sides in the other order.
fn turned(op: BinaryOp) -> BinaryOp {
    match op {
        BinaryOp::Less => BinaryOp::Greater,
        BinaryOp::LessOrEqual => BinaryOp::GreaterOrEqual,
        BinaryOp::Greater => BinaryOp::Less,
        BinaryOp::GreaterOrEqual => BinaryOp::LessOrEqual,
        other => other,
    }
}
