//! Functions and macros.

use super::super::errors::expression as errors;
use super::super::errors::{later, warnings};
use super::super::peer::network;
use super::super::scope::ROOTS;
use super::super::session::{self, PatternError};
use super::{Checker, Typed, present, unparenthesised};
use crate::checked::{BaseType, Builtin, Conversion, ExprKind, Quantifier, Type, Value};
use crate::diagnostic::near::nearest;
use crate::source::Span;
use crate::syntax::SyntaxToken;
use crate::syntax::ast::{self, CallExpr};

/// Functions written `x.name(…)`: name, function, types of the arguments behind `x`, result.
pub(super) const METHODS: &[(&str, Builtin, &[BaseType], BaseType)] = &[
    ("contains", Builtin::Contains, &[BaseType::String], BaseType::Bool),
    ("startsWith", Builtin::StartsWith, &[BaseType::String], BaseType::Bool),
    ("endsWith", Builtin::EndsWith, &[BaseType::String], BaseType::Bool),
    ("lowerAscii", Builtin::LowerAscii, &[], BaseType::String),
    ("upperAscii", Builtin::UpperAscii, &[], BaseType::String),
    ("trim", Builtin::Trim, &[], BaseType::String),
    ("indexOf", Builtin::IndexOf, &[BaseType::String], BaseType::Int),
    ("substring", Builtin::Substring, &[BaseType::Int, BaseType::Int], BaseType::String),
];

/// Macros over lists.
pub(super) const MACROS: &[(&str, Quantifier)] = &[
    ("exists", Quantifier::Exists),
    ("all", Quantifier::All),
    ("exists_one", Quantifier::ExistsOne),
    ("existsOne", Quantifier::ExistsOne),
];

/// Functions of CEL and its extensions that the language will have.
const NOT_YET: &[&str] = &[
    "bool",
    "bytes",
    "charAt",
    "double",
    "duration",
    "filter",
    "format",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "isCIDR",
    "isIP",
    "join",
    "lastIndexOf",
    "map",
    "quote",
    "replace",
    "reverse",
    "split",
    "string",
    "timestamp",
    "type",
    "uint",
];

/// Names of functions that are treated each in its own way.
const OTHERS: &[&str] = &["size", "matches", "containsIP", "has", "ip", "cidr", "int"];

