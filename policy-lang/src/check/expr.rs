//! Expressions: every name resolved, every operand of its type.

mod attribute;
mod call;
mod operator;

use super::errors::expression as errors;
use super::errors::later;
use super::lets::Let;
use super::scope::{Captures, FileScope, ROOTS};
use crate::checked::{BaseType, BinaryOp, Expr, ExprKind, Type, UnaryOp, Value};
use crate::diagnostic::Diagnostic;
use crate::diagnostic::near::nearest;
use crate::eval;
use crate::source::Span;
use crate::syntax::SyntaxTree;
use crate::syntax::ast::{self, AstNode, ListExpr, LiteralValue, NameExpr};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most parts of an expression, `let`s written out.
pub(super) const EXPRESSION_PARTS_MAX: u64 = 10_000;
/// How deeply an expression may be nested, `let`s written out.
pub(super) const EXPRESSION_DEPTH_MAX: u32 = 100;

/// A typed expression and how large it is.
#[derive(Clone, Debug)]
pub(super) struct Typed {
    /// The expression.
    pub(super) expr: Arc<Expr>,
    parts: u64,
    depth: u32,
}

/// What an expression is checked in, and where its errors go. Each function gives `None` when it
/// has reported an error.
pub(super) struct Checker<'a> {
    /// The tree of the file.
    pub(super) tree: &'a SyntaxTree,
    /// What holds in the file.
    pub(super) scope: &'a mut FileScope,
    /// The `let`s of the policy.
    pub(super) policy_lets: &'a BTreeMap<String, Let>,
    /// The captures of the rule.
    pub(super) captures: &'a Captures,
    /// Whether the expression is of a `let`, which knows no captures.
    pub(super) in_let: bool,
    /// Bound variables, innermost last.
    pub(super) variables: Vec<(String, u32)>,
    /// How deeply the expression that is being checked is nested.
    pub(super) depth: u32,
    /// Whether it has been reported as too deeply nested.
    pub(super) is_too_deep: bool,
    /// What is wrong.
    pub(super) diagnostics: &'a mut Vec<Diagnostic>,
}

impl Typed {
    /// An expression made of checked parts; computed at once if the parts are constants. Reports
    /// when it becomes too large.
    fn build(
        kind: ExprKind,
        ty: Type,
        span: Span,
        parts: &[&Self],
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let count = parts.iter().fold(1_u64, |sum, part| sum.saturating_add(part.parts));
        let depth = parts.iter().map(|part| part.depth).max().unwrap_or(0) + 1;
        if count > EXPRESSION_PARTS_MAX || depth > EXPRESSION_DEPTH_MAX {
            diagnostics.push(errors::too_large(span, EXPRESSION_PARTS_MAX, EXPRESSION_DEPTH_MAX));
            return None;
        }
        let expr = Expr { kind, ty, span };
        let constant = parts.iter().all(|part| matches!(part.expr.kind, ExprKind::Literal(_)));
        match eval::constant(&expr).filter(|_| constant && !parts.is_empty()) {
            Some(value) => Some(Self::literal(value, span)),
            None => Some(Self { expr: Arc::new(expr), parts: count, depth }),
        }
    }

    /// A constant.
    fn literal(value: Value, span: Span) -> Self {
        let base = match &value {
            Value::Bool(_) => BaseType::Bool,
            Value::Int(_) => BaseType::Int,
            Value::String(_) => BaseType::String,
            Value::Ip(_) => BaseType::Ip,
            Value::List(_) => BaseType::List,
        };
        let expr = Expr { kind: ExprKind::Literal(value), ty: present(base), span };
        Self { expr: Arc::new(expr), parts: 1, depth: 1 }
    }

    /// Two operands, whose types must already be right.
    pub(super) fn binary(
        op: BinaryOp,
        left: Self,
        right: Self,
        span: Span,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let ty = match op {
            BinaryOp::Add
            | BinaryOp::Subtract
            | BinaryOp::Multiply
            | BinaryOp::Divide
            | BinaryOp::Remainder => {
                Type { base: BaseType::Int, optional: left.is_optional() || right.is_optional() }
            }
            _ => present(BaseType::Bool),
        };
        let kind = ExprKind::Binary(op, left.expr.clone(), right.expr.clone());
        Self::build(kind, ty, span, &[&left, &right], diagnostics)
    }

    /// One operand, whose type must already be right.
    pub(super) fn unary(
        op: UnaryOp,
        operand: Self,
        span: Span,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let ty = match op {
            UnaryOp::Not => present(BaseType::Bool),
            UnaryOp::Negate => operand.expr.ty,
        };
        Self::build(ExprKind::Unary(op, operand.expr.clone()), ty, span, &[&operand], diagnostics)
    }

    fn base(&self) -> BaseType {
        self.expr.ty.base
    }

    fn is_optional(&self) -> bool {
        self.expr.ty.optional
    }

    /// The constant that it is.
    fn constant(&self) -> Option<&Value> {
        match &self.expr.kind {
            ExprKind::Literal(value) => Some(value),
            _ => None,
        }
    }
}

