//! Folding a rule for its target: `target.*` becomes a constant, and constants are computed.

use crate::checked::{Attribute, BinaryOp, Expr, ExprKind, Rule, UnaryOp, Value};
use crate::linked::TargetContext;
use std::sync::Arc;

/// The rule as it stands for a target; `None` if its condition is false there.
pub(super) fn rule(rule: &Rule, target: &TargetContext) -> Option<Rule> {
    let condition = rule.condition.as_ref().map(|condition| expression(condition, target));
    let condition = match condition {
        Some(condition) => match constant(&condition) {
            Some(true) => None,
            Some(false) => return None,
            None => Some(condition),
        },
        None => None,
    };
    Some(Rule { condition, ..rule.clone() })
}

/// An expression with `target.*` as constants. A label that the target lacks stays: it is absent.
fn expression(expr: &Arc<Expr>, target: &TargetContext) -> Arc<Expr> {
    let again = |inner: &Arc<Expr>| expression(inner, target);
    let kind = match &expr.kind {
        ExprKind::Literal(_) | ExprKind::Variable(_) => return expr.clone(),
        ExprKind::Attribute(attribute) => match target_value(attribute, target) {
            Some(text) => ExprKind::Literal(Value::String(text.into())),
            None => return expr.clone(),
        },
        ExprKind::Unary(op, inner) => unary(*op, again(inner)),
        ExprKind::Binary(op, left, right) => binary(*op, again(left), again(right)),
        ExprKind::Conditional(test, yes, no) => {
            let test = again(test);
            match constant(&test) {
                Some(true) => return again(yes),
                Some(false) => return again(no),
                None => ExprKind::Conditional(test, again(yes), again(no)),
            }
        }
        ExprKind::Call(builtin, arguments) => ExprKind::Call(*builtin, arguments.iter().map(again).collect()),
        ExprKind::Matches(text, regex) => ExprKind::Matches(again(text), regex.clone()),
        ExprKind::ContainsIp(net, address) => ExprKind::ContainsIp(*net, again(address)),
        ExprKind::Has(inner) => ExprKind::Has(again(inner)),
        ExprKind::Convert(conversion, inner) => ExprKind::Convert(conversion.clone(), again(inner)),
        ExprKind::Quantify { quantifier, variable, list, body } => ExprKind::Quantify {
            quantifier: *quantifier,
            variable: *variable,
            list: again(list),
            body: again(body),
        },
    };
    Arc::new(Expr { kind, ty: expr.ty, span: expr.span })
}

fn target_value(attribute: &Attribute, target: &TargetContext) -> Option<String> {
    match attribute {
        Attribute::TargetService => Some(format!("{}/{}", target.namespace, target.service)),
        Attribute::TargetNamespace => Some(target.namespace.clone()),
        Attribute::TargetLabel(name) => target.labels.get(name.as_ref()).cloned(),
        _ => None,
    }
}

fn unary(op: UnaryOp, inner: Arc<Expr>) -> ExprKind {
    match (op, constant(&inner)) {
        (UnaryOp::Not, Some(value)) => ExprKind::Literal(Value::Bool(!value)),
        _ => ExprKind::Unary(op, inner),
    }
}

fn binary(op: BinaryOp, left: Arc<Expr>, right: Arc<Expr>) -> ExprKind {
    let sides = (constant(&left), constant(&right));
    match (op, sides) {
        (BinaryOp::And, (Some(false), _) | (_, Some(false))) => ExprKind::Literal(Value::Bool(false)),
        (BinaryOp::Or, (Some(true), _) | (_, Some(true))) => ExprKind::Literal(Value::Bool(true)),
        (BinaryOp::And, (Some(true), _)) | (BinaryOp::Or, (Some(false), _)) => right.kind.clone(),
        (BinaryOp::And, (_, Some(true))) | (BinaryOp::Or, (_, Some(false))) => left.kind.clone(),
        (BinaryOp::Equal | BinaryOp::NotEqual, _) => match (&left.kind, &right.kind) {
            (ExprKind::Literal(a), ExprKind::Literal(b)) => {
                ExprKind::Literal(Value::Bool((a == b) == (op == BinaryOp::Equal)))
            }
            _ => ExprKind::Binary(op, left, right),
        },
        _ => ExprKind::Binary(op, left, right),
    }
}

fn constant(expr: &Expr) -> Option<bool> {
    match expr.kind {
        ExprKind::Literal(Value::Bool(value)) => Some(value),
        _ => None,
    }
}
