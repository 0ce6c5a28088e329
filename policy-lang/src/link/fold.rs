//! Folding a guard for its workload: `target.*` becomes a constant, and constants are computed.

use crate::checked::{Attribute, BinaryOp, Expr, ExprKind, Guard, UnaryOp, Value};
use crate::eval::{Computed, Scope};
use crate::linked::Workload;
use crate::literals::attributes_of;
use crate::request::Request;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The guard as it stands for a workload; `None` if its condition is false there.
pub(super) fn guard(guard: &Guard, workload: &Workload) -> Option<Guard> {
    let condition = guard.condition.as_ref().map(|condition| expression(condition, workload));
    let condition = match condition {
        Some(condition) => match constant(&condition) {
            Some(true) => None,
            Some(false) => return None,
            None => Some(condition),
        },
        None => None,
    };
    Some(Guard { condition, ..guard.clone() })
}

/// An expression with `target.*` as constants, and with what depends on nothing else computed by
/// the evaluator. What is absent has no constant and stays as it is.
fn expression(expr: &Arc<Expr>, workload: &Workload) -> Arc<Expr> {
    if is_closed(expr) {
        return match computed(expr, workload) {
            Some(value) => Arc::new(Expr { kind: ExprKind::Literal(value), ty: expr.ty, span: expr.span }),
            None => expr.clone(),
        };
    }
    let again = |inner: &Arc<Expr>| expression(inner, workload);
    let kind = match &expr.kind {
        ExprKind::Literal(_) | ExprKind::Variable(_) | ExprKind::Attribute(_) => return expr.clone(),
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

/// Whether the value depends on the workload alone.
fn is_closed(expr: &Expr) -> bool {
    let mut asked = BTreeSet::new();
    attributes_of(expr, &mut asked);
    let of_target = |attribute: &Attribute| {
        matches!(attribute, Attribute::TargetService | Attribute::TargetNamespace | Attribute::TargetLabel(_))
    };
    asked.iter().all(of_target) && !has_free_variable(expr, &mut Vec::new())
}

fn has_free_variable(expr: &Expr, bound: &mut Vec<u32>) -> bool {
    match &expr.kind {
        ExprKind::Variable(number) => !bound.contains(number),
        ExprKind::Literal(_) | ExprKind::Attribute(_) => false,
        ExprKind::Unary(_, inner)
        | ExprKind::Matches(inner, _)
        | ExprKind::ContainsIp(_, inner)
        | ExprKind::Has(inner)
        | ExprKind::Convert(_, inner) => has_free_variable(inner, bound),
        ExprKind::Binary(_, left, right) => has_free_variable(left, bound) || has_free_variable(right, bound),
        ExprKind::Conditional(test, yes, no) => {
            [test, yes, no].iter().any(|part| has_free_variable(part, bound))
        }
        ExprKind::Call(_, arguments) => arguments.iter().any(|argument| has_free_variable(argument, bound)),
        ExprKind::Quantify { variable, list, body, .. } => {
            if has_free_variable(list, bound) {
                return true;
            }
            bound.push(*variable);
            let free = has_free_variable(body, bound);
            bound.pop();
            free
        }
    }
}

/// The value of a closed expression; no request can change it.
fn computed(expr: &Expr, workload: &Workload) -> Option<Value> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).ok().map(Arc::from);
    Some(match Scope::new(&Request::default(), workload).value(expr)? {
        Computed::Bool(value) => Value::Bool(value),
        Computed::Int(value) => Value::Int(value),
        Computed::String(bytes) => Value::String(text(bytes)?),
        Computed::Ip(address) => Value::Ip(address),
        Computed::List(elements) => Value::List(elements.into_iter().map(text).collect::<Option<_>>()?),
    })
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
        // A bool that can be absent is not what `&&` makes of it.
        (BinaryOp::And, (Some(true), _)) | (BinaryOp::Or, (Some(false), _)) if !right.ty.optional => {
            right.kind.clone()
        }
        (BinaryOp::And, (_, Some(true))) | (BinaryOp::Or, (_, Some(false))) if !left.ty.optional => {
            left.kind.clone()
        }
        _ => ExprKind::Binary(op, left, right),
    }
}

fn constant(expr: &Expr) -> Option<bool> {
    match expr.kind {
        ExprKind::Literal(Value::Bool(value)) => Some(value),
        _ => None,
    }
}
