//! The statements of `traffic` policies about the replicas of their targets.

use super::calls::{ALL, is_of_replicas};
use super::expr::Checker;
use super::rule::Around;
use super::scope::Captures;
use super::{errors, pattern};
use crate::checked::{
    Attribute, Balance, Ejection, ExprKind, Guard, HealthCheck, Milliseconds, Pool, Scope, Setting, Settings,
};
use crate::lex::literal;
use crate::source::Span;
use crate::syntax::SyntaxToken;
use crate::syntax::ast::{self, AstNode, SettingKind};
use std::sync::Arc;

/// The most of what is counted here.
const COUNT_MAX: u32 = 1_000_000;
/// The largest share of the replicas that is left alone at a time, if none is stated: half.
const EJECTED_MAX: u32 = ALL / 2;
/// How long an answer to a health check may take, if that is not stated.
const CHECK_TIMEOUT: Milliseconds = Milliseconds(1_000);
/// The longest that may be stated. Envoy does not use a service that is new to it before each replica was asked once:
/// for so long one that hangs keeps requests from all.
const CHECK_TIMEOUT_MAX: Milliseconds = Milliseconds(10_000);
/// The methods by which Envoy asks a replica.
const CHECK_METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"];
/// After how many bad and good answers in a row a replica is out and in again, if that is not stated.
const FALL: u32 = 3;
const RISE: u32 = 2;

/// A statement of one of the kinds, as it stands in a policy.
pub(super) enum StatedSetting {
    Pool(Setting<Pool>),
    Ejection(Setting<Ejection>),
    Check(Setting<HealthCheck>),
    Balance(Setting<Balance>),
}

impl StatedSetting {
    /// Its id and its place.
    pub(super) fn known_by(&self) -> (&Arc<str>, Span) {
        match self {
            Self::Pool(setting) => (&setting.id, setting.span),
            Self::Ejection(setting) => (&setting.id, setting.span),
            Self::Check(setting) => (&setting.id, setting.span),
            Self::Balance(setting) => (&setting.id, setting.span),
        }
    }

    /// Puts it behind those of its kind.
    pub(super) fn put(self, to: &mut Settings) {
        match self {
            Self::Pool(setting) => to.pools.push(setting),
            Self::Ejection(setting) => to.ejections.push(setting),
            Self::Check(setting) => to.checks.push(setting),
            Self::Balance(setting) => to.balances.push(setting),
        }
    }
}

