//! Folding a guard for its workload: `target.*` becomes a constant, and constants are computed.
//!
//! One pass from the parts to the whole: what depends on the workload alone is left as it is until something
//! around it depends on more, and then computed once.

use crate::budget::{Budget, Overrun, Work};
use crate::checked::{Attribute, BinaryOp, Expr, ExprKind, Guard, UnaryOp, Value};
use crate::eval;
use crate::linked::Workload;
use crate::literals::{is_of_caller, is_of_target};
use crate::request::Request;
use std::sync::Arc;

/// Folds guards for one workload and within one budget.
pub(super) struct Folding<'a> {
    workload: &'a Workload,
    budget: &'a mut Budget,
    /// No request can change what is computed.
    request: Request,
    /// Whether that is one of the only caller that there is.
    of_caller: bool,
}

/// What became of an expression.
enum Folded {
    /// It depends on the workload alone, and is to be computed with as much around it as can be.
    Closed,
    /// It depends on more.
    Open {
        /// The expression, with what is closed in it computed.
        expr: Arc<Expr>,
        /// Whether that is a request; else it is a variable.
        asks: bool,
        /// The outermost variable that is bound around it.
        free: Option<u32>,
    },
}

impl<'a> Folding<'a> {
    /// For a workload.
    pub(super) fn new(workload: &'a Workload, budget: &'a mut Budget) -> Self {
        Self { workload, budget, request: Request::default(), of_caller: false }
    }

    /// For requests of one caller, of which this is one.
    pub(super) fn of_caller(self, request: Request) -> Self {
        Self { request, of_caller: true, ..self }
    }

    /// The guard as it stands for the workload; `None` if its condition is false there.
    pub(super) fn guard(&mut self, guard: &Guard) -> Result<Option<Guard>, Overrun> {
        let condition = match &guard.condition {
            Some(condition) => {
                let condition = self.expression(condition)?;
                match constant(&condition) {
                    Some(true) => None,
                    Some(false) => return Ok(None),
                    None => Some(condition),
                }
            }
            None => None,
        };
        Ok(Some(Guard { condition, ..guard.clone() }))
    }

    /// An expression with `target.*` as constants, and with what depends on nothing else computed by
    /// the evaluator. What is absent has no constant and stays as it is.
    pub(super) fn expression(&mut self, expr: &Arc<Expr>) -> Result<Arc<Expr>, Overrun> {
        match self.fold(expr)? {
            Folded::Closed => self.computed(expr),
            Folded::Open { expr, .. } => Ok(expr),
        }
    }

    fn fold(&mut self, expr: &Arc<Expr>) -> Result<Folded, Overrun> {
        self.budget.spend(Work::LinkedParts, own_parts(expr), expr.span)?;
        match &expr.kind {
            ExprKind::Literal(_) => return Ok(Folded::Closed),
            ExprKind::Attribute(attribute) if self.is_known(attribute) => return Ok(Folded::Closed),
            ExprKind::Attribute(_) => return Ok(Folded::Open { expr: expr.clone(), asks: true, free: None }),
            ExprKind::Variable(number) => {
                return Ok(Folded::Open { expr: expr.clone(), asks: false, free: Some(*number) });
            }
            _ => {}
        }
        let bound = match &expr.kind {
            ExprKind::Quantify { variable, .. } => Some(*variable),
            _ => None,
        };
        let mut folded = Vec::new();
        let (mut asks, mut free) = (false, None);
        for part in expr.parts() {
            let part = self.fold(part)?;
            if let Folded::Open { asks: part_asks, free: part_free, .. } = &part {
                asks |= part_asks;
                free = free.into_iter().chain(part_free.filter(|_| *part_free != bound)).min();
            }
            folded.push(part);
        }
        if !asks && free.is_none() {
            return Ok(Folded::Closed);
        }
        let mut parts = Vec::with_capacity(folded.len());
        for (part, folded) in expr.parts().into_iter().zip(folded) {
            parts.push(match folded {
                Folded::Closed => self.computed(part)?,
                Folded::Open { expr, .. } => expr,
            });
        }
        let mut parts = parts.into_iter();
        let again = expr.with_parts(&mut |part| parts.next().unwrap_or_else(|| part.clone()));
        Ok(Folded::Open { expr: simplified(again), asks, free })
    }

    /// Whether an attribute is the same for all requests.
    fn is_known(&self, attribute: &Attribute) -> bool {
        is_of_target(attribute) || (self.of_caller && is_of_caller(attribute))
    }

    /// A closed expression as a constant, if it has a value.
    fn computed(&mut self, expr: &Arc<Expr>) -> Result<Arc<Expr>, Overrun> {
        if matches!(expr.kind, ExprKind::Literal(_)) {
            return Ok(expr.clone());
        }
        let left = self.budget.left(Work::FoldingSteps);
        let folded = eval::constant_for(expr, &self.request, self.workload, left);
        self.budget.settle(Work::FoldingSteps, folded.steps, expr.span);
        match folded.value {
            Ok(Some(value)) => {
                Ok(Arc::new(Expr { kind: ExprKind::Literal(value), ty: expr.ty, span: expr.span }))
            }
            Ok(None) => Ok(expr.clone()),
            Err(eval::StepsAreOut) => Err(self.budget.overrun(Work::FoldingSteps)),
        }
    }
}

/// What an expression without its parts counts as: a list as its elements.
fn own_parts(expr: &Expr) -> u64 {
    match &expr.kind {
        ExprKind::Literal(Value::List(elements)) => 1 + elements.len() as u64,
        _ => 1,
    }
}

/// The expression without what constants make needless.
fn simplified(expr: Arc<Expr>) -> Arc<Expr> {
    let kept = match &expr.kind {
        ExprKind::Conditional(test, yes, no) => match constant(test) {
            Some(true) => yes,
            Some(false) => no,
            None => return expr,
        },
        ExprKind::Unary(UnaryOp::Not, inner) => match constant(inner) {
            Some(value) => return bool_literal(&expr, !value),
            None => return expr,
        },
        ExprKind::Binary(BinaryOp::And, left, right) => match (constant(left), constant(right)) {
            (Some(false), _) | (_, Some(false)) => return bool_literal(&expr, false),
            // A bool that can be absent is not what `&&` makes of it.
            (Some(true), _) if !right.ty.optional => right,
            (_, Some(true)) if !left.ty.optional => left,
            _ => return expr,
        },
        ExprKind::Binary(BinaryOp::Or, left, right) => match (constant(left), constant(right)) {
            (Some(true), _) | (_, Some(true)) => return bool_literal(&expr, true),
            (Some(false), _) if !right.ty.optional => right,
            (_, Some(false)) if !left.ty.optional => left,
            _ => return expr,
        },
        _ => return expr,
    };
    kept.clone()
}

fn bool_literal(expr: &Expr, value: bool) -> Arc<Expr> {
    Arc::new(Expr { kind: ExprKind::Literal(Value::Bool(value)), ty: expr.ty, span: expr.span })
}

fn constant(expr: &Expr) -> Option<bool> {
    match expr.kind {
        ExprKind::Literal(Value::Bool(value)) => Some(value),
        _ => None,
    }
}
