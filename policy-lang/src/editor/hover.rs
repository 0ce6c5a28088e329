//! What a word means.

use super::define::definition_of;
use super::symbol::{token_at, tree_of};
use super::words::{self, Word};
use crate::syntax::ast::{self, AstNode};
use crate::syntax::{SyntaxKind, SyntaxNode, SyntaxToken, SyntaxTree};
use crate::{FileId, Span};

/// How much of what gives a name its meaning is shown, in characters.
const SHOWN_MAX: usize = 600;

/// What is said of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hover {
    /// The word.
    pub span: Span,
    /// What it means, as Markdown.
    pub text: String,
}

/// What the word at a place means: a keyword, an attribute, a function, or a name, of which the text is shown that gives
/// it its meaning.
#[must_use]
pub fn hover(trees: &[SyntaxTree], file: FileId, offset: u32) -> Option<Hover> {
    let tree = tree_of(trees, file)?;
    let token = token_at(tree, offset)?;
    let span = tree.span(token.text_range());
    if let Some(word) = word_of(&token) {
        return Some(Hover { span, text: described(word) });
    }
    let node = definition_of(trees, tree, &token)?.node?;
    Some(Hover { span, text: quoted(&excerpt(&node)) })
}

/// The word of the language that a token is.
fn word_of(token: &SyntaxToken) -> Option<Word> {
    let parent = token.parent()?;
    match (token.kind(), parent.kind()) {
        (SyntaxKind::Keyword, _) => words::keyword(token.text()),
        (SyntaxKind::Name, SyntaxKind::NameExpr) => words::attribute(token.text()),
        (SyntaxKind::Name, SyntaxKind::FieldExpr) => {
            let base = ast::FieldExpr::cast(parent)?.base()?;
            let ast::Expr::Name(root) = base else { return None };
            words::attribute(&format!("{}.{}", root.name()?.text(), token.text()))
        }
        (SyntaxKind::Name, SyntaxKind::CallExpr) => words::function(token.text()),
        _ => None,
    }
}

/// A word with its form, as Markdown.
pub(super) fn described(word: Word) -> String {
    let is_type = word.form.chars().all(|character| character.is_ascii_alphabetic() || character == '?');
    let form = match word.form {
        "" => word.name.to_owned(),
        form if is_type && form != word.name => format!("{}: {form}", word.name),
        form => form.to_owned(),
    };
    format!("{}\n\n{}", quoted(&form), word.says)
}

fn quoted(text: &str) -> String {
    format!("```writ\n{text}\n```")
}

/// The text of what gives a name its meaning; of a long one, the beginning.
fn excerpt(node: &SyntaxNode) -> String {
    let text = node.text().to_string();
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{} ...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
