//! `exempt`, `deny`, `allow` and `otherwise`.

use super::expr::Reporter;
use super::lets::Let;
use super::policy::{Named, OTHERWISE};
use super::scope::{Captures, FileScope, Phase};
use super::{condition, errors, pattern, peer, repeated};
use crate::checked::{Effect, Guard, Otherwise, Plaintext, Respond, Rule, Scope};
use crate::diagnostic::Findings;
use crate::diagnostic::near::nearest;
use crate::lex::literal;
use crate::request::received::HTTP1_METHODS;
use crate::source::Span;
use crate::syntax::ast::{self, AstNode, RuleEffect};
use crate::syntax::{SyntaxNode, SyntaxToken, SyntaxTree};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The statuses that an answer to a denied request may have.
const STATUSES: std::ops::RangeInclusive<i64> = 400..=599;
/// The most bytes of the body of an answer.
pub(super) const BODY_BYTES_MAX: usize = 4_096;
/// The most bytes of the name of a policy or a rule.
pub(super) const NAME_BYTES_MAX: usize = 128;
/// How many bytes of the digest of a statement's text are in the id of a rule without a name.
const DIGEST_BYTES: usize = 3;
/// Methods that are known; others are allowed, but one that is nearly one of these is doubtful.
const METHODS: &[&str] = &[
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "CONNECT",
    "OPTIONS",
    "TRACE",
    "PATCH",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "SEARCH",
    "REPORT",
    "QUERY",
];

/// The known method that was probably meant, if this is none.
pub(super) fn near_method(method: &str) -> Option<&'static str> {
    let is_known = METHODS.contains(&method) || HTTP1_METHODS.contains(&method) || method == "M-SEARCH";
    if is_known { None } else { nearest(method, METHODS.iter().copied()) }
}

/// What stands around the statements of a policy.
pub(super) struct Around<'a> {
    /// The tree of the file.
    pub(super) tree: &'a SyntaxTree,
    /// The policy's name.
    pub(super) policy: &'a str,
    /// What holds in the file.
    pub(super) scope: &'a mut FileScope,
    /// The `let`s of the policy.
    pub(super) lets: &'a BTreeMap<String, Let>,
    /// What its statements can ask.
    pub(super) phase: Phase,
    /// What is wrong.
    pub(super) diagnostics: &'a mut Findings,
}

/// The parts of a `match`.
pub(super) struct Matched {
    /// Without a condition.
    pub(super) guard: Guard,
    /// What its paths name.
    pub(super) captures: Captures,
}

/// By what a statement is known.
pub(super) struct StatementName {
    /// `policy/name`, or for a statement without a name `policy/word-hhhhhh`.
    pub(super) id: Arc<str>,
    /// Where the name stands, if it has one.
    pub(super) span: Option<Span>,
    /// The name or the word that begins it, for people.
    pub(super) shown: String,
}

