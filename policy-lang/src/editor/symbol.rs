//! The word at a place, and what else in the files has a name.

use crate::syntax::ast::{AstNode, Policy, PolicyKind};
use crate::syntax::{SyntaxKind, SyntaxNode, SyntaxToken, SyntaxTree};
use crate::{FileId, Span};
use rowan::{TextRange, TextSize};

/// The tree of a file.
pub(super) fn tree_of(trees: &[SyntaxTree], file: FileId) -> Option<&SyntaxTree> {
    trees.iter().find(|tree| tree.file_id() == file)
}

/// The token at a byte offset; between two tokens the one that is a word.
pub(super) fn token_at(tree: &SyntaxTree, offset: u32) -> Option<SyntaxToken> {
    let root = tree.root();
    let inside = TextSize::from(offset).min(root.text_range().end());
    root.token_at_offset(inside).max_by_key(|token| match token.kind() {
        SyntaxKind::Name | SyntaxKind::Keyword | SyntaxKind::Method => 2,
        kind if kind.is_trivia() => 0,
        _ => 1,
    })
}

/// The nearest node around a token that is of this kind.
pub(super) fn around(token: &SyntaxToken, kind: SyntaxKind) -> Option<SyntaxNode> {
    token.parent_ancestors().find(|node| node.kind() == kind)
}

/// The policies of all files, each with the tree that it is in.
pub(super) fn policies(trees: &[SyntaxTree]) -> impl Iterator<Item = (&SyntaxTree, Policy)> {
    trees
        .iter()
        .flat_map(|tree| tree.root().children().filter_map(Policy::cast).map(move |policy| (tree, policy)))
}

/// Whether it is a sink, which tests cannot name.
pub(super) fn is_sink(policy: &Policy) -> bool {
    policy.kind() == Some(PolicyKind::Sink)
}

/// The statements of a policy that have a name, with the token that says it.
pub(super) fn named_statements(policy: &Policy) -> impl Iterator<Item = (SyntaxToken, SyntaxNode)> {
    policy.syntax().children().filter_map(|node| Some((label(&node)?, node)))
}

/// `NAME` of a statement that begins with `NAME:`.
fn label(statement: &SyntaxNode) -> Option<SyntaxToken> {
    let can_have_name = matches!(statement.kind(), SyntaxKind::Rule | SyntaxKind::Statement);
    let tokens = statement.children_with_tokens().filter_map(|element| element.into_token());
    let mut tokens = tokens.filter(|token| !token.kind().is_trivia());
    let name = tokens.next().filter(|token| can_have_name && token.kind() == SyntaxKind::Name)?;
    tokens.next().filter(|token| token.kind() == SyntaxKind::Colon).map(|_| name)
}

/// The captures in the paths of the statement around a token: each name, without its braces, and where it stands.
pub(super) fn captures(token: &SyntaxToken) -> Vec<(String, TextRange)> {
    let statement = token
        .parent_ancestors()
        .find(|node| matches!(node.kind(), SyntaxKind::Rule | SyntaxKind::Statement | SyntaxKind::Exempt));
    let paths = statement.into_iter().flat_map(|node| node.descendants_with_tokens());
    let paths =
        paths.filter_map(|element| element.into_token()).filter(|token| token.kind() == SyntaxKind::Path);
    paths.flat_map(|path| captures_of(&path)).collect()
}

fn captures_of(path: &SyntaxToken) -> Vec<(String, TextRange)> {
    let start = path.text_range().start();
    let text = path.text();
    let opened = text.match_indices('{').filter_map(|(at, _)| {
        let (name, _) = text.get(at + 1..)?.split_once('}')?;
        let from = start + TextSize::try_from(at + 1).ok()?;
        Some((name.to_owned(), TextRange::at(from, TextSize::of(name))))
    });
    opened.collect()
}

/// Where a token of a tree stands.
pub(super) fn place(tree: &SyntaxTree, token: &SyntaxToken) -> Span {
    tree.span(token.text_range())
}
