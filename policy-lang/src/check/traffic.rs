//! The statements of `traffic` policies.

use super::expr::Checker;
use super::policy::Named;
use super::rule::{Around, Matched};
use super::scope::Captures;
use super::{condition, errors};
use crate::budget::Work;
use crate::checked::{Attribute, BaseType, Expr, ExprKind, Guard, Limit, Rate, Respond, Type};
use crate::lex::literal;
use crate::literals::{attributes_of, header_of};
use crate::syntax::SyntaxToken;
use crate::syntax::ast::{self, AstNode};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The most requests in a second that a limit can let pass: to a thousandth, a bucket fills as fast as is stated.
pub(super) const REQUESTS_PER_SECOND_MAX: u64 = 1_000_000;
/// How long a bucket may take to fill, in ns: a year.
pub(super) const FILLING_NS_MAX: u64 = 365 * 86_400 * 1_000_000_000;
/// The most keys of a limit.
pub(super) const LIMIT_KEYS_MAX: usize = 8;
/// The header that has the id of a request.
const ID_HEADER: &str = "x-request-id";
/// The status of the answer to a request that is one too many, if none is stated.
const LIMITED_STATUS: u16 = 429;

impl Around<'_> {
    /// A `limit`. `None` if something in it is wrong.
    pub(super) fn limit(&mut self, node: &ast::Limit) -> Option<Named<Limit>> {
        let span = self.tree.span(node.syntax().text_range());
        let matched = self.matched_or_all(node.matcher());
        let (condition, keys) = match &matched {
            Some(Matched { guard, captures }) => (
                condition::check(node.conditions(), guard, captures, self),
                self.limit_keys(node, guard, captures),
            ),
            None => (None, None),
        };
        let rate = self.rate(node);
        let respond = node.respond().map(|respond| self.respond(&respond));
        let name = self.statement_name(node.name(), "limit", node.syntax())?;
        let condition = condition?;
        if let Some(expr) = &condition {
            condition::warn_constant(expr, &name.shown, self.diagnostics);
        }
        let (rate, burst) = rate?;
        let default = Respond { status: LIMITED_STATUS, body: String::new() };
        // An error in the answer leaves the limit out.
        let respond = respond.map_or(Some(default), |respond| respond)?.of(&name.id);
        let limit = Limit {
            id: name.id,
            guard: Guard { condition, ..matched?.guard },
            rate,
            burst,
            keys: keys?,
            shared: node.shared().is_some(),
            respond,
            span,
        };
        Some((limit, name.span))
    }

    /// What stands behind `for`; without it, all requests.
    pub(super) fn matched_or_all(&mut self, node: Option<ast::Match>) -> Option<Matched> {
        match node {
            Some(matcher) => self.matched(&matcher),
            None => Some(Matched { guard: Guard::default(), captures: Captures::default() }),
        }
    }

    /// How fast a bucket fills, and what a full one has; as much as comes in the rate's time if that is not stated.
    fn rate(&mut self, node: &ast::Limit) -> Option<(Rate, u32)> {
        let token = node.rate()?;
        let (count, seconds) = literal::rate(token.text())?;
        let place = self.tree.span(token.text_range());
        let count = u32::try_from(count).ok().filter(|count| *count > 0);
        let slow_enough = |count: &u32| u64::from(*count) <= REQUESTS_PER_SECOND_MAX * u64::from(seconds);
        let Some(count) = count.filter(slow_enough) else {
            self.diagnostics.push(errors::bad_rate(place, REQUESTS_PER_SECOND_MAX));
            return None;
        };
        let rate = Rate { count, seconds };
        let burst = match node.burst() {
            Some(token) => self.burst(&token, rate)?,
            None => count,
        };
        Some((rate, burst))
    }

    fn burst(&mut self, token: &SyntaxToken, rate: Rate) -> Option<u32> {
        let most = FILLING_NS_MAX / rate.step_ns().max(1);
        let burst = literal::int(token.text()).and_then(|burst| u32::try_from(burst).ok());
        let fits = |burst: &u32| *burst > 0 && u64::from(*burst) <= most;
        if burst.as_ref().is_some_and(fits) {
            return burst;
        }
        let place = self.tree.span(token.text_range());
        self.diagnostics.push(errors::bad_burst(place, most.min(u32::MAX.into())));
        None
    }

    /// By what requests are told apart. Every key is checked, so that each error is found.
    fn limit_keys(
        &mut self,
        node: &ast::Limit,
        guard: &Guard,
        captures: &Captures,
    ) -> Option<Vec<Arc<Expr>>> {
        let mut keys = Vec::new();
        let mut all_right = true;
        for (number, key) in node.keys().enumerate() {
            if number == LIMIT_KEYS_MAX {
                self.diagnostics.push(errors::many_keys(self.tree.span(key.range()), LIMIT_KEYS_MAX));
                return None;
            }
            match self.limit_key(&key, guard, captures) {
                Some(key) => keys.push(key),
                None => all_right = false,
            }
        }
        all_right.then_some(keys)
    }

    fn limit_key(&mut self, node: &ast::Expr, guard: &Guard, captures: &Captures) -> Option<Arc<Expr>> {
        let span = self.tree.span(node.range());
        let attribute = |attribute, base, optional| {
            let (kind, ty) = (ExprKind::Attribute(attribute), Type { base, optional });
            Some(Arc::new(Expr { kind, ty, span }))
        };
        if let ast::Expr::Name(name) = node {
            match name.syntax().text().to_string().trim() {
                "source" => return attribute(Attribute::SourcePrincipal, BaseType::String, true),
                "ip" => return attribute(Attribute::SourceIp, BaseType::Ip, false),
                _ => {}
            }
        }
        let mut checker = Checker::of_statement(self, guard, captures);
        let typed = checker.expr(node)?;
        if typed.expr.ty.base == BaseType::List {
            self.diagnostics.push(errors::list_as_key(span));
            return None;
        }
        let mut asked = BTreeSet::new();
        attributes_of(&typed.expr, &mut asked);
        if asked.iter().any(|attribute| header_of(attribute).is_some_and(|name| &*name == ID_HEADER)) {
            self.diagnostics.push(errors::id_as_key(span));
            return None;
        }
        let reporter = self.reporter();
        reporter.session.spend(Work::ConditionParts, typed.weight(), span, reporter.findings)?;
        Some(condition::renumbered(&typed.expr))
    }
}