impl Around<'_> {
    /// Where errors go.
    pub(super) fn reporter(&mut self) -> Reporter<'_> {
        Reporter { session: &mut self.scope.session, findings: self.diagnostics }
    }

    /// An `allow` or `deny`. `None` if something in it is wrong.
    pub(super) fn rule(&mut self, node: &ast::Rule) -> Option<Named<Rule>> {
        let matched = node.matcher().and_then(|matcher| self.matched(&matcher));
        // If the match is wrong its captures are not known, so nothing is said about the condition.
        let condition = match &matched {
            Some(Matched { guard, captures }) => condition::check(node.conditions(), guard, captures, self),
            None => None,
        };
        let respond = node.respond().map(|respond| self.respond(&respond));
        let (word, effect) = match node.effect()? {
            RuleEffect::Allow => ("allow", Effect::Allow),
            RuleEffect::Deny => ("deny", Effect::Deny),
        };
        let span = self.tree.span(node.range());
        if effect == Effect::Allow {
            self.warn_respond(node.syntax());
        }
        let condition = condition?;
        let name = self.statement_name(node.name(), word, node.syntax());
        if let Some(expr) = &condition {
            let shown = node.name().map_or(word.to_owned(), |token| token.text().to_owned());
            condition::warn_constant(expr, &shown, self.diagnostics);
            if effect == Effect::Deny {
                repeated::warn(expr, &mut self.scope.session, self.diagnostics);
            }
        }
        let name = name?;
        let matched = matched?;
        // An error in the answer leaves the rule out.
        let respond = respond.map_or(Some(None), |respond| respond.map(Some))?;
        let respond = respond.filter(|_| effect == Effect::Deny).map(|respond| respond.of(&name.id));
        let rule = Rule { id: name.id, effect, guard: Guard { condition, ..matched.guard }, respond, span };
        Some((rule, name.span))
    }

    /// The name of a statement of this kind. `None` if it is one that no statement may have.
    pub(super) fn statement_name(
        &mut self,
        name: Option<SyntaxToken>,
        word: &str,
        node: &SyntaxNode,
    ) -> Option<StatementName> {
        let Some(token) = name else {
            let id = self.derived_id(word, node).into();
            return Some(StatementName { id, span: None, shown: word.to_owned() });
        };
        let (text, place) = (token.text(), self.tree.span(token.text_range()));
        if text == OTHERWISE {
            self.diagnostics.push(errors::reserved_rule(place));
            return None;
        }
        if text.len() > NAME_BYTES_MAX {
            self.diagnostics.push(errors::name_too_long(place, text.len()));
            return None;
        }
        let id = format!("{}/{text}", self.policy).into();
        Some(StatementName { id, span: Some(place), shown: text.to_owned() })
    }

    /// An `exempt`. `None` if something in it is wrong.
    pub(super) fn exempt(&mut self, node: &ast::Exempt) -> Option<Named<Rule>> {
        if let Some(condition) = node.conditions().next() {
            self.diagnostics.push(errors::exempt_with_condition(self.tree.span(condition.range())));
            return None;
        }
        self.warn_respond(node.syntax());
        let matched = self.matched(&node.matcher()?)?;
        let rule = Rule {
            id: self.derived_id("exempt", node.syntax()).into(),
            effect: Effect::Exempt,
            guard: matched.guard,
            respond: None,
            span: self.tree.span(node.range()),
        };
        Some((rule, None))
    }

    /// Says if an `exempt` stands in a policy that is attached to something narrow.
    pub(super) fn exempt_is_at_home(&mut self, node: &ast::Exempt, narrow: Option<&Scope>) {
        if let Some(narrow) = narrow {
            self.diagnostics.push(errors::exempt_too_narrow(self.tree.span(node.range()), narrow.span));
        }
    }

    /// An `otherwise`. `None` if something in it is wrong.
    pub(super) fn otherwise(&mut self, node: &ast::Otherwise) -> Option<Otherwise> {
        let allow = node.effect()? == RuleEffect::Allow;
        if allow {
            self.warn_respond(node.syntax());
        }
        let respond = match node.respond() {
            Some(respond) => Some(self.respond(&respond)?),
            None => None,
        };
        Some(Otherwise { allow, respond: respond.filter(|_| !allow), span: self.tree.span(node.range()) })
    }

    /// Takes in a `plaintext`, of which a policy has one.
    pub(super) fn plaintext(&mut self, node: &ast::Plaintext, stated: &mut Option<Plaintext>) {
        // The parser has said that a word is missing.
        let Some(effect) = node.effect() else { return };
        let span = self.tree.span(node.range());
        match stated {
            Some(first) => self.diagnostics.push(errors::second_plaintext(span, first.span)),
            None => *stated = Some(Plaintext { allow: effect == RuleEffect::Allow, span }),
        }
    }

    /// Says that an answer stands in a statement that lets requests pass.
    fn warn_respond(&mut self, statement: &SyntaxNode) {
        if let Some(respond) = statement.children().find_map(ast::Respond::cast) {
            self.diagnostics.push(errors::warnings::respond_on_allow(self.tree.span(respond.range())));
        }
    }

    pub(super) fn matched(&mut self, node: &ast::Match) -> Option<Matched> {
        let mut methods = BTreeSet::new();
        for token in node.methods() {
            let method = token.text();
            if let Some(near) = near_method(method) {
                let span = self.tree.span(token.text_range());
                self.diagnostics.push(errors::warnings::unknown_method(span, method, near));
            }
            methods.insert(method.to_owned());
        }
        let patterns = pattern::check(node.paths(), self.tree, self.diagnostics);
        let peers = peer::check(node.peers(), self.tree, self.diagnostics);
        let (paths, captures) = patterns?;
        Some(Matched { guard: Guard { methods, paths, peers: peers?, condition: None }, captures })
    }

    pub(super) fn respond(&mut self, node: &ast::Respond) -> Option<Respond> {
        let status = self.status(&node.status()?)?;
        let body = node.body().map(|token| literal::string(token.text())).unwrap_or_default();
        if let Some(token) = node.body().filter(|_| body.len() > BODY_BYTES_MAX) {
            self.diagnostics.push(errors::body_too_long(self.tree.span(token.text_range()), body.len()));
            return None;
        }
        Some(Respond { status, body })
    }

    /// The status of an answer to a request that is not let pass.
    pub(super) fn status(&mut self, token: &SyntaxToken) -> Option<u16> {
        let status = literal::int(token.text())?;
        if !STATUSES.contains(&status) {
            self.diagnostics.push(errors::bad_status(self.tree.span(token.text_range()), status));
            return None;
        }
        u16::try_from(status).ok()
    }

    /// `policy/effect-hhhhhh`, with the digest of the statement's tokens with one space between.
    fn derived_id(&self, effect: &str, node: &SyntaxNode) -> String {
        let tokens = node.descendants_with_tokens().filter_map(|element| element.into_token());
        let words: Vec<String> =
            tokens.filter(|token| !token.kind().is_trivia()).map(|token| token.text().to_owned()).collect();
        let digest = Sha256::digest(words.join(" ").as_bytes());
        let hex: String = digest.iter().take(DIGEST_BYTES).map(|byte| format!("{byte:02x}")).collect();
        format!("{}/{effect}-{hex}", self.policy)
    }
}
