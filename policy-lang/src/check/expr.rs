//! Expressions: every name resolved, every operand of its type.

mod attribute;
mod call;
mod judge;
pub(crate) mod names;
mod never;
mod operator;

use super::errors::expression as errors;
use super::errors::later;
use super::lets::Let;
use super::rule::Around;
use super::scope::{Captures, FileScope, Phase, ROOTS};
use super::session::Session;
use crate::checked::{
    Attribute, BaseType, BinaryOp, Conversion, Expr, ExprKind, Guard, Type, UnaryOp, Value,
};
use crate::diagnostic::{Diagnostic, Findings};
use crate::lex::errors::number_too_large;
use crate::lex::literal;
use crate::source::Span;
use crate::syntax::ast::{self, AstNode, ListExpr, LiteralValue, NameExpr};
use crate::syntax::{SyntaxKind, SyntaxTree};
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
    /// How much constants add to the parts, for what is made of them later.
    constants: u64,
    /// Whether it asks for an attribute.
    asks: bool,
    /// The outermost variable in it that is bound around it; variables bound later have greater numbers.
    free: Option<u32>,
}

/// So many bytes of a constant weigh as much as a part.
const CONSTANT_BYTES_PER_PART: usize = 32;

/// Where errors go, and what is spent from.
pub(super) struct Reporter<'a> {
    /// What is shared by all files.
    pub(super) session: &'a mut Session,
    /// What is wrong.
    pub(super) findings: &'a mut Findings,
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
    /// What can be asked.
    pub(super) phase: Phase,
    /// Whether the expression is of a `let`, which knows no captures.
    pub(super) in_let: bool,
    /// What the rule speaks of in front of its condition; not known in a `let`.
    pub(super) guard: Option<&'a Guard>,
    /// Bound variables with the lists whose elements they are, innermost last.
    pub(super) variables: Vec<(String, u32, Arc<Expr>)>,
    /// How deeply the expression that is being checked is nested.
    pub(super) depth: u32,
    /// Whether it has been reported as too deeply nested.
    pub(super) is_too_deep: bool,
    /// What is wrong.
    pub(super) diagnostics: &'a mut Findings,
}

impl<'a> Checker<'a> {
    /// A checker for an expression of a statement that speaks of these requests.
    pub(super) fn of_statement<'b: 'a>(
        around: &'a mut Around<'b>,
        guard: &'a Guard,
        captures: &'a Captures,
    ) -> Self {
        Self {
            tree: around.tree,
            scope: around.scope,
            policy_lets: around.lets,
            captures,
            phase: around.phase,
            in_let: false,
            guard: Some(guard),
            variables: Vec::new(),
            depth: 0,
            is_too_deep: false,
            diagnostics: around.diagnostics,
        }
    }
}

impl Typed {
    /// An expression made of checked parts; computed at once if the parts are constants. Reports
    /// when it becomes too large.
    fn build(kind: ExprKind, ty: Type, span: Span, parts: &[&Self], to: Reporter<'_>) -> Option<Self> {
        let count = parts.iter().fold(1_u64, |sum, part| sum.saturating_add(part.parts));
        let depth = parts.iter().map(|part| part.depth).max().unwrap_or(0) + 1;
        if count > EXPRESSION_PARTS_MAX || depth > EXPRESSION_DEPTH_MAX {
            to.findings.push(errors::too_large(span, EXPRESSION_PARTS_MAX, EXPRESSION_DEPTH_MAX));
            return None;
        }
        let own = match &kind {
            ExprKind::Convert(Conversion::Enum(values), _) => values.iter().map(|text| weight(text)).sum(),
            _ => 0,
        };
        let free = match &kind {
            ExprKind::Variable(number) => Some(*number),
            kind => {
                let bound = match kind {
                    ExprKind::Quantify { variable, .. } => Some(*variable),
                    _ => None,
                };
                parts.iter().filter_map(|part| part.free).filter(|free| Some(*free) != bound).min()
            }
        };
        let asks = matches!(kind, ExprKind::Attribute(_)) || parts.iter().any(|part| part.asks);
        let loops = matches!(kind, ExprKind::Quantify { .. }) && !asks && free.is_none();
        let of_literals = parts.iter().all(|part| matches!(part.expr.kind, ExprKind::Literal(_)));
        let expr = Expr { kind, ty, span };
        let is_constant = (of_literals && !parts.is_empty()) || loops;
        if is_constant && let Some(value) = to.session.constant(&expr, to.findings)? {
            return Some(Self::literal(value, span));
        }
        let constants = parts.iter().fold(own, |sum, part| sum.saturating_add(part.constants));
        Some(Self { expr: Arc::new(expr), parts: count, depth, constants, asks, free })
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
        let constants = match &value {
            Value::String(text) => weight(text) - 1,
            Value::List(elements) => elements.iter().map(|element| weight(element)).sum(),
            Value::Bool(_) | Value::Int(_) | Value::Ip(_) => 0,
        };
        let expr = Expr { kind: ExprKind::Literal(value), ty: present(base), span };
        Self { expr: Arc::new(expr), parts: 1, depth: 1, constants, asks: false, free: None }
    }

