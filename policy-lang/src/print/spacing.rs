//! What stands between two tokens, by the nodes that they are in.

use super::pieces::Gap;
use crate::syntax::{SyntaxKind, SyntaxToken};

/// Whether a node of this kind has a block, with lines of its own.
fn has_block(kind: SyntaxKind) -> bool {
    has_statements(kind) || matches!(kind, SyntaxKind::SchemaJwt | SyntaxKind::SchemaApiKey)
}

/// Whether the nodes in the block of a node of this kind are statements.
pub(super) fn has_statements(kind: SyntaxKind) -> bool {
    matches!(kind, SyntaxKind::Policy | SyntaxKind::Test | SyntaxKind::Schema | SyntaxKind::Prove)
}

/// Whether a node of this kind begins a line in a statement that does not fit one.
pub(super) fn is_clause(kind: SyntaxKind) -> bool {
    matches!(kind, SyntaxKind::Condition | SyntaxKind::Respond | SyntaxKind::With)
}

/// Whether it is the brace that opens the block of its node: the first one.
pub(super) fn opens_block(token: &SyntaxToken) -> bool {
    token.kind() == SyntaxKind::LeftBrace && is_outermost(token, rowan::Direction::Prev)
}

/// Whether it is the brace that closes the block of its node: the last one.
pub(super) fn closes_block(token: &SyntaxToken) -> bool {
    token.kind() == SyntaxKind::RightBrace && is_outermost(token, rowan::Direction::Next)
}

fn is_outermost(token: &SyntaxToken, direction: rowan::Direction) -> bool {
    token.parent().is_some_and(|parent| has_block(parent.kind()))
        && token.siblings_with_tokens(direction).skip(1).all(|sibling| sibling.kind() != token.kind())
}

/// Whether it is a keyword that has a line of its own in the blocks of `jwt` and `apikey`.
pub(super) fn begins_line(token: &SyntaxToken) -> bool {
    token.kind() == SyntaxKind::Keyword
        && parent_kind(token).is_some_and(|kind| has_block(kind) && !has_statements(kind))
}

/// Whether it is the colon behind the name of a statement.
pub(super) fn ends_label(token: &SyntaxToken) -> bool {
    token.kind() == SyntaxKind::Colon
        && matches!(parent_kind(token), Some(SyntaxKind::Rule | SyntaxKind::Statement))
}

/// Whether it is the `expect` of a `given`.
pub(super) fn begins_expectations(token: &SyntaxToken) -> bool {
    token.text() == "expect"
        && token.kind() == SyntaxKind::Keyword
        && parent_kind(token) == Some(SyntaxKind::Given)
}

fn parent_kind(token: &SyntaxToken) -> Option<SyntaxKind> {
    token.parent().map(|parent| parent.kind())
}

/// What stands between two tokens that no line break parts.
pub(super) fn between(last: &SyntaxToken, next: &SyntaxToken) -> Gap {
    let (last_in, next_in) = (parent_kind(last), parent_kind(next));
    if last_in == Some(SyntaxKind::Error) || next_in == Some(SyntaxKind::Error) {
        // What is not understood keeps its spaces, for they may matter.
        return if last.text_range().end() == next.text_range().start() { Gap::None } else { Gap::Space };
    }
    if touches_next(last, last_in) || touches_last(next, next_in) {
        return Gap::None;
    }
    if last.kind() == SyntaxKind::Comma || matches!(next.kind(), SyntaxKind::And | SyntaxKind::Or) {
        return Gap::Fill;
    }
    let is_clause_word = next.kind() == SyntaxKind::Keyword
        && matches!(
            (next.text(), next_in),
            ("from", Some(SyntaxKind::Match | SyntaxKind::Request)) | ("for", Some(SyntaxKind::Statement))
        );
    // Of `cors`: elsewhere no keyword in a statement is one of these.
    let is_list_word = next.kind() == SyntaxKind::Keyword
        && next_in == Some(SyntaxKind::Statement)
        && matches!(next.text(), "methods" | "headers" | "expose" | "credentials" | "age");
    let is_clause =
        is_clause_word || is_list_word || begins_expectations(next) || next.kind() == SyntaxKind::Arrow;
    if is_clause { Gap::Clause } else { Gap::Space }
}

/// Whether a token has no space behind it.
fn touches_next(token: &SyntaxToken, inside: Option<SyntaxKind>) -> bool {
    match token.kind() {
        SyntaxKind::LeftParen | SyntaxKind::LeftBracket | SyntaxKind::Dot | SyntaxKind::At => true,
        SyntaxKind::LeftBrace => inside == Some(SyntaxKind::MapExpr),
        SyntaxKind::Slash => matches!(inside, Some(SyntaxKind::Ref | SyntaxKind::RuleName)),
        SyntaxKind::Not | SyntaxKind::Minus => inside == Some(SyntaxKind::UnaryExpr),
        SyntaxKind::Less => inside == Some(SyntaxKind::TypeName),
        SyntaxKind::Colon => inside == Some(SyntaxKind::Target),
        _ => false,
    }
}

/// Whether a token has no space before it.
fn touches_last(token: &SyntaxToken, inside: Option<SyntaxKind>) -> bool {
    match token.kind() {
        SyntaxKind::RightParen
        | SyntaxKind::RightBracket
        | SyntaxKind::Comma
        | SyntaxKind::Dot
        | SyntaxKind::At => true,
        SyntaxKind::RightBrace => inside == Some(SyntaxKind::MapExpr),
        SyntaxKind::LeftParen => matches!(inside, Some(SyntaxKind::Arguments | SyntaxKind::TypeName)),
        SyntaxKind::LeftBracket => inside == Some(SyntaxKind::IndexExpr),
        SyntaxKind::Slash => matches!(inside, Some(SyntaxKind::Ref | SyntaxKind::RuleName)),
        SyntaxKind::Less | SyntaxKind::Greater => inside == Some(SyntaxKind::TypeName),
        SyntaxKind::Colon => inside != Some(SyntaxKind::ConditionalExpr),
        _ => false,
    }
}