impl Around<'_> {
    /// A statement about the replicas of the targets. `None` if something in it is wrong.
    pub(super) fn setting(&mut self, node: &ast::Setting, targets: &[Scope]) -> Option<StatedSetting> {
        let span = self.tree.span(node.syntax().text_range());
        let word = match node.kind() {
            SettingKind::Connections => "connections",
            SettingKind::Eject => "eject",
            SettingKind::Health => "health",
            SettingKind::Balance => "balance",
        };
        let id = self.statement_name(None, word, node.syntax())?.id;
        let stated = match node.kind() {
            SettingKind::Connections => StatedSetting::Pool(Setting { id, does: self.pool(node)?, span }),
            SettingKind::Eject => StatedSetting::Ejection(Setting { id, does: self.ejection(node)?, span }),
            SettingKind::Health => StatedSetting::Check(Setting { id, does: self.health(node)?, span }),
            SettingKind::Balance => StatedSetting::Balance(Setting { id, does: self.balance(node)?, span }),
        };
        if let Some(scope) = targets.iter().find(|scope| is_of_replicas(scope)) {
            self.diagnostics.push(errors::choice_of_a_replica(scope.span, word));
            return None;
        }
        Some(stated)
    }

    fn pool(&mut self, node: &ast::Setting) -> Option<Pool> {
        let connections = self.count(&node.number_after("at_most")?);
        let pending = node.number_after("pending").map(|token| self.count(&token));
        let requests = node.number_after("requests").map(|token| self.count(&token));
        let retries = node.share_after("retries").map(|token| literal::percent_millionths(token.text()));
        Some(Pool {
            connections: connections?,
            pending: pending.map_or(Some(None), |count| count.map(Some))?,
            requests: requests.map_or(Some(None), |count| count.map(Some))?,
            retries: retries.map_or(Some(None), |share| share.map(Some))?,
        })
    }

    fn ejection(&mut self, node: &ast::Setting) -> Option<Ejection> {
        let errors = self.count(&node.number_after("after")?);
        let time = self.duration(&node.duration_after("for")?);
        let at_most = match node.share_after("at_most") {
            Some(token) => literal::percent_millionths(token.text())?,
            None => EJECTED_MAX,
        };
        Some(Ejection { errors: errors?, time: time?, at_most })
    }

    fn health(&mut self, node: &ast::Setting) -> Option<HealthCheck> {
        let (method, path) = (node.method()?, node.path()?);
        let (patterns, _) = pattern::check(std::iter::once(path.clone()), self.tree, self.diagnostics)?;
        if !CHECK_METHODS.contains(&method.text()) {
            self.diagnostics.push(errors::no_check_by(self.tree.span(method.text_range()), &CHECK_METHODS));
            return None;
        }
        let every = self.duration(&node.duration_after("every")?);
        let timeout = node.duration_after("timeout").map(|token| self.check_timeout(&token));
        let fall = node.number_after("fall").map(|token| self.count(&token));
        let rise = node.number_after("rise").map(|token| self.count(&token));
        let is_one =
            |segment: &crate::checked::Segment| matches!(segment, crate::checked::Segment::Literal(_));
        if patterns.iter().any(|path| path.rest || !path.segments.iter().all(is_one)) {
            self.diagnostics.push(errors::no_single_path(self.tree.span(path.text_range())));
            return None;
        }
        Some(HealthCheck {
            method: method.text().to_owned(),
            path: path.text().to_owned(),
            every: every?,
            timeout: timeout.unwrap_or(Some(CHECK_TIMEOUT))?,
            fall: fall.unwrap_or(Some(FALL))?,
            rise: rise.unwrap_or(Some(RISE))?,
        })
    }

    fn check_timeout(&mut self, token: &SyntaxToken) -> Option<Milliseconds> {
        let timeout = self.duration(token)?;
        if timeout > CHECK_TIMEOUT_MAX {
            let span = self.tree.span(token.text_range());
            self.diagnostics.push(errors::slow_check(span, CHECK_TIMEOUT_MAX));
            return None;
        }
        Some(timeout)
    }

    fn balance(&mut self, node: &ast::Setting) -> Option<Balance> {
        let way = node.way()?;
        Some(match way.text() {
            "round_robin" => Balance::RoundRobin,
            "least_request" => Balance::LeastRequest,
            "random" => Balance::Random,
            hashed => {
                let key = node.key()?;
                let (guard, captures) = (Guard::default(), Captures::default());
                let typed = Checker::of_statement(self, &guard, &captures).expr(&key)?;
                let ExprKind::Attribute(Attribute::Header(name)) = &typed.expr.kind else {
                    self.diagnostics.push(errors::balanced_by_no_header(self.tree.span(key.range())));
                    return None;
                };
                if hashed == "maglev" {
                    Balance::Maglev(name.clone())
                } else {
                    Balance::RingHash(name.clone())
                }
            }
        })
    }

    fn count(&mut self, token: &SyntaxToken) -> Option<u32> {
        let count = literal::int(token.text()).and_then(|count| u32::try_from(count).ok());
        let fitting = count.filter(|count| (1..=COUNT_MAX).contains(count));
        if fitting.is_none() {
            self.diagnostics.push(errors::bad_count(self.tree.span(token.text_range()), COUNT_MAX));
        }
        fitting
    }
}
