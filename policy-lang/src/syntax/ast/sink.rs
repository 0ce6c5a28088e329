//! The statements of `sink` items.

use super::{StatementNode, token};
use crate::syntax::{SyntaxKind, SyntaxToken};

impl StatementNode {
    /// The string behind the word of a sink's place: the name of a file, an address.
    #[must_use]
    pub fn text(&self) -> Option<SyntaxToken> {
        token(super::AstNode::syntax(self), SyntaxKind::String)
    }
}
