//! The syntax tree: every byte of a source file in a tree, whether or not the text is right.
//!
//! A [`SyntaxTree`] is lossless: its text is the input, comments and errors included, so the printer
//! and the tools work on it. The typed view that the checker reads is [`ast`]; there every part is
//! optional, because a tree exists also for text that is not complete. Where a part is missing, the
//! parser has already said so.

pub mod ast;
mod kind;

pub use kind::SyntaxKind;

use crate::source::{FileId, Span};
use rowan::{GreenNode, TextRange};
use std::fmt::Write as _;

/// Ties the tree library to the kinds of Writ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Writ {}

impl rowan::Language for Writ {
    type Kind = SyntaxKind;

    fn kind_from_raw(raw: rowan::SyntaxKind) -> SyntaxKind {
        SyntaxKind::ALL.get(usize::from(raw.0)).copied().unwrap_or(SyntaxKind::Error)
    }

    fn kind_to_raw(kind: SyntaxKind) -> rowan::SyntaxKind {
        kind.into()
    }
}

/// A node: a kind and children.
pub type SyntaxNode = rowan::SyntaxNode<Writ>;
/// A token: a kind and its text.
pub type SyntaxToken = rowan::SyntaxToken<Writ>;
/// A node or a token.
pub type SyntaxElement = rowan::SyntaxElement<Writ>;

/// The tree of one file. Cheap to clone, and can be sent between threads (its nodes cannot).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxTree {
    file: FileId,
    root: GreenNode,
}

impl SyntaxTree {
    pub(crate) fn new(file: FileId, root: GreenNode) -> Self {
        Self { file, root }
    }

    /// Which file it is the tree of.
    #[must_use]
    pub fn file_id(&self) -> FileId {
        self.file
    }

    /// The root node.
    #[must_use]
    pub fn root(&self) -> SyntaxNode {
        SyntaxNode::new_root(self.root.clone())
    }

    /// The root as a file, for a tree that [`crate::parse::parse`] made.
    #[must_use]
    pub fn file(&self) -> Option<ast::File> {
        ast::AstNode::cast(self.root())
    }

    /// The place of a node or token of this tree, as diagnostics want it.
    #[must_use]
    pub fn span(&self, range: TextRange) -> Span {
        Span { file: self.file, start: range.start().into(), end: range.end().into() }
    }

    /// The text form (`--emit tree`): a line for each node and token, indented by depth, white
    /// space left out.
    #[must_use]
    pub fn dump(&self) -> String {
        let mut out = String::new();
        let mut depth = 0;
        for event in self.root().preorder_with_tokens() {
            match event {
                rowan::WalkEvent::Enter(element) => {
                    if element.kind() != SyntaxKind::Whitespace {
                        dump_element(&mut out, depth, &element);
                    }
                    depth += 1;
                }
                rowan::WalkEvent::Leave(_) => depth -= 1,
            }
        }
        out
    }
}

fn dump_element(out: &mut String, depth: usize, element: &SyntaxElement) {
    let range = element.text_range();
    let (start, end) = (u32::from(range.start()), u32::from(range.end()));
    // Writing to a string does not fail.
    let _ = write!(out, "{:width$}{:?} {start}..{end}", "", element.kind(), width = depth * 2);
    if let Some(token) = element.as_token() {
        let _ = write!(out, " {:?}", token.text());
    }
    out.push('\n');
}
