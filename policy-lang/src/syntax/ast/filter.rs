//! The statements of `filter` policies.

use super::{AstNode, MapExpr, Ref, StatementNode, child, keyword, token};
use crate::syntax::{SyntaxKind, SyntaxNode, SyntaxToken};

/// A statement of a `filter` policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FilterStatement {
    /// `use NAME STRING`
    Attach(Attach),
    /// `phase …`
    Phase(FilterPhase),
    /// `config JSON`
    Config(FilterConfig),
    /// `on failure …`
    Failure(OnFailure),
    /// `may …`
    May(May),
}

/// `use NAME STRING`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attach(SyntaxNode);

/// `phase before auth|after auth|last`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FilterPhase(SyntaxNode);

/// `config JSON`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FilterConfig(SyntaxNode);

/// `on failure deny|allow`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OnFailure(SyntaxNode);

/// `may call REF|read body|change body|share data`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct May(SyntaxNode);

impl FilterStatement {
    /// The statement as one of a `filter` policy, if it is one.
    #[must_use]
    pub fn of(statement: &StatementNode) -> Option<Self> {
        let node = statement.syntax().clone();
        match statement.keyword()?.text() {
            "use" => Some(Self::Attach(Attach(node))),
            "phase" => Some(Self::Phase(FilterPhase(node))),
            "config" => Some(Self::Config(FilterConfig(node))),
            "on" => Some(Self::Failure(OnFailure(node))),
            "may" => Some(Self::May(May(node))),
            _ => None,
        }
    }

    /// The node itself.
    #[must_use]
    pub fn syntax(&self) -> &SyntaxNode {
        match self {
            Self::Attach(Attach(node))
            | Self::Phase(FilterPhase(node))
            | Self::Config(FilterConfig(node))
            | Self::Failure(OnFailure(node))
            | Self::May(May(node)) => node,
        }
    }
}

impl Attach {
    /// The filter's name in the registry.
    #[must_use]
    pub fn filter(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Name)
    }

    /// Its version: a string token.
    #[must_use]
    pub fn version(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::String)
    }
}

impl FilterPhase {
    /// The word that says when: `before`, `after` or `last`.
    #[must_use]
    pub fn when(&self) -> Option<SyntaxToken> {
        ["before", "after", "last"].into_iter().find_map(|word| keyword(&self.0, word))
    }
}

impl FilterConfig {
    /// What the filter is told.
    #[must_use]
    pub fn value(&self) -> Option<MapExpr> {
        child(&self.0)
    }
}

impl OnFailure {
    /// `deny` or `allow`.
    #[must_use]
    pub fn effect(&self) -> Option<SyntaxToken> {
        keyword(&self.0, "deny").or_else(|| keyword(&self.0, "allow"))
    }
}

impl May {
    /// What is granted: `call`, `read`, `change` or `share`.
    #[must_use]
    pub fn what(&self) -> Option<SyntaxToken> {
        ["call", "read", "change", "share"].into_iter().find_map(|word| keyword(&self.0, word))
    }

    /// The service that may be called.
    #[must_use]
    pub fn service(&self) -> Option<Ref> {
        child(&self.0)
    }
}
