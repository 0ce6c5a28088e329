//! What operations on headers ask about answers: which of them exclude each other, and that they are not too many.

use crate::checked::{Attribute, BinaryOp, Expr, ExprKind, UnaryOp, Value};
use crate::linked::LinkedHeader;
use crate::response::LATE_OPERATIONS_MAX;
use crate::source::Span;

/// Whether no answer meets both conditions, as far as statuses tell: `response.code == 404` and
/// `response.code >= 500`.
pub(super) fn exclude(conditions: [Option<&Expr>; 2]) -> bool {
    let mut statuses = Statuses { least: i64::MIN, most: i64::MAX, others: Vec::new() };
    conditions.into_iter().flatten().for_each(|condition| statuses.narrow(condition, true));
    let least = (statuses.least..=statuses.most).find(|status| !statuses.others.contains(status));
    least.is_none()
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