/// A type whose values are always there.
pub(super) fn present(base: BaseType) -> Type {
    Type { base, optional: false }
}

impl Checker<'_> {
    /// The typed expression of a node.
    pub(super) fn expr(&mut self, node: &ast::Expr) -> Option<Typed> {
        if self.depth >= EXPRESSION_DEPTH_MAX {
            if std::mem::replace(&mut self.is_too_deep, true) {
                return None;
            }
            let span = self.span(node);
            return self.fail(errors::too_large(span, EXPRESSION_PARTS_MAX, EXPRESSION_DEPTH_MAX));
        }
        self.depth += 1;
        let typed = self.form(node);
        self.depth -= 1;
        typed
    }

    fn form(&mut self, node: &ast::Expr) -> Option<Typed> {
        match node {
            ast::Expr::Paren(_) => match unparenthesised(node) {
                ast::Expr::Paren(_) => None,
                inner => self.form(&inner),
            },
            ast::Expr::Literal(literal) => self.literal(literal),
            ast::Expr::List(list) => self.list(list),
            ast::Expr::Map(_) => self.fail(later::expression(self.span(node), "maps")),
            ast::Expr::Name(name) => self.name(name),
            ast::Expr::Field(field) => self.field(field),
            ast::Expr::Index(index) => self.index(index),
            ast::Expr::Call(call) => self.call(call),
            ast::Expr::Unary(unary) => self.unary(unary),
            ast::Expr::Binary(binary) => self.binary(binary),
            ast::Expr::Conditional(conditional) => self.conditional(conditional),
        }
    }

    fn span(&self, node: &impl AstNode) -> Span {
        self.tree.span(node.range())
    }

    /// Reports an error.
    fn fail<T>(&mut self, diagnostic: Diagnostic) -> Option<T> {
        self.diagnostics.push(diagnostic);
        None
    }

    fn build(&mut self, kind: ExprKind, ty: Type, span: Span, parts: &[&Typed]) -> Option<Typed> {
        Typed::build(kind, ty, span, parts, self.diagnostics)
    }

    fn literal(&mut self, node: &ast::LiteralExpr) -> Option<Typed> {
        let span = self.span(node);
        let value = match node.value()? {
            LiteralValue::Bool(value) => Value::Bool(value),
            LiteralValue::Int(value) => Value::Int(value),
            LiteralValue::String(value) => Value::String(value.into()),
            LiteralValue::DurationMs(_) => {
                return self.fail(later::expression(span, "durations in conditions"));
            }
        };
        Some(Typed::literal(value, span))
    }

    /// A list of constant strings.
    fn list(&mut self, node: &ListExpr) -> Option<Typed> {
        let span = self.span(node);
        let mut values = Vec::new();
        let mut all_right = true;
        for element in node.elements() {
            let Some(typed) = self.expr(&element) else {
                all_right = false;
                continue;
            };
            match typed.constant() {
                Some(Value::String(value)) => values.push(value.clone()),
                _ => {
                    let place = self.span(&element);
                    self.diagnostics.push(errors::list_element(place));
                    all_right = false;
                }
            }
        }
        all_right.then(|| Typed::literal(Value::List(values), span))
    }

    /// A name that stands alone: a bound variable or a `let`.
    fn name(&mut self, node: &NameExpr) -> Option<Typed> {
        let token = node.name()?;
        let span = self.span(node);
        let name = token.text();
        if let Some((_, number)) = self.variables.iter().rev().find(|(bound, _)| bound == name) {
            let kind = ExprKind::Variable(*number);
            return self.build(kind, present(BaseType::String), span, &[]);
        }
        if let Some(found) = self.find_let(name) {
            return found.value.clone();
        }
        if let Some(diagnostic) = self.not_known_in_auth(node) {
            return self.fail(diagnostic);
        }
        if ROOTS.contains(&name) {
            return self.fail(errors::root_alone(span, name));
        }
        if self.scope.api_keys.iter().any(|key| key == name) {
            return self.fail(later::authentication(span, "API keys"));
        }
        let diagnostic = {
            let variables = self.variables.iter().map(|(name, _)| name.as_str());
            let lets = self.policy_lets.keys().chain(self.scope.lets.keys()).map(String::as_str);
            let known = variables.chain(lets).chain(ROOTS.iter().copied());
            errors::unknown_name(span, name, nearest(name, known))
        };
        self.fail(diagnostic)
    }

    fn find_let(&self, name: &str) -> Option<&Let> {
        self.policy_lets.get(name).or_else(|| self.scope.lets.get(name))
    }

    /// Whether a name means the beginning of an attribute here.
    fn is_root(&self, name: &str) -> bool {
        ROOTS.contains(&name) && !self.variables.iter().any(|(bound, _)| bound == name)
    }
}

/// The node without parentheses around it.
fn unparenthesised(node: &ast::Expr) -> ast::Expr {
    let mut node = node.clone();
    while let ast::Expr::Paren(paren) = &node {
        match paren.inner() {
            Some(inner) => node = inner,
            None => break,
        }
    }
    node
}
