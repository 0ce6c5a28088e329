//! Operations on headers: `set`, `add` and `remove`.

use super::expr::Checker;
use super::header_name::owner_of;
use super::phases::{Phased, by_phase};
use super::policy::Named;
use super::rule::{Around, NAME_BYTES_MAX};
use super::scope::{Captures, Phase};
use super::{condition, errors};
use crate::budget::Work;
use crate::checked::{BaseType, Expr, ExprKind, Guard, HeaderChange, HeaderStatement, Message, Value};
use crate::eval::fit_for_header;
use crate::lex::literal;
use crate::request::received::is_token;
use crate::syntax::SyntaxKind;
use crate::syntax::ast::{self, AstNode, HeaderVerb};
use std::sync::Arc;

impl Around<'_> {
    /// An operation on a header. `None` if something in it is wrong.
    pub(super) fn header_operation(&mut self, node: &ast::HeaderOperation) -> Option<Named<HeaderStatement>> {
        let span = self.tree.span(node.syntax().text_range());
        let message = if node.is_of_response() { Message::Response } else { Message::Request };
        let header = self.changed_header(node, message);
        let matched = self.matched_or_all(node.matcher());
        let phase = self.phase;
        if message == Message::Response {
            self.phase = Phase::Response;
        }
        let (condition, change) = match &matched {
            Some(matched) => (
                condition::check(node.conditions(), &matched.guard, &matched.captures, self),
                self.header_change(node, &matched.guard, &matched.captures),
            ),
            None => (None, None),
        };
        self.phase = phase;
        let word = match node.verb() {
            HeaderVerb::Set => "set",
            HeaderVerb::Add => "add",
            HeaderVerb::Remove => "remove",
        };
        let name = self.statement_name(node.label(), word, node.syntax())?;
        let condition = condition?;
        if let Some(expr) = &condition {
            condition::warn_constant(expr, &name.shown, self.diagnostics);
        }
        let Phased { now: condition, late } = match condition {
            Some(condition) => by_phase(&condition),
            None => Phased::default(),
        };
        let statement = HeaderStatement {
            id: name.id,
            guard: Guard { condition, ..matched?.guard },
            late,
            message,
            header: header?,
            change: change?,
            span,
        };
        Some((statement, name.span))
    }

    /// The name of a header that a policy may change.
    fn changed_header(&mut self, node: &ast::HeaderOperation, message: Message) -> Option<Arc<str>> {
        let token = node.header()?;
        let place = self.tree.span(token.text_range());
        let written = match token.kind() {
            SyntaxKind::String => literal::string(token.text()),
            _ => token.text().to_owned(),
        };
        let name = written.to_ascii_lowercase();
        if let Some(owner) = owner_of(&name, message) {
            self.diagnostics.push(errors::header_is_owned(place, &name, message, owner));
            return None;
        }
        if !is_token(name.as_bytes()) {
            self.diagnostics.push(errors::bad_header_name(place, &written));
            return None;
        }
        if name.len() > NAME_BYTES_MAX {
            self.diagnostics.push(errors::name_too_long(place, name.len()));
            return None;
        }
        Some(name.into())
    }

    fn header_change(
        &mut self,
        node: &ast::HeaderOperation,
        guard: &Guard,
        captures: &Captures,
    ) -> Option<HeaderChange> {
        let whole = self.tree.span(node.syntax().text_range());
        match (node.verb(), node.value()) {
            (HeaderVerb::Remove, None) => Some(HeaderChange::Remove),
            (HeaderVerb::Remove, Some(value)) => {
                self.diagnostics.push(errors::removed_with_value(self.tree.span(value.range())));
                None
            }
            (_, None) => {
                self.diagnostics.push(errors::header_without_value(whole));
                None
            }
            (HeaderVerb::Set, Some(value)) => {
                self.header_value(&value, guard, captures).map(HeaderChange::Set)
            }
            (HeaderVerb::Add, Some(value)) => {
                self.header_value(&value, guard, captures).map(HeaderChange::Add)
            }
        }
    }

    fn header_value(&mut self, node: &ast::Expr, guard: &Guard, captures: &Captures) -> Option<Arc<Expr>> {
        let span = self.tree.span(node.range());
        let mut checker = Checker::of_statement(self, guard, captures);
        let typed = checker.expr(node)?;
        let base = typed.expr.ty.base;
        if matches!(base, BaseType::List | BaseType::Ip) {
            self.diagnostics.push(errors::no_header_value(span, base));
            return None;
        }
        if let ExprKind::Literal(Value::String(text)) = &typed.expr.kind
            && fit_for_header(text.as_bytes()).is_none()
        {
            self.diagnostics.push(errors::unfit_header_value(span));
            return None;
        }
        let reporter = self.reporter();
        reporter.session.spend(Work::ConditionParts, typed.weight(), span, reporter.findings)?;
        Some(condition::renumbered(&typed.expr))
    }
}
