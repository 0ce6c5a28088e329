//! The printer: the one layout of Writ (`chancery fmt`).
//!
//! It changes white space only: all tokens and comments stay, in order, and what is printed prints as
//! itself. One statement a line, two spaces a block; items are set apart by an empty line, and an empty
//! line between statements stays (several become one). In statements that follow each other, what is behind
//! the names of rules stands in one column, and so do the `expect`s of tests. A statement longer than
//! [`LINE_WIDTH_MAX`] is broken before its clauses, and where that is not enough behind commas and before
//! `&&` and `||`.
//!
//! ```text
//! tree --pieces--> tokens with what may stand before each --layout--> text
//!        spacing: the space between two tokens of one line
//! ```

mod layout;
mod pieces;
mod spacing;

use crate::syntax::SyntaxTree;

/// How many characters a line should have at most.
pub const LINE_WIDTH_MAX: usize = 100;
/// Spaces of indentation of a block.
const BLOCK_INDENT: usize = 2;
/// Further spaces of indentation of the lines of a broken statement.
const BROKEN_INDENT: usize = 4;

/// The text of a tree in the one layout. The tree should be of text in which nothing is wrong; of
/// other text no token is lost either, but its layout may be odd.
#[must_use]
pub fn print(tree: &SyntaxTree) -> String {
    layout::lay_out(&pieces::pieces(&tree.root()))
}
