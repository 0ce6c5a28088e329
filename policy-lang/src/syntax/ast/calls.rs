//! The statements of `traffic` policies that callers' sidecars carry out: routes, redirects, rewrites, mirrors,
//! timeouts, retries and faults.

use super::auth::{Condition, Match};
use super::items::Ref;
use super::{
    AstNode, Children, StatementNode, child, children, keyword, node, token, token_after, tokens, tokens_of,
};
use crate::syntax::{SyntaxKind, SyntaxNode, SyntaxToken};

node! {
    /// `service NAMESPACE/NAME [@VERSION] [SHARE]`.
    Destination
}

/// One of these statements.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    node: SyntaxNode,
    kind: CallKind,
}

/// Which of these statements it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallKind {
    /// `[NAME:] route … -> DESTINATIONS`
    Route,
    /// `[NAME:] redirect … -> "location" [STATUS]`
    Redirect,
    /// `[NAME:] rewrite … -> /path`
    Rewrite,
    /// `mirror SHARE -> DESTINATION …`
    Mirror,
    /// `timeout [at_most] DURATION …`
    Timeout,
    /// `retry TIMES on CAUSES [each DURATION] [backoff DURATION] …`
    Retry,
    /// `[NAME:] fault SHARE delay DURATION|abort STATUS …`
    Fault,
}

impl Call {
    /// The statement as one of these, if it is one.
    #[must_use]
    pub fn of(statement: &StatementNode) -> Option<Self> {
        let kind = match statement.keyword()?.text() {
            "route" => CallKind::Route,
            "redirect" => CallKind::Redirect,
            "rewrite" => CallKind::Rewrite,
            "mirror" => CallKind::Mirror,
            "timeout" => CallKind::Timeout,
            "retry" => CallKind::Retry,
            "fault" => CallKind::Fault,
            _ => return None,
        };
        Some(Self { node: statement.syntax().clone(), kind })
    }

    /// The node itself.
    #[must_use]
    pub fn syntax(&self) -> &SyntaxNode {
        &self.node
    }

    /// Which statement it is.
    #[must_use]
    pub fn kind(&self) -> CallKind {
        self.kind
    }

    /// Its name, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<SyntaxToken> {
        tokens(&self.node).next().filter(|token| token.kind() == SyntaxKind::Name)
    }

    /// Of which requests it speaks, if that is said.
    #[must_use]
    pub fn matcher(&self) -> Option<Match> {
        child(&self.node)
    }

    /// Its `when` and `unless`, all of which must hold.
    pub fn conditions(&self) -> Children<Condition> {
        children(&self.node)
    }

    /// Where the requests of a route or mirror go.
    pub fn destinations(&self) -> Children<Destination> {
        children(&self.node)
    }

    /// Where a redirect leads, a string token, or the path of a rewrite, a path token.
    #[must_use]
    pub fn template(&self) -> Option<SyntaxToken> {
        tokens(&self.node).find(|token| matches!(token.kind(), SyntaxKind::String | SyntaxKind::Path))
    }

    /// The number of a redirect (its status) or of a retry (how often): a number token.
    #[must_use]
    pub fn number(&self) -> Option<SyntaxToken> {
        token(&self.node, SyntaxKind::Int)
    }

    /// The share of a mirror or fault: a percentage token.
    #[must_use]
    pub fn share(&self) -> Option<SyntaxToken> {
        token(&self.node, SyntaxKind::Percent)
    }

    /// The duration of a timeout: a duration token.
    #[must_use]
    pub fn duration(&self) -> Option<SyntaxToken> {
        token(&self.node, SyntaxKind::Duration)
    }

    /// The word `at_most` of a timeout, if it is there.
    #[must_use]
    pub fn at_most(&self) -> Option<SyntaxToken> {
        keyword(&self.node, "at_most")
    }

    /// On what a retry tries again: name tokens.
    pub fn causes(&self) -> impl Iterator<Item = SyntaxToken> + use<> {
        tokens_of(&self.node, SyntaxKind::Name)
    }

    /// How long one try of a retry may take: a duration token.
    #[must_use]
    pub fn each(&self) -> Option<SyntaxToken> {
        token_after(&self.node, "each", SyntaxKind::Duration)
    }

    /// The pause before the first retry: a duration token.
    #[must_use]
    pub fn backoff(&self) -> Option<SyntaxToken> {
        token_after(&self.node, "backoff", SyntaxKind::Duration)
    }

    /// How long a fault delays: a duration token.
    #[must_use]
    pub fn delay(&self) -> Option<SyntaxToken> {
        token_after(&self.node, "delay", SyntaxKind::Duration)
    }

    /// With what a fault aborts: a number token.
    #[must_use]
    pub fn abort(&self) -> Option<SyntaxToken> {
        token_after(&self.node, "abort", SyntaxKind::Int)
    }
}

