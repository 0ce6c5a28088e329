//! The statements of `traffic` policies.

use super::auth::{Condition, Match, Respond};
use super::expr::Expr;
use super::{AstNode, Children, StatementNode, child, children, keyword, token, token_after, tokens};
use crate::syntax::{SyntaxKind, SyntaxNode, SyntaxToken};

/// `[NAME:] limit RATE …`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Limit(SyntaxNode);

impl Limit {
    /// The statement as a limit, if it is one.
    #[must_use]
    pub fn of(statement: &StatementNode) -> Option<Self> {
        (statement.keyword()?.text() == "limit").then(|| Self(statement.syntax().clone()))
    }

    /// The node itself.
    #[must_use]
    pub fn syntax(&self) -> &SyntaxNode {
        &self.0
    }

    /// Its name, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<SyntaxToken> {
        tokens(&self.0).next().filter(|token| token.kind() == SyntaxKind::Name)
    }

    /// The rate: a token such as `100/s`.
    #[must_use]
    pub fn rate(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Rate)
    }

    /// How many requests may come at once: a number token.
    #[must_use]
    pub fn burst(&self) -> Option<SyntaxToken> {
        token_after(&self.0, "burst", SyntaxKind::Int)
    }

    /// By what requests are told apart.
    pub fn keys(&self) -> impl Iterator<Item = Expr> + use<> {
        self.0.children().filter_map(Expr::cast)
    }

    /// The word `shared`, if it is there.
    #[must_use]
    pub fn shared(&self) -> Option<SyntaxToken> {
        keyword(&self.0, "shared")
    }

    /// Which requests it counts, if that is said.
    #[must_use]
    pub fn matcher(&self) -> Option<Match> {
        child(&self.0)
    }

    /// Its `when` and `unless`, all of which must hold.
    pub fn conditions(&self) -> Children<Condition> {
        children(&self.0)
    }

    /// Its answer.
    #[must_use]
    pub fn respond(&self) -> Option<Respond> {
        child(&self.0)
    }
}
