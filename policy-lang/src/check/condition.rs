//! `when` and `unless`: all conditions of a rule as one expression.

use super::contradiction;
use super::errors;
use super::expr::{Checker, Typed};
use super::rule::Around;
use super::scope::Captures;
use crate::budget::Work;
use crate::checked::{BaseType, BinaryOp, Expr, ExprKind, Guard, UnaryOp, Value};
use crate::diagnostic::Findings;
use crate::syntax::ast::{AstNode, Condition};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The conditions of a rule in one: `Some(None)` if there are none, `None` if one is wrong.
/// Every condition is checked, so that each error is found.
pub(super) fn check(
    nodes: impl Iterator<Item = Condition>,
    guard: &Guard,
    captures: &Captures,
    around: &mut Around<'_>,
) -> Option<Option<Arc<Expr>>> {
    let mut all: Option<Typed> = None;
    let mut place = None;
    let mut all_right = true;
    for node in nodes {
        let Some(found) = check_one(&node, guard, captures, around) else {
            all_right = false;
            continue;
        };
        let span = around.tree.span(node.range());
        place = place.or(Some(span));
        let joined = match all.take() {
            Some(first) => Typed::binary(BinaryOp::And, first, found, span, around.reporter()),
            None => Some(found),
        };
        all_right &= joined.is_some();
        all = joined;
    }
    if !all_right {
        return None;
    }
    let (Some(all), Some(place)) = (all, place) else { return Some(None) };
    let reporter = around.reporter();
    reporter.session.spend(Work::ConditionParts, all.weight(), place, reporter.findings)?;
    contradiction::warn(&all.expr, guard, reporter);
    Some(Some(renumbered(&all.expr)))
}

fn check_one(node: &Condition, guard: &Guard, captures: &Captures, around: &mut Around<'_>) -> Option<Typed> {
    let expr = node.expr()?;
    let mut checker = Checker::of_statement(around, guard, captures);
    let typed = checker.expr(&expr)?;
    let span = around.tree.span(expr.range());
    if typed.expr.ty.base != BaseType::Bool {
        around.diagnostics.push(errors::expression::not_a_condition(span, typed.expr.ty));
        return None;
    }
    if node.is_unless() { Typed::unary(UnaryOp::Not, typed, span, around.reporter()) } else { Some(typed) }
}

/// Says if a condition is true or false whatever the request.
pub(super) fn warn_constant(condition: &Expr, rule: &str, diagnostics: &mut Findings) {
    match truth(condition) {
        Some(false) => diagnostics.push(errors::warnings::never_matches(condition.span, rule)),
        Some(true) => diagnostics.push(errors::warnings::always_true(condition.span)),
        None => {}
    }
}

/// What a condition is whatever the request, where that shows without knowing attributes.
pub(super) fn truth(expr: &Expr) -> Option<bool> {
    match &expr.kind {
        ExprKind::Literal(Value::Bool(value)) => Some(*value),
        ExprKind::Unary(UnaryOp::Not, operand) => truth(operand).map(|value| !value),
        ExprKind::Binary(op @ (BinaryOp::And | BinaryOp::Or), left, right) => {
            let decisive = *op == BinaryOp::Or;
            match (truth(left), truth(right)) {
                (Some(value), _) | (_, Some(value)) if value == decisive => Some(decisive),
                (Some(_), Some(_)) => Some(!decisive),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The expression with its bound variables numbered from 0 in the order of the text, so that
/// numbers do not depend on what else stands in the file.
pub(super) fn renumbered(expr: &Arc<Expr>) -> Arc<Expr> {
    Renumbering { next: 0, bound: BTreeMap::new() }.expr(expr)
}

struct Renumbering {
    next: u32,
    bound: BTreeMap<u32, u32>,
}

impl Renumbering {
    /// The expression, or a copy if there are variables in it.
    fn expr(&mut self, expr: &Arc<Expr>) -> Arc<Expr> {
        match &expr.kind {
            ExprKind::Variable(number) => {
                let kind = ExprKind::Variable(self.bound.get(number).copied().unwrap_or(*number));
                Arc::new(Expr { kind, ty: expr.ty, span: expr.span })
            }
            ExprKind::Quantify { quantifier, variable, list, body } => {
                let list = self.expr(list);
                let fresh = self.next;
                self.next += 1;
                let outer = self.bound.insert(*variable, fresh);
                let body = self.expr(body);
                if let Some(outer) = outer {
                    self.bound.insert(*variable, outer);
                }
                let kind = ExprKind::Quantify { quantifier: *quantifier, variable: fresh, list, body };
                Arc::new(Expr { kind, ty: expr.ty, span: expr.span })
            }
            _ => expr.with_parts(&mut |part| self.expr(part)),
        }
    }
}
