//! Conditions in a normal form, so that two that say the same are one.
//!
//! The normal form is a text in the language's own syntax: operands of `&&`, `||` and `==` sorted,
//! `>` and `>=` turned round, `!=` as `!(… == …)`, bound variables numbered by depth.

use crate::checked::{Attribute, BinaryOp, Builtin, Conversion, Expr, ExprKind, Quantifier, UnaryOp, Value};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A bool expression that is known by its normal form: equal texts are equal conditions.
#[derive(Clone, Debug)]
pub struct Condition {
    /// The normal form.
    pub text: Arc<str>,
    /// The expression, as one of its authors wrote it.
    pub expr: Arc<Expr>,
}

impl Condition {
    /// The condition that an expression states.
    #[must_use]
    pub fn new(expr: Arc<Expr>) -> Self {
        Self { text: expression_text(&expr).into(), expr }
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Condition {}

impl PartialOrd for Condition {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Condition {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for Condition {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

/// The normal form of an expression.
#[must_use]
pub(crate) fn expression_text(expr: &Expr) -> String {
    Normal { depth: BTreeMap::new() }.text(expr)
}

struct Normal {
    /// Bound variables by number, with the depth at which they are bound.
    depth: BTreeMap<u32, usize>,
}

impl Normal {
    fn text(&mut self, expr: &Expr) -> String {
        match &expr.kind {
            ExprKind::Literal(value) => value_text(value),
            ExprKind::Attribute(attribute) => attribute_text(attribute),
            ExprKind::Unary(UnaryOp::Not, inner) => format!("!{}", self.text(inner)),
            ExprKind::Unary(UnaryOp::Negate, inner) => format!("-({})", self.text(inner)),
            ExprKind::Binary(op, left, right) => self.binary(*op, left, right),
            ExprKind::Conditional(test, yes, no) => {
                format!("({} ? {} : {})", self.text(test), self.text(yes), self.text(no))
            }
            ExprKind::Call(builtin, arguments) => self.call(*builtin, arguments),
            ExprKind::Matches(text, regex) => {
                format!("{}.matches({})", self.text(text), quoted(regex.pattern()))
            }
            ExprKind::ContainsIp(net, address) => {
                format!("cidr(\"{net}\").containsIP({})", self.text(address))
            }
            ExprKind::Has(inner) => format!("has({})", self.text(inner)),
            ExprKind::Convert(conversion, inner) => {
                format!("{}({})", conversion_text(conversion), self.text(inner))
            }
            ExprKind::Quantify { quantifier, variable, list, body } => {
                let list = self.text(list);
                let depth = self.depth.len();
                self.depth.insert(*variable, depth);
                let body = self.text(body);
                self.depth.remove(variable);
                let name = match quantifier {
                    Quantifier::Exists => "exists",
                    Quantifier::All => "all",
                    Quantifier::ExistsOne => "exists_one",
                };
                format!("{list}.{name}(x{depth}, {body})")
            }
            ExprKind::Variable(number) => {
                format!("x{}", self.depth.get(number).copied().unwrap_or(usize::MAX))
            }
            ExprKind::Kept(number, _) => format!("kept {number}"),
        }
    }

    fn binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr) -> String {
        match op {
            BinaryOp::And | BinaryOp::Or => {
                let mut operands = Vec::new();
                self.operands(op, left, &mut operands);
                self.operands(op, right, &mut operands);
                operands.sort();
                operands.dedup();
                format!("({})", operands.join(if op == BinaryOp::And { " && " } else { " || " }))
            }
            BinaryOp::Equal | BinaryOp::NotEqual => {
                let mut sides = [self.text(left), self.text(right)];
                sides.sort();
                let not = if op == BinaryOp::NotEqual { "!" } else { "" };
                format!("{not}({})", sides.join(" == "))
            }
            BinaryOp::Greater => self.binary(BinaryOp::Less, right, left),
            BinaryOp::GreaterOrEqual => self.binary(BinaryOp::LessOrEqual, right, left),
            _ => format!("({} {} {})", self.text(left), operator_text(op), self.text(right)),
        }
    }

    fn operands(&mut self, op: BinaryOp, expr: &Expr, into: &mut Vec<String>) {
        match &expr.kind {
            ExprKind::Binary(inner, left, right) if *inner == op => {
                self.operands(op, left, into);
                self.operands(op, right, into);
            }
            _ => into.push(self.text(expr)),
        }
    }

    fn call(&mut self, builtin: Builtin, arguments: &[Arc<Expr>]) -> String {
        let mut texts = arguments.iter().map(|argument| self.text(argument));
        let receiver = texts.next().unwrap_or_default();
        let rest: Vec<String> = texts.collect();
        match builtin {
            Builtin::StringSize | Builtin::ListSize => format!("size({receiver})"),
            _ => format!("{receiver}.{}({})", builtin_text(builtin), rest.join(", ")),
        }
    }
}

fn operator_text(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::And => "&&",
        BinaryOp::Or => "||",
        BinaryOp::Equal => "==",
        BinaryOp::NotEqual => "!=",
        BinaryOp::Less => "<",
        BinaryOp::LessOrEqual => "<=",
        BinaryOp::Greater => ">",
        BinaryOp::GreaterOrEqual => ">=",
        BinaryOp::In => "in",
        BinaryOp::Add => "+",
        BinaryOp::Subtract => "-",
        BinaryOp::Multiply => "*",
        BinaryOp::Divide => "/",
        BinaryOp::Remainder => "%",
    }
}

fn builtin_text(builtin: Builtin) -> &'static str {
    match builtin {
        Builtin::StringSize | Builtin::ListSize => "size",
        Builtin::Contains => "contains",
        Builtin::StartsWith => "startsWith",
        Builtin::EndsWith => "endsWith",
        Builtin::LowerAscii => "lowerAscii",
        Builtin::UpperAscii => "upperAscii",
        Builtin::Trim => "trim",
        Builtin::IndexOf => "indexOf",
        Builtin::Substring => "substring",
    }
}

fn conversion_text(conversion: &Conversion) -> String {
    match conversion {
        Conversion::Int => "int".to_owned(),
        Conversion::Bool => "bool".to_owned(),
        Conversion::BoundedString(bytes) => format!("string<{bytes}>"),
        Conversion::Enum(values) => format!("enum<{}>", list_text(values)),
        Conversion::List(length) => format!("list<{length}>"),
    }
}

pub(crate) fn attribute_text(attribute: &Attribute) -> String {
    match attribute {
        Attribute::Method => "request.method".to_owned(),
        Attribute::Path => "request.path".to_owned(),
        Attribute::Host => "request.host".to_owned(),
        Attribute::Port => "request.port".to_owned(),
        Attribute::Scheme => "request.scheme".to_owned(),
        Attribute::Id => "request.id".to_owned(),
        Attribute::Size => "request.size".to_owned(),
        Attribute::Protocol => "request.protocol".to_owned(),
        Attribute::PathSegment(depth) => format!("path.{depth}"),
        Attribute::Header(name) => format!("headers[{}]", quoted(name)),
        Attribute::Query(name) => format!("query[{}]", quoted(name)),
        Attribute::SourceService => "source.service".to_owned(),
        Attribute::SourceNamespace => "source.namespace".to_owned(),
        Attribute::SourcePrincipal => "source.principal".to_owned(),
        Attribute::SourceIp => "source.ip".to_owned(),
        Attribute::SourcePort => "source.port".to_owned(),
        Attribute::SourceMtls => "source.mtls".to_owned(),
        Attribute::TargetService => "target.service".to_owned(),
        Attribute::TargetNamespace => "target.namespace".to_owned(),
        Attribute::TargetLabel(name) => format!("target.labels[{}]", quoted(name)),
        Attribute::Decision => "decision".to_owned(),
        Attribute::Rule => "rule".to_owned(),
        Attribute::ResponseCode => "response.code".to_owned(),
        Attribute::ResponseDuration => "response.duration".to_owned(),
        Attribute::ResponseHeader(name) => format!("response.headers[{}]", quoted(name)),
        Attribute::ResponseSize => "response.size".to_owned(),
        Attribute::ResponseFlags => "response.flags".to_owned(),
        Attribute::UpstreamAddress => "upstream.address".to_owned(),
        Attribute::UpstreamAttempts => "upstream.attempts".to_owned(),
        Attribute::UpstreamFailure => "upstream.failure".to_owned(),
    }
}

fn value_text(value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::String(text) => quoted(text),
        Value::Ip(address) => format!("ip(\"{address}\")"),
        Value::List(values) => format!("[{}]", list_text(values)),
    }
}

fn list_text(values: &[Arc<str>]) -> String {
    values.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(", ")
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}
