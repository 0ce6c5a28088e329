//! The statements of `log` policies.

use super::auth::{Condition, Match};
use super::expr::Expr;
use super::{AstNode, Children, StatementNode, child, children, keyword, token, token_after};
use crate::syntax::{SyntaxKind, SyntaxNode, SyntaxToken};

/// A statement of a `log` policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LogStatement {
    /// `sample PCT …`
    Sample(Sample),
    /// `fields EXPR [as NAME], …`
    Fields(Fields),
    /// `redact EXPR, … with HOW`
    Redact(Redact),
    /// `send to NAME`
    Send(Send),
}

/// `sample PCT [denied|allowed] [for MATCH] CONDITIONS`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sample(SyntaxNode);

/// `fields EXPR [as NAME], …`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fields(SyntaxNode);

/// `redact EXPR, … with hash|drop|mask`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Redact(SyntaxNode);

/// `send to NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Send(SyntaxNode);

impl LogStatement {
    /// The statement as one of a `log` policy, if it is one.
    #[must_use]
    pub fn of(statement: &StatementNode) -> Option<Self> {
        let node = statement.syntax().clone();
        match statement.keyword()?.text() {
            "sample" => Some(Self::Sample(Sample(node))),
            "fields" => Some(Self::Fields(Fields(node))),
            "redact" => Some(Self::Redact(Redact(node))),
            "send" => Some(Self::Send(Send(node))),
            _ => None,
        }
    }
}

impl Sample {
    /// The node itself.
    #[must_use]
    pub fn syntax(&self) -> &SyntaxNode {
        &self.0
    }

    /// The rate: a percentage token.
    #[must_use]
    pub fn rate(&self) -> Option<SyntaxToken> {
        token(&self.0, SyntaxKind::Percent)
    }

    /// The word `denied` or `allowed`, if one is there.
    #[must_use]
    pub fn outcome(&self) -> Option<SyntaxToken> {
        keyword(&self.0, "denied").or_else(|| keyword(&self.0, "allowed"))
    }

    /// Of which requests, if that is said.
    #[must_use]
    pub fn matcher(&self) -> Option<Match> {
        child(&self.0)
    }

    /// Its `when` and `unless`, all of which must hold.
    pub fn conditions(&self) -> Children<Condition> {
        children(&self.0)
    }
}

impl Fields {
    /// Each expression with the name that is given to it, if one is.
    #[must_use]
    pub fn fields(&self) -> Vec<(Expr, Option<SyntaxToken>)> {
        let mut fields: Vec<(Expr, Option<SyntaxToken>)> = Vec::new();
        for element in self.0.children_with_tokens() {
            match element {
                rowan::NodeOrToken::Node(node) => {
                    fields.extend(Expr::cast(node).map(|expr| (expr, None)));
                }
                rowan::NodeOrToken::Token(token) if token.kind() == SyntaxKind::Name => {
                    if let Some((_, name)) = fields.last_mut() {
                        *name = Some(token);
                    }
                }
                rowan::NodeOrToken::Token(_) => {}
            }
        }
        fields
    }
}

impl Redact {
    /// What is not to be seen in logs.
    pub fn sources(&self) -> impl Iterator<Item = Expr> + use<> {
        self.0.children().filter_map(Expr::cast)
    }

    /// The word that says what is seen instead.
    #[must_use]
    pub fn how(&self) -> Option<SyntaxToken> {
        ["hash", "drop", "mask"].into_iter().find_map(|word| keyword(&self.0, word))
    }
}

impl Send {
    /// The name of the sink.
    #[must_use]
    pub fn sink(&self) -> Option<SyntaxToken> {
        token_after(&self.0, "to", SyntaxKind::Name)
    }
}
