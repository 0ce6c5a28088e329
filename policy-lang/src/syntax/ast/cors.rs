//! `cors`: which pages of other origins may ask; a statement of `traffic` policies.

use super::{AstNode, StatementNode, keyword, token_after, tokens};
use crate::syntax::{SyntaxKind, SyntaxNode, SyntaxToken};

/// `[NAME:] cors origins … [methods …] [headers …] [expose …] [credentials] [age DURATION]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cors(SyntaxNode);

impl Cors {
    /// The statement as one about other origins, if it is one.
    #[must_use]
    pub fn of(statement: &StatementNode) -> Option<Self> {
        (statement.keyword()?.text() == "cors").then(|| Self(statement.syntax().clone()))
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

    /// The origins: string tokens.
    pub fn origins(&self) -> impl Iterator<Item = SyntaxToken> + use<> {
        self.list("origins")
    }

    /// The methods: name tokens.
    pub fn methods(&self) -> impl Iterator<Item = SyntaxToken> + use<> {
        self.list("methods")
    }

    /// The headers that requests may have: name or string tokens.
    pub fn headers(&self) -> impl Iterator<Item = SyntaxToken> + use<> {
        self.list("headers")
    }

    /// The headers of answers that pages may see: name or string tokens.
    pub fn exposed(&self) -> impl Iterator<Item = SyntaxToken> + use<> {
        self.list("expose")
    }

    /// The word `credentials`, if it is there.
    #[must_use]
    pub fn credentials(&self) -> Option<SyntaxToken> {
        keyword(&self.0, "credentials")
    }

    /// How long a browser may remember: a duration token.
    #[must_use]
    pub fn age(&self) -> Option<SyntaxToken> {
        token_after(&self.0, "age", SyntaxKind::Duration)
    }

    /// What stands between commas behind a keyword.
    fn list(&self, word: &'static str) -> impl Iterator<Item = SyntaxToken> + use<> {
        tokens(&self.0)
            .skip_while(move |token| !(token.kind() == SyntaxKind::Keyword && token.text() == word))
            .skip(1)
            .take_while(|token| token.kind() != SyntaxKind::Keyword)
            .filter(|token| token.kind() != SyntaxKind::Comma)
    }
}
