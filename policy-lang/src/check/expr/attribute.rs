//! Attributes: what a condition can ask about, and what it cannot ask yet or never in `auth`.

use super::super::errors::expression as errors;
use super::super::errors::{bad_header_name, header_is_attribute, header_taken_away, later, warnings};
use super::super::header_name::{HeaderName, header_name};
use super::super::schema::HeaderType;
use super::super::scope::Phase;
use super::{Checker, Typed, unparenthesised};
use crate::budget::Work;
use crate::checked::{Attribute, BaseType, Conversion, ExprKind, Type, Value};
use crate::diagnostic::Diagnostic;
use crate::diagnostic::near::nearest;
use crate::request::received::is_token;
use crate::source::Span;
use crate::syntax::SyntaxNode;
use crate::syntax::ast::{self, AstNode};
use std::sync::Arc;

/// A field of an attribute group.
pub(super) struct Field {
    pub(super) root: &'static str,
    pub(super) name: &'static str,
    attribute: Attribute,
    base: BaseType,
    optional: bool,
}

const fn field(
    root: &'static str,
    name: &'static str,
    attribute: Attribute,
    base: BaseType,
    optional: bool,
) -> Field {
    Field { root, name, attribute, base, optional }
}

/// The fields that are known when `auth` rules run.
pub(super) const FIELDS: &[Field] = &[
    field("request", "method", Attribute::Method, BaseType::String, false),
    field("request", "path", Attribute::Path, BaseType::String, false),
    field("request", "host", Attribute::Host, BaseType::String, false),
    field("request", "port", Attribute::Port, BaseType::Int, true),
    field("request", "scheme", Attribute::Scheme, BaseType::String, false),
    field("request", "id", Attribute::Id, BaseType::String, true),
    field("request", "size", Attribute::Size, BaseType::Int, true),
    field("request", "protocol", Attribute::Protocol, BaseType::String, false),
    field("source", "service", Attribute::SourceService, BaseType::String, true),
    field("source", "namespace", Attribute::SourceNamespace, BaseType::String, true),
    field("source", "principal", Attribute::SourcePrincipal, BaseType::String, true),
    field("source", "ip", Attribute::SourceIp, BaseType::Ip, false),
    field("source", "port", Attribute::SourcePort, BaseType::Int, false),
    field("source", "mtls", Attribute::SourceMtls, BaseType::Bool, false),
    field("target", "service", Attribute::TargetService, BaseType::String, false),
    field("target", "namespace", Attribute::TargetNamespace, BaseType::String, false),
];

/// The fields that are known when the answer begins.
pub(super) const FIELDS_OF_ANSWERS: &[Field] =
    &[field("response", "code", Attribute::ResponseCode, BaseType::Int, false)];

/// The fields that are known when it is over.
pub(super) const FIELDS_OF_LOGS: &[Field] = &[
    field("response", "duration", Attribute::ResponseDuration, BaseType::Int, false),
    field("response", "size", Attribute::ResponseSize, BaseType::Int, false),
    field("response", "flags", Attribute::ResponseFlags, BaseType::List, false),
    field("upstream", "address", Attribute::UpstreamAddress, BaseType::String, true),
    field("upstream", "attempts", Attribute::UpstreamAttempts, BaseType::Int, false),
    field("upstream", "failure", Attribute::UpstreamFailure, BaseType::String, true),
];

/// Groups of which nothing is known when `auth` rules run: the phase from which they are, and what
/// can be said instead.
const LATER: &[(&str, &str, &str)] = &[
    ("response", "response", "auth decides on request headers"),
    ("upstream", "log", "auth decides before a replica is chosen"),
    ("decision", "log", "auth makes the decision"),
    ("rule", "log", "auth finds the rule that decides"),
];

/// Headers of answers that Envoy takes away before any filter sees them.
const CONNECTION_HEADERS: [&str; 5] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

