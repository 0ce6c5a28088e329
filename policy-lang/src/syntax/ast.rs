//! The typed view of a syntax tree: one type a node kind, one method a part.
//!
//! Parts of a node are `Option`s or iterators: a tree exists for any text. Names and literals are
//! given as tokens, whose text and range are at hand; [`literal`](crate::lex::literal) gives the
//! values of literals. Keywords that choose among forms come as enums.

mod auth;
mod calls;
mod cors;
mod expr;
mod filter;
mod headers;
mod items;
mod log;
mod sink;
mod test_block;
mod traffic;

pub use auth::{Condition, Exempt, Match, Otherwise, Peer, PeerKind, Plaintext, Respond, Rule, RuleEffect};
pub use calls::{Call, CallKind, Destination, Setting, SettingKind};
pub use cors::Cors;
pub use expr::{
    Arguments, BinaryExpr, BinaryOperator, CallExpr, ConditionalExpr, Expr, FieldExpr, IndexExpr, ListExpr,
    LiteralExpr, LiteralValue, MapEntry, MapExpr, NameExpr, ParenExpr, UnaryExpr, UnaryOperator,
};
pub use filter::{Attach, FilterConfig, FilterPhase, FilterStatement, May, OnFailure};
pub use headers::{HeaderOperation, HeaderVerb};
pub use items::{
    Field, File, Item, Label, Let, Mode, ModeKind, Policy, PolicyKind, Prove, Ref, Schema, SchemaApiKey,
    SchemaHeader, SchemaJwt, Statement, StatementNode, Target, TargetKind, TypeKind, TypeName, Use,
};
pub use log::{Fields, LogStatement, Redact, Sample, Send};
pub use test_block::{Expect, ExpectKind, Given, Request, RuleName, Test, With, WithKind};
pub use traffic::Limit;

use super::{SyntaxKind, SyntaxNode, SyntaxToken, Writ};
use rowan::TextRange;

/// A typed node.
pub trait AstNode: Sized {
    /// The node as this type, if it is of its kind.
    fn cast(node: SyntaxNode) -> Option<Self>;

    /// The node itself.
    fn syntax(&self) -> &SyntaxNode;

    /// Where it stands, without white space around it.
    fn range(&self) -> TextRange {
        self.syntax().text_range()
    }
}

/// The child nodes of a type.
pub type Children<T> = std::iter::FilterMap<rowan::SyntaxNodeChildren<Writ>, fn(SyntaxNode) -> Option<T>>;

/// Defines a typed node for a kind.
macro_rules! node {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub struct $name($crate::syntax::SyntaxNode);

        impl $crate::syntax::ast::AstNode for $name {
            fn cast(node: $crate::syntax::SyntaxNode) -> Option<Self> {
                (node.kind() == $crate::syntax::SyntaxKind::$name).then_some(Self(node))
            }

            fn syntax(&self) -> &$crate::syntax::SyntaxNode {
                &self.0
            }
        }
    };
}
use node;

/// The first child node of a type.
fn child<T: AstNode>(node: &SyntaxNode) -> Option<T> {
    node.children().find_map(T::cast)
}

/// All child nodes of a type.
fn children<T: AstNode>(node: &SyntaxNode) -> Children<T> {
    node.children().filter_map(T::cast as fn(SyntaxNode) -> Option<T>)
}

/// The tokens that are direct children of a node, without trivia.
fn tokens(node: &SyntaxNode) -> impl Iterator<Item = SyntaxToken> + use<> {
    node.children_with_tokens()
        .filter_map(|element| element.into_token())
        .filter(|token| !token.kind().is_trivia())
}

/// The direct child tokens of a kind.
fn tokens_of(node: &SyntaxNode, kind: SyntaxKind) -> impl Iterator<Item = SyntaxToken> + use<> {
    tokens(node).filter(move |token| token.kind() == kind)
}

/// The first direct child token of a kind.
fn token(node: &SyntaxNode, kind: SyntaxKind) -> Option<SyntaxToken> {
    tokens_of(node, kind).next()
}

/// The direct child keyword with this text.
fn keyword(node: &SyntaxNode, text: &str) -> Option<SyntaxToken> {
    tokens_of(node, SyntaxKind::Keyword).find(|token| token.text() == text)
}

/// The first token of a kind behind the keyword with this text, with nothing but tokens of other
/// kinds between.
fn token_after(node: &SyntaxNode, text: &str, kind: SyntaxKind) -> Option<SyntaxToken> {
    tokens(node)
        .skip_while(|token| !(token.kind() == SyntaxKind::Keyword && token.text() == text))
        .find(|token| token.kind() == kind)
}