impl Destination {
    /// The service.
    #[must_use]
    pub fn service(&self) -> Option<Ref> {
        child(&self.0)
    }

    /// The version of it: a name token.
    #[must_use]
    pub fn version(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Name)
    }

    /// Its share of the requests: a percentage token.
    #[must_use]
    pub fn share(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Percent)
    }
}

/// A statement of how callers treat the replicas of a service as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Setting {
    node: SyntaxNode,
    kind: SettingKind,
}

/// Which of these statements it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SettingKind {
    /// `connections at_most N [pending N] [requests N] [retries SHARE]`
    Connections,
    /// `eject after N errors for DURATION [at_most SHARE]`
    Eject,
    /// `health METHOD /path every DURATION [timeout DURATION] [fall N] [rise N]`
    Health,
    /// `balance WAY [by KEY]`
    Balance,
}

impl Setting {
    /// The statement as one of these, if it is one.
    #[must_use]
    pub fn of(statement: &StatementNode) -> Option<Self> {
        let kind = match statement.keyword()?.text() {
            "connections" => SettingKind::Connections,
            "eject" => SettingKind::Eject,
            "health" => SettingKind::Health,
            "balance" => SettingKind::Balance,
            _ => return None,
        };
        Some(Self { node: statement.syntax().clone(), kind })
    }

    /// The node itself.
    #[must_use]
    pub fn syntax(&self) -> &SyntaxNode {
        &self.node
    }

    /// Which statement it is.
    #[must_use]
    pub fn kind(&self) -> SettingKind {
        self.kind
    }

    /// The number behind a word: a number token.
    #[must_use]
    pub fn number_after(&self, word: &str) -> Option<SyntaxToken> {
        token_after(&self.node, word, SyntaxKind::Int)
    }

    /// The duration behind a word: a duration token.
    #[must_use]
    pub fn duration_after(&self, word: &str) -> Option<SyntaxToken> {
        token_after(&self.node, word, SyntaxKind::Duration)
    }

    /// The share behind a word: a percentage token.
    #[must_use]
    pub fn share_after(&self, word: &str) -> Option<SyntaxToken> {
        token_after(&self.node, word, SyntaxKind::Percent)
    }

    /// The method of a health check.
    #[must_use]
    pub fn method(&self) -> Option<SyntaxToken> {
        token(&self.node, SyntaxKind::Method)
    }

    /// The path of a health check.
    #[must_use]
    pub fn path(&self) -> Option<SyntaxToken> {
        token(&self.node, SyntaxKind::Path)
    }

    /// How load is balanced: a keyword.
    #[must_use]
    pub fn way(&self) -> Option<SyntaxToken> {
        tokens_of(&self.node, SyntaxKind::Keyword).nth(1)
    }

    /// By what load is balanced.
    #[must_use]
    pub fn key(&self) -> Option<super::expr::Expr> {
        self.node.children().find_map(super::expr::Expr::cast)
    }
}