    /// How many parts it has, with what its constants add.
    pub(super) fn weight(&self) -> u64 {
        self.parts.saturating_add(self.constants)
    }

    /// Two operands, whose types must already be right.
    pub(super) fn binary(
        op: BinaryOp,
        left: Self,
        right: Self,
        span: Span,
        to: Reporter<'_>,
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
        Self::build(kind, ty, span, &[&left, &right], to)
    }

    /// One operand, whose type must already be right.
    pub(super) fn unary(op: UnaryOp, operand: Self, span: Span, to: Reporter<'_>) -> Option<Self> {
        let ty = match op {
            UnaryOp::Not => present(BaseType::Bool),
            UnaryOp::Negate => operand.expr.ty,
        };
        Self::build(ExprKind::Unary(op, operand.expr.clone()), ty, span, &[&operand], to)
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

/// How many parts a text weighs as much as.
fn weight(text: &str) -> u64 {
    1 + (text.len() / CONSTANT_BYTES_PER_PART) as u64
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
        Typed::build(kind, ty, span, parts, self.reporter())
    }

    /// Where errors go.
    fn reporter(&mut self) -> Reporter<'_> {
        Reporter { session: &mut self.scope.session, findings: self.diagnostics }
    }

    fn literal(&mut self, node: &ast::LiteralExpr) -> Option<Typed> {
        let span = self.span(node);
        if let Some(token) = node.token()
            && literal::is_least_without_sign(token.text())
            && token.prev_token().is_some_and(|before| before.kind() == SyntaxKind::Minus)
        {
            // Elsewhere the lexer has said so; this `-` is no sign.
            return self.fail(number_too_large(span, token.text()));
        }
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
        if let Some((_, number, _)) = self.variables.iter().rev().find(|(bound, _, _)| bound == name) {
            let kind = ExprKind::Variable(*number);
            return self.build(kind, present(BaseType::String), span, &[]);
        }
        if let Some(found) = self.find_let(name) {
            if found.is_late && self.phase == Phase::Request && !self.in_let {
                return self.fail(errors::late_let(span, name));
            }
            return found.value.clone();
        }
        if let Some(diagnostic) = self.not_known_yet(node) {
            return self.fail(diagnostic);
        }
        if self.phase == Phase::Log
            && let Some(attribute) = of_decision(name)
        {
            return self.build(ExprKind::Attribute(attribute), present(BaseType::String), span, &[]);
        }
        if ROOTS.contains(&name) {
            return self.fail(errors::root_alone(span, name));
        }
        if self.scope.api_keys.contains(name) {
            return self.fail(later::authentication(span, "API keys"));
        }
        let (own, of_file) = (self.policy_lets, &self.scope.lets);
        let count = self.variables.len() + own.len() + of_file.len() + ROOTS.len();
        let variables = self.variables.iter().map(|(name, _, _)| name.as_str());
        let lets = own.keys().chain(of_file.keys()).map(String::as_str);
        let known = variables.chain(lets).chain(ROOTS.iter().copied());
        let near = self.scope.session.nearest(name, count, known);
        let diagnostic = errors::unknown_name(span, name, near);
        self.fail(diagnostic)
    }

    fn find_let(&self, name: &str) -> Option<&Let> {
        self.policy_lets.get(name).or_else(|| self.scope.lets.get(name))
    }

    /// Whether a name means the beginning of an attribute here.
    fn is_root(&self, name: &str) -> bool {
        ROOTS.contains(&name) && !self.variables.iter().any(|(bound, _, _)| bound == name)
    }
}

/// What is known of a decision by a name alone.
fn of_decision(name: &str) -> Option<Attribute> {
    match name {
        "decision" => Some(Attribute::Decision),
        "rule" => Some(Attribute::Rule),
        _ => None,
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