impl Checker<'_> {
    pub(super) fn call(&mut self, node: &CallExpr) -> Option<Typed> {
        let token = node.name()?;
        let arguments = node.arguments();
        match node.receiver() {
            Some(receiver) => self.method(node, &receiver, &token, &arguments),
            None => self.function(node, &token, &arguments),
        }
    }

    /// `name(…)`.
    fn function(&mut self, node: &CallExpr, token: &SyntaxToken, arguments: &[ast::Expr]) -> Option<Typed> {
        let span = self.span(node);
        match (token.text(), arguments) {
            ("has", [argument]) => self.has(argument, span),
            ("size", [argument]) => self.size(argument, span),
            ("ip", [argument]) => self.ip(argument, span),
            ("int", [argument]) => self.int(argument, span),
            ("cidr", _) => self.fail(errors::cidr_alone(span)),
            ("string" | "bool", [argument]) => {
                let typed = self.expr(argument)?;
                let wanted = if token.text() == "string" { BaseType::String } else { BaseType::Bool };
                if typed.base() == wanted { Some(typed) } else { self.not_yet(token, span) }
            }
            ("has" | "size" | "ip" | "int", _) => {
                self.fail(errors::argument_count(span, token.text(), 1, arguments.len()))
            }
            _ => self.unknown_function(token, span),
        }
    }

    /// `receiver.name(…)`.
    fn method(
        &mut self,
        node: &CallExpr,
        receiver: &ast::Expr,
        token: &SyntaxToken,
        arguments: &[ast::Expr],
    ) -> Option<Typed> {
        let span = self.span(node);
        let name = token.text();
        if let Some((_, quantifier)) = MACROS.iter().find(|(known, _)| *known == name) {
            return self.quantify(*quantifier, receiver, arguments, name, span);
        }
        match (name, arguments) {
            ("size", []) => return self.size(receiver, span),
            ("matches", [pattern]) => return self.matches(receiver, pattern, span),
            ("containsIP", [address]) => return self.contains_ip(receiver, address, span),
            ("substring", [start]) => return self.substring_to_end(receiver, start, span),
            ("indexOf", [_, _]) => return self.not_yet(token, span),
            ("size", _) => return self.fail(errors::argument_count(span, name, 0, arguments.len())),
            ("matches" | "containsIP", _) => {
                return self.fail(errors::argument_count(span, name, 1, arguments.len()));
            }
            _ => {}
        }
        let Some((_, builtin, types, result)) = METHODS.iter().find(|(known, _, _, _)| *known == name) else {
            return self.unknown_function(token, span);
        };
        if types.len() != arguments.len() {
            return self.fail(errors::argument_count(span, name, types.len(), arguments.len()));
        }
        let mut parts = vec![self.typed(receiver, BaseType::String, name)];
        for (argument, base) in arguments.iter().zip(*types) {
            parts.push(self.typed(argument, *base, name));
        }
        let parts = parts.into_iter().collect::<Option<Vec<_>>>()?;
        if let [text, part] = parts.as_slice() {
            self.judge_part(*builtin, text, part);
        }
        self.builtin(*builtin, parts, *result, span)
    }

    /// A function of checked arguments. A predicate is false of an absent value, any other result absent.
    fn builtin(
        &mut self,
        builtin: Builtin,
        parts: Vec<Typed>,
        result: BaseType,
        span: Span,
    ) -> Option<Typed> {
        let optional = result != BaseType::Bool && parts.iter().any(Typed::is_optional);
        let kind = ExprKind::Call(builtin, parts.iter().map(|part| part.expr.clone()).collect());
        self.build(kind, Type { base: result, optional }, span, &parts.iter().collect::<Vec<_>>())
    }

    /// An operand of the function `name` that must be of a type.
    fn typed(&mut self, node: &ast::Expr, base: BaseType, name: &str) -> Option<Typed> {
        let typed = self.expr(node)?;
        if typed.base() == base {
            return Some(typed);
        }
        self.fail(errors::operand(typed.expr.span, name, base, typed.expr.ty))
    }

    fn has(&mut self, argument: &ast::Expr, span: Span) -> Option<Typed> {
        let value = self.expr(argument)?;
        if !value.is_optional() {
            self.diagnostics.push(warnings::always_present(value.expr.span));
        }
        self.build(ExprKind::Has(value.expr.clone()), present(BaseType::Bool), span, &[&value])
    }

    fn size(&mut self, argument: &ast::Expr, span: Span) -> Option<Typed> {
        let value = self.expr(argument)?;
        let builtin = match value.base() {
            BaseType::String => Builtin::StringSize,
            BaseType::List => Builtin::ListSize,
            _ => return self.fail(errors::no_size(value.expr.span, value.expr.ty)),
        };
        self.builtin(builtin, vec![value], BaseType::Int, span)
    }

    /// `ip("10.1.2.3")`.
    fn ip(&mut self, argument: &ast::Expr, span: Span) -> Option<Typed> {
        let value = self.expr(argument)?;
        let Some(Value::String(text)) = value.constant() else {
            return self.fail(errors::address_not_constant(value.expr.span, "ip"));
        };
        match text.parse::<std::net::IpAddr>() {
            Ok(address) => Some(Typed::literal(Value::Ip(address.to_canonical()), span)),
            Err(_) => self.fail(errors::bad_address(value.expr.span, text)),
        }
    }

    /// `int(text)`: absent unless the text is a number.
    fn int(&mut self, argument: &ast::Expr, span: Span) -> Option<Typed> {
        let value = self.expr(argument)?;
        match value.base() {
            BaseType::Int => Some(value),
            BaseType::String => {
                let kind = ExprKind::Convert(Conversion::Int, value.expr.clone());
                self.build(kind, Type { base: BaseType::Int, optional: true }, span, &[&value])
            }
            _ => self.fail(errors::operand(value.expr.span, "int", BaseType::String, value.expr.ty)),
        }
    }

    fn matches(&mut self, receiver: &ast::Expr, pattern: &ast::Expr, span: Span) -> Option<Typed> {
        let text = self.typed(receiver, BaseType::String, "matches");
        let pattern = self.expr(pattern)?;
        let Some(Value::String(written)) = pattern.constant() else {
            return self.fail(errors::pattern_not_constant(pattern.expr.span));
        };
        let place = pattern.expr.span;
        let regex = match self.scope.session.pattern(written, place) {
            Ok(regex) => regex,
            Err(PatternError::Pattern(error)) => return self.fail(errors::bad_regex(place, written, &error)),
            Err(PatternError::Budget(overrun)) => {
                session::tell(&overrun, self.diagnostics);
                return None;
            }
        };
        let text = text?;
        self.judge_pattern(&text, &regex, place);
        self.build(ExprKind::Matches(text.expr.clone(), regex), present(BaseType::Bool), span, &[&text])
    }

    fn substring_to_end(&mut self, receiver: &ast::Expr, start: &ast::Expr, span: Span) -> Option<Typed> {
        let text = self.typed(receiver, BaseType::String, "substring");
        let start = self.typed(start, BaseType::Int, "substring");
        let end = Typed::literal(Value::Int(i64::MAX), span);
        self.builtin(Builtin::Substring, vec![text?, start?, end], BaseType::String, span)
    }

    /// `cidr("10.0.0.0/8").containsIP(x)`, where `x` may be a constant string too.
    fn contains_ip(&mut self, receiver: &ast::Expr, address: &ast::Expr, span: Span) -> Option<Typed> {
        let range = self.cidr(receiver);
        let address = match self.expr(address)? {
            typed if typed.base() == BaseType::Ip => typed,
            typed => match typed.constant() {
                Some(Value::String(text)) => match text.parse::<std::net::IpAddr>() {
                    Ok(address) => Typed::literal(Value::Ip(address.to_canonical()), typed.expr.span),
                    Err(_) => return self.fail(errors::bad_address(typed.expr.span, text)),
                },
                _ => {
                    return self.fail(errors::operand(
                        typed.expr.span,
                        "containsIP",
                        BaseType::Ip,
                        typed.expr.ty,
                    ));
                }
            },
        };
        let range = range?;
        self.judge_range(range, &address, span);
        let kind = ExprKind::ContainsIp(range, address.expr.clone());
        self.build(kind, present(BaseType::Bool), span, &[&address])
    }

    /// The range of `cidr("…")`.
    fn cidr(&mut self, node: &ast::Expr) -> Option<ipnet::IpNet> {
        let node = unparenthesised(node);
        let call = match &node {
            ast::Expr::Call(call) if call.receiver().is_none() => Some(call),
            _ => None,
        };
        let Some(call) = call.filter(|call| call.name().is_some_and(|token| token.text() == "cidr")) else {
            let typed = self.expr(&node)?;
            return self.fail(errors::not_a_range(typed.expr.span));
        };
        let arguments = call.arguments();
        let [argument] = arguments.as_slice() else {
            return self.fail(errors::argument_count(self.span(call), "cidr", 1, arguments.len()));
        };
        let value = self.expr(argument)?;
        let Some(Value::String(text)) = value.constant() else {
            return self.fail(errors::address_not_constant(value.expr.span, "cidr"));
        };
        let parsed = text.parse::<ipnet::IpNet>().ok().filter(|range| range.addr() == range.network());
        match parsed.and_then(|_| network(text)) {
            Some(range) => Some(range),
            None => self.fail(errors::bad_range(value.expr.span, text)),
        }
    }

    /// `list.exists(x, …)` and its kin.
    fn quantify(
        &mut self,
        quantifier: Quantifier,
        receiver: &ast::Expr,
        arguments: &[ast::Expr],
        name: &str,
        span: Span,
    ) -> Option<Typed> {
        let [variable, body_node] = arguments else {
            return self.fail(errors::argument_count(span, name, 2, arguments.len()));
        };
        let list = self.typed(receiver, BaseType::List, name);
        let (ast::Expr::Name(bound), list) = (variable, list?) else {
            return self.fail(errors::not_a_variable(self.span(variable), name));
        };
        let bound_token = bound.name()?;
        let bound_name = bound_token.text().to_owned();
        if ROOTS.contains(&bound_name.as_str()) {
            return self.fail(errors::reserved_variable(self.span(variable), &bound_name));
        }
        if self.find_let(&bound_name).is_some()
            || self.variables.iter().any(|(other, _, _)| *other == bound_name)
        {
            return self.fail(errors::taken_variable(self.span(variable), &bound_name));
        }
        let number = self.scope.fresh_variable();
        self.variables.push((bound_name, number, list.expr.clone()));
        let body = self.expr(body_node);
        self.variables.pop();
        let body = body?;
        if body.base() != BaseType::Bool {
            return self.fail(errors::not_a_condition(body.expr.span, body.expr.ty));
        }
        let kind = ExprKind::Quantify {
            quantifier,
            variable: number,
            list: list.expr.clone(),
            body: body.expr.clone(),
        };
        self.build(kind, present(BaseType::Bool), span, &[&list, &body])
    }

    fn not_yet(&mut self, token: &SyntaxToken, span: Span) -> Option<Typed> {
        self.fail(later::expression(span, &format!("the function `{}`", token.text())))
    }

    fn unknown_function(&mut self, token: &SyntaxToken, span: Span) -> Option<Typed> {
        let name = token.text();
        let place = self.tree.span(token.text_range());
        if NOT_YET.contains(&name) {
            return self.not_yet(token, span);
        }
        let methods = METHODS.iter().map(|(known, _, _, _)| *known);
        let macros = MACROS.iter().map(|(known, _)| *known);
        let near = nearest(name, methods.chain(macros).chain(OTHERS.iter().copied()));
        self.fail(errors::unknown_function(place, name, near))
    }
}