/// Header that proxies set to say who called; policies ask the verified certificate instead.
const CLIENT_CERTIFICATE_HEADER: &str = "x-forwarded-client-cert";

impl Checker<'_> {
    /// `base.name`.
    pub(super) fn field(&mut self, node: &ast::FieldExpr) -> Option<Typed> {
        let (base, token) = (node.base()?, node.name()?);
        let span = self.span(node);
        if let Some(diagnostic) = self.not_known_yet(node) {
            return self.fail(diagnostic);
        }
        if let ast::Expr::Name(root) = unparenthesised(&base)
            && let Some(root) = root.name()
            && self.is_root(root.text())
        {
            return self.attribute(root.text(), token.text(), span, self.tree.span(token.text_range()));
        }
        let value = self.expr(&base)?;
        self.fail(errors::no_fields(self.tree.span(token.text_range()), token.text(), value.expr.ty))
    }

    /// What is wrong with `a`, `a.b` or `a["b"]` if `a` is known in a later phase, or not supported yet.
    pub(super) fn not_known_yet(&self, node: &impl AstNode) -> Option<Diagnostic> {
        if is_base(node.syntax()) {
            // What begins with it has been asked already.
            return None;
        }
        let root =
            outermost_root(&ast::Expr::cast(node.syntax().clone())?).filter(|root| self.is_root(root))?;
        let span = self.span(node);
        if root == "jwt" {
            return Some(later::authentication(span, "`jwt` claims"));
        }
        let (_, phase, why) = LATER.iter().find(|(later, _, _)| *later == root)?;
        let field = field_of_root(&ast::Expr::cast(node.syntax().clone())?);
        let is_of_log = |known: &Field| known.root == root && field.as_deref() == Some(known.name);
        let phase = if FIELDS_OF_LOGS.iter().any(is_of_log) { "log" } else { phase };
        let name = node.syntax().text().to_string();
        match self.phase {
            Phase::Log => None,
            Phase::Response if phase == "response" => None,
            Phase::Response => Some(errors::after_answer(span, &name)),
            Phase::Request => Some(errors::later_phase(span, &name, phase, why)),
        }
    }

    /// `root.name`, with the place of the whole and of the name.
    fn attribute(&mut self, root: &str, name: &str, span: Span, name_span: Span) -> Option<Typed> {
        match (root, name) {
            ("path", _) => return self.capture(name, span),
            ("route", _) => return self.fail(later::expression(span, "`route.name`")),
            ("cookies", _) => return self.fail(later::expression(span, "`cookies`")),
            ("headers" | "query", _) => return self.fail(errors::map_field(span, root, name)),
            ("decision" | "rule", _) => return self.fail(errors::root_alone(span, root)),
            ("response", "headers") => return self.fail(errors::root_alone(span, "response.headers")),
            ("request", "time") => return self.fail(later::expression(span, "`request.time`")),
            ("request", "headers") => return self.fail(errors::not_under_request(span, "headers")),
            ("request", "query") => return self.fail(errors::not_under_request(span, "query")),
            ("target", "version") => return self.target_label("version", span),
            ("target", "labels") => return self.fail(errors::root_alone(span, "target.labels")),
            _ => {}
        }
        let (of_answers, of_logs): (&[Field], &[Field]) = match self.phase {
            Phase::Request => (&[], &[]),
            Phase::Response => (FIELDS_OF_ANSWERS, &[]),
            Phase::Log => (FIELDS_OF_ANSWERS, FIELDS_OF_LOGS),
        };
        let fields = || FIELDS.iter().chain(of_answers).chain(of_logs);
        match fields().find(|field| field.root == root && field.name == name) {
            Some(found) => {
                let ty = Type { base: found.base, optional: found.optional };
                self.build(ExprKind::Attribute(found.attribute.clone()), ty, span, &[])
            }
            None => {
                let known = fields().filter(|field| field.root == root).map(|field| field.name);
                let near = nearest(name, known.clone());
                let known: Vec<&str> = known.collect();
                self.fail(errors::unknown_field(name_span, root, name, near, &known))
            }
        }
    }

    /// `path.name`: the segment at which the capture of this name stands.
    fn capture(&mut self, name: &str, span: Span) -> Option<Typed> {
        if self.in_let {
            return self.fail(errors::capture_in_let(span, name));
        }
        if let Some(at) = self.captures.segments.get(name) {
            let ty = Type { base: BaseType::String, optional: true };
            return self.build(ExprKind::Attribute(Attribute::PathSegment(*at)), ty, span, &[]);
        }
        if let Some(other) = self.captures.uneven.get(name) {
            return self.fail(errors::uneven_capture(span, name, *other));
        }
        let captures = &self.captures.segments;
        let known = captures.keys().map(String::as_str);
        let near = self.scope.session.nearest(name, captures.len(), known).map(str::to_owned);
        self.fail(errors::unknown_capture(span, name, near.as_deref()))
    }

    /// `base[index]`.
    pub(super) fn index(&mut self, node: &ast::IndexExpr) -> Option<Typed> {
        let (base, index) = (unparenthesised(&node.base()?), node.index()?);
        let span = self.span(node);
        if let Some(diagnostic) = self.not_known_yet(node) {
            return self.fail(diagnostic);
        }
        let group = match &base {
            ast::Expr::Name(name) => name.name().map(|token| token.text().to_owned()),
            ast::Expr::Field(field) => dotted(field),
            _ => None,
        };
        match group.as_deref() {
            Some("cookies") => self.fail(later::expression(span, "`cookies`")),
            Some("request.headers") => self.fail(errors::not_under_request(self.span(&base), "headers")),
            Some("request.query") => self.fail(errors::not_under_request(self.span(&base), "query")),
            Some(map @ ("headers" | "query" | "target.labels" | "response.headers")) => {
                let key = self.expr(&index)?;
                let Some(Value::String(name)) = key.constant().cloned() else {
                    return self.fail(errors::name_not_constant(key.expr.span, map));
                };
                match map {
                    "headers" => self.header(&name, key.expr.span, span),
                    "query" => self.query(&name, key.expr.span, span),
                    "response.headers" => self.response_header(&name, key.expr.span, span),
                    _ => self.target_label(&name, span),
                }
            }
            _ => {
                let value = self.expr(&base)?;
                if value.base() == BaseType::List {
                    self.fail(later::expression(span, "elements of lists by number"))
                } else {
                    self.fail(errors::no_index(span, value.expr.ty))
                }
            }
        }
    }

    /// `headers["x"]`, of the type that the schema declares.
    fn header(&mut self, written: &str, name_span: Span, span: Span) -> Option<Typed> {
        let name = match header_name(written) {
            HeaderName::Plain(name) => name,
            HeaderName::Attribute(attribute) => {
                return self.fail(header_is_attribute(name_span, written, attribute));
            }
            HeaderName::TakenAway => return self.fail(header_taken_away(name_span, written)),
            HeaderName::Bad => return self.fail(bad_header_name(name_span, written)),
        };
        if name == "cookie" {
            // HTTP/2 splits it and Envoy joins it with `; `, so its text depends on the way it came.
            return self.fail(later::expression(span, "`headers[\"cookie\"]`"));
        }
        if name == CLIENT_CERTIFICATE_HEADER {
            self.diagnostics.push(warnings::forwarded_certificate(span));
        }
        let declared = self.scope.headers.get(&name);
        if let Some(HeaderType { conversion: Some(Conversion::Enum(values)), .. }) = declared {
            // They are copied here and compared with what the header is compared with.
            let count = values.len() as u64;
            self.scope.session.spend(Work::ConditionParts, count, span, self.diagnostics)?;
        }
        let declared = self.scope.headers.get(&name).cloned();
        let attribute = ExprKind::Attribute(Attribute::Header(Arc::from(name)));
        let plain = Type { base: BaseType::String, optional: true };
        let value = self.build(attribute, plain, span, &[])?;
        match declared.and_then(|declared| declared.conversion.map(|conversion| (conversion, declared.base)))
        {
            Some((conversion, base)) => {
                let kind = ExprKind::Convert(conversion, value.expr.clone());
                self.build(kind, Type { base, optional: true }, span, &[&value])
            }
            None => Some(value),
        }
    }

    /// `response.headers["x"]`, a string.
    fn response_header(&mut self, written: &str, name_span: Span, span: Span) -> Option<Typed> {
        let name = written.to_ascii_lowercase();
        if name == ":status" {
            return self.fail(header_is_attribute(name_span, written, "response.code"));
        }
        if CONNECTION_HEADERS.contains(&name.as_str()) {
            return self.fail(header_taken_away(name_span, written));
        }
        if !is_token(name.as_bytes()) {
            return self.fail(bad_header_name(name_span, written));
        }
        let ty = Type { base: BaseType::String, optional: true };
        self.build(ExprKind::Attribute(Attribute::ResponseHeader(name.into())), ty, span, &[])
    }

    fn query(&mut self, name: &str, name_span: Span, span: Span) -> Option<Typed> {
        if name.is_empty() {
            return self.fail(errors::empty_parameter(name_span));
        }
        let ty = Type { base: BaseType::String, optional: true };
        self.build(ExprKind::Attribute(Attribute::Query(Arc::from(name))), ty, span, &[])
    }

    fn target_label(&mut self, name: &str, span: Span) -> Option<Typed> {
        let ty = Type { base: BaseType::String, optional: true };
        self.build(ExprKind::Attribute(Attribute::TargetLabel(Arc::from(name))), ty, span, &[])
    }
}

