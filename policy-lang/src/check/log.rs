//! The statements of `log` policies.

use super::condition;
use super::errors::{log as errors, name_too_long, warnings};
use super::expr::Checker;
use super::phases::{Phased, by_phase};
use super::rule::{Around, Matched, NAME_BYTES_MAX};
use super::scope::Captures;
use crate::budget::Work;
use crate::checked::{
    Attribute, BaseType, Body, Expr, ExprKind, Field, Guard, LogBody, Redact, Redaction, Sample, SampleRate,
    Sending,
};
use crate::lex::literal;
use crate::literals::{attribute_text, is_of_answer, is_of_target};
use crate::log::is_fixed_field;
use crate::syntax::ast::{self, AstNode, LogStatement, Policy, Statement};
use std::sync::Arc;

/// What a `log` policy says, and whether no statement had to be left out.
pub(super) fn body(node: &Policy, around: &mut Around<'_>) -> (Body, bool) {
    let mut body = LogBody::default();
    let mut is_complete = true;
    for statement in node.statements() {
        if around.diagnostics.is_full() {
            break;
        }
        // The parser has said that a statement of another kind does not stand here.
        let Statement::Other(statement) = statement else { continue };
        let is_right = match LogStatement::of(&statement) {
            Some(LogStatement::Sample(node)) => around.sample(&node).map(|sample| body.samples.push(sample)),
            Some(LogStatement::Fields(node)) => around.fields(&node, &mut body.fields),
            Some(LogStatement::Redact(node)) => around.redact(&node, &mut body.redactions),
            Some(LogStatement::Send(node)) => around.send(&node, &mut body.sends),
            None => None,
        };
        is_complete &= is_right.is_some();
    }
    (Body::Log(body), is_complete)
}

impl Around<'_> {
    /// A `sample`. `None` if something in it is wrong.
    fn sample(&mut self, node: &ast::Sample) -> Option<Sample> {
        let span = self.tree.span(node.syntax().text_range());
        let Matched { guard, captures } = match node.matcher() {
            Some(matcher) => self.matched(&matcher)?,
            None => Matched { guard: Guard::default(), captures: Captures::default() },
        };
        let condition = condition::check(node.conditions(), &guard, &captures, self)?;
        if let Some(condition) = &condition {
            match condition::truth(condition) {
                Some(false) => self.diagnostics.push(warnings::never_sampled(condition.span)),
                Some(true) => self.diagnostics.push(warnings::always_true(condition.span)),
                None => {}
            }
        }
        let Phased { now: condition, late: later } = match condition {
            Some(condition) => by_phase(&condition),
            None => Phased::default(),
        };
        // The lexer has said so if it is none.
        let rate = SampleRate(literal::percent_millionths(node.rate()?.text())?);
        let passed = node.outcome().map(|word| word.text() == "allowed");
        Some(Sample { rate, passed, guard: Guard { condition, ..guard }, later, span })
    }

    /// What a `fields` lists. `None` if something in it is wrong.
    fn fields(&mut self, node: &ast::Fields, fields: &mut Vec<Field>) -> Option<()> {
        let mut all_right = Some(());
        for (expr, name) in node.fields() {
            let place = self.tree.span(expr.range());
            let Some(value) = self.logged_value(&expr) else {
                all_right = None;
                continue;
            };
            let name_place = name.as_ref().map_or(place, |token| self.tree.span(token.text_range()));
            let name = match (&name, &value.kind) {
                (Some(token), _) => token.text().to_owned(),
                (None, ExprKind::Attribute(attribute)) => default_name(attribute),
                (None, ExprKind::Convert(_, inner)) => match &inner.kind {
                    ExprKind::Attribute(attribute) => default_name(attribute),
                    _ => String::new(),
                },
                (None, _) => String::new(),
            };
            let field = Field { name: name.as_str().into(), value, span: place };
            let is_attribute = matches!(&field.value.kind, ExprKind::Attribute(_));
            let known = fields.iter().find(|known| known.name == field.name);
            if name.len() > NAME_BYTES_MAX {
                self.diagnostics.push(name_too_long(name_place, name.len()));
            } else if name.is_empty() {
                self.diagnostics.push(errors::field_without_name(place));
            } else if is_attribute && name_place == place && is_fixed_field(&name) {
                // Each line has it.
                continue;
            } else if is_fixed_field(&name) {
                self.diagnostics.push(errors::fixed_field(name_place, &name));
            } else if field.value.ty.base == BaseType::List {
                self.diagnostics.push(errors::list_as_field(place));
            } else if let Some(known) = known {
                self.diagnostics.push(errors::second_field(name_place, &name, known.span));
            } else {
                fields.push(field);
                continue;
            }
            all_right = None;
        }
        all_right
    }

    /// An expression of which a line can show the value.
    fn logged_value(&mut self, node: &ast::Expr) -> Option<Arc<Expr>> {
        let (guard, captures) = (Guard::default(), Captures::default());
        let mut checker = Checker::of_statement(self, &guard, &captures);
        let typed = checker.expr(node)?;
        let span = self.tree.span(node.range());
        let reporter = self.reporter();
        reporter.session.spend(Work::ConditionParts, typed.weight(), span, reporter.findings)?;
        Some(condition::renumbered(&typed.expr))
    }

    /// What a `redact` names. `None` if something in it is wrong.
    fn redact(&mut self, node: &ast::Redact, redactions: &mut Vec<Redaction>) -> Option<()> {
        let how = match node.how()?.text() {
            "hash" => Redact::Hash,
            "mask" => Redact::Mask,
            _ => Redact::Drop,
        };
        let (guard, captures) = (Guard::default(), Captures::default());
        let mut all_right = Some(());
        for source in node.sources() {
            let span = self.tree.span(source.range());
            if is_cookies(&source) {
                // No field can read it, and nobody shall have to know that.
                redactions.push(Redaction { source: Attribute::Header("cookie".into()), how, span });
                continue;
            }
            let mut checker = Checker::of_statement(self, &guard, &captures);
            let Some(typed) = checker.expr(&source) else {
                all_right = None;
                continue;
            };
            match redactable(&typed.expr) {
                Some(source) => redactions.push(Redaction { source, how, span }),
                None => {
                    self.diagnostics.push(errors::not_to_be_redacted(span));
                    all_right = None;
                }
            }
        }
        all_right
    }

    /// A `send`. Whether there is such a sink is known when all policies are.
    fn send(&mut self, node: &ast::Send, sends: &mut Vec<Sending>) -> Option<()> {
        let token = node.sink()?;
        sends.push(Sending { sink: token.text().into(), span: self.tree.span(token.text_range()) });
        Some(())
    }
}

