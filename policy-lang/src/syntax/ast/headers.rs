//! Operations on headers: statements of `traffic` policies.

use super::auth::{Condition, Match};
use super::expr::Expr;
use super::{AstNode, Children, StatementNode, child, children, keyword, tokens};
use crate::syntax::{SyntaxKind, SyntaxNode, SyntaxToken};

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HeaderVerb {
    /// `set`
    Set,
    /// `add`
    Add,
    /// `remove`
    Remove,
}

/// `[NAME:] set|add|remove request|response header NAME [= EXPRESSION] …`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeaderOperation(SyntaxNode, HeaderVerb);

impl HeaderOperation {
    /// The statement as an operation on a header, if it is one.
    #[must_use]
    pub fn of(statement: &StatementNode) -> Option<Self> {
        let verb = match statement.keyword()?.text() {
            "set" => HeaderVerb::Set,
            "add" => HeaderVerb::Add,
            "remove" => HeaderVerb::Remove,
            _ => return None,
        };
        Some(Self(statement.syntax().clone(), verb))
    }

    /// The node itself.
    #[must_use]
    pub fn syntax(&self) -> &SyntaxNode {
        &self.0
    }

    /// Its name, if it has one.
    #[must_use]
    pub fn label(&self) -> Option<SyntaxToken> {
        tokens(&self.0).next().filter(|token| token.kind() == SyntaxKind::Name)
    }

    /// What it does.
    #[must_use]
    pub fn verb(&self) -> HeaderVerb {
        self.1
    }

    /// Whether it is about the answer; else it is about the request.
    #[must_use]
    pub fn is_of_response(&self) -> bool {
        keyword(&self.0, "response").is_some()
    }

    /// The header's name: a name, or a string with its quotes.
    #[must_use]
    pub fn header(&self) -> Option<SyntaxToken> {
        let is_header = |token: &SyntaxToken| token.kind() == SyntaxKind::Keyword && token.text() == "header";
        let name = tokens(&self.0).skip_while(|token| !is_header(token)).nth(1)?;
        matches!(name.kind(), SyntaxKind::Name | SyntaxKind::String).then_some(name)
    }

    /// What it makes of the header.
    #[must_use]
    pub fn value(&self) -> Option<Expr> {
        self.0.children().find_map(Expr::cast)
    }

    /// For which requests, if that is said.
    #[must_use]
    pub fn matcher(&self) -> Option<Match> {
        child(&self.0)
    }

    /// Its `when` and `unless`, all of which must hold.
    pub fn conditions(&self) -> Children<Condition> {
        children(&self.0)
    }
}