/// Whether a node is what a field or an element is taken of.
fn is_base(node: &SyntaxNode) -> bool {
    let Some(parent) = node.parent() else { return false };
    ast::FieldExpr::cast(parent.clone()).is_some()
        || ast::IndexExpr::cast(parent)
            .and_then(|index| index.base())
            .is_some_and(|base| base.syntax() == node)
}

/// `a.b` as text, for a field of a name.
fn dotted(field: &ast::FieldExpr) -> Option<String> {
    match unparenthesised(&field.base()?) {
        ast::Expr::Name(root) => Some(format!("{}.{}", root.name()?.text(), field.name()?.text())),
        _ => None,
    }
}

/// The name behind the one at the very left of `a.b.c`.
fn field_of_root(node: &ast::Expr) -> Option<String> {
    match unparenthesised(node) {
        ast::Expr::Name(_) => None,
        ast::Expr::Field(field) => {
            let base = field.base()?;
            match unparenthesised(&base) {
                ast::Expr::Name(_) => Some(field.name()?.text().to_owned()),
                _ => field_of_root(&base),
            }
        }
        ast::Expr::Index(index) => field_of_root(&index.base()?),
        _ => None,
    }
}

/// The name at the very left of `a.b.c`.
fn outermost_root(node: &ast::Expr) -> Option<String> {
    match unparenthesised(node) {
        ast::Expr::Name(name) => name.name().map(|token| token.text().to_owned()),
        ast::Expr::Field(field) => outermost_root(&field.base()?),
        ast::Expr::Index(index) => outermost_root(&index.base()?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::scope::ROOTS;
    use super::*;

    #[test]
    fn every_group_is_a_reserved_name() {
        let fields = FIELDS.iter().chain(FIELDS_OF_ANSWERS).chain(FIELDS_OF_LOGS);
        for root in fields.map(|field| field.root).chain(LATER.iter().map(|(root, _, _)| *root)) {
            assert!(ROOTS.contains(&root), "{root}");
        }
    }
}