/// What an attribute is called in a line if nothing else is said; empty if that would be no name.
fn default_name(attribute: &Attribute) -> String {
    let name = match attribute {
        Attribute::Method => "method".to_owned(),
        Attribute::Path => "path".to_owned(),
        Attribute::Id => "request_id".to_owned(),
        Attribute::SourcePrincipal => "principal".to_owned(),
        Attribute::ResponseCode => "code".to_owned(),
        Attribute::ResponseDuration => "duration".to_owned(),
        Attribute::ResponseFlags => "flags".to_owned(),
        Attribute::ResponseHeader(name) => format!("response_{name}"),
        Attribute::Header(name) | Attribute::Query(name) => name.to_string(),
        Attribute::TargetLabel(name) => format!("target_{name}"),
        _ => attribute_text(attribute).replace('.', "_"),
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.bytes().all(is_plain) && name.len() <= NAME_BYTES_MAX { name } else { String::new() }
}

/// What of a request a `redact` names.
fn redactable(expr: &Expr) -> Option<Attribute> {
    match &expr.kind {
        ExprKind::Attribute(Attribute::Decision | Attribute::Rule) => None,
        ExprKind::Attribute(attribute @ Attribute::ResponseHeader(_)) => Some(attribute.clone()),
        ExprKind::Attribute(attribute) if is_of_target(attribute) || is_of_answer(attribute) => None,
        ExprKind::Attribute(attribute) => Some(attribute.clone()),
        // A header that has a type.
        ExprKind::Convert(_, inner) => redactable(inner),
        _ => None,
    }
}

/// Whether this is `headers["cookie"]`, which conditions cannot ask.
fn is_cookies(expr: &ast::Expr) -> bool {
    let ast::Expr::Index(index) = expr else { return false };
    let text = index.syntax().text().to_string();
    text.split_whitespace().collect::<String>() == "headers[\"cookie\"]"
}
