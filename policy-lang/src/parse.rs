//! The parser: text to a lossless tree, whatever the text, and what is wrong with it.
//!
//! Recursive descent by hand; each function is a production of the grammar in `docs/language.md`, and
//! binary operators are parsed by precedence. After a mistake the parser goes on at the next statement
//! or item, so that one run tells of several mistakes; a misspelt keyword is taken for the word that it
//! is near to. The depth of expressions is limited ([`EXPRESSION_DEPTH_MAX`]), so that neither this nor
//! a later stage runs out of stack.
//!
//! ```text
//! items    the file: use, let, policies, proofs, targets
//! schema   schemas and types
//! auth     the statements of auth policies, and matches and peers, which all statements use
//! traffic  the statements of the other kinds of policies
//! tests    test blocks and requests
//! expr     expressions
//! json     the configuration of filters
//! foreign  files of other languages, which are answered with one error
//! parser   the machine below: tokens in, tree out
//! wishes   what could stand at the end of a text, for editors
//! ```

mod auth;
mod errors;
mod expr;
mod foreign;
mod items;
mod json;
mod parser;
mod schema;
mod sink;
mod tests;
mod traffic;
mod wishes;

pub use wishes::Wish;

use crate::diagnostic::Diagnostic;
use crate::source::FileId;
use crate::syntax::ast::{self, AstNode};
use crate::syntax::{SyntaxKind, SyntaxTree};
use parser::Parser;
use std::collections::BTreeSet;

/// How deep an expression may be, counting parentheses, operators, and calls in chains.
pub const EXPRESSION_DEPTH_MAX: u32 = 128;

/// How many mistakes of a file are told: who has more will not read them all, and to show one costs time.
pub const DIAGNOSTICS_MAX: usize = 100;

/// A tree and what is wrong with the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The tree; its text is the input.
    pub tree: SyntaxTree,
    /// What is wrong, in the order of the text; the first [`DIAGNOSTICS_MAX`].
    pub diagnostics: Vec<Diagnostic>,
}

/// Parses a file.
#[must_use]
pub fn parse(file: FileId, text: &str) -> Parsed {
    let mut parser = Parser::new(file, text);
    match foreign::recognise(file, text) {
        Some(diagnostic) => parser.give_up(diagnostic),
        None => parser.items(),
    }
    parser.finish()
}

/// What could stand behind this beginning of a file.
#[must_use]
pub fn wishes(text: &str) -> BTreeSet<Wish> {
    let mut parser = Parser::new(FileId::default(), text).wishing();
    if foreign::recognise(FileId::default(), text).is_none() {
        parser.items();
    }
    parser.wishes().into_set()
}

/// Parses a request alone, such as `GET /api/x from service shop/cart`, as in a `given` of a test.
/// A path goes up to the next white space here, and `#` begins no comment. [`Parsed::request`] gives it.
#[must_use]
pub fn parse_request(file: FileId, text: &str) -> Parsed {
    let mut parser = Parser::of_request(file, text);
    parser.request();
    parser.expect_end("`from`, `with` or the end");
    parser.finish()
}

/// Parses a target alone, such as `service shop/orders`, as behind `on`. [`Parsed::target`] gives it.
#[must_use]
pub fn parse_target(file: FileId, text: &str) -> Parsed {
    let mut parser = Parser::new(file, text);
    parser.target();
    parser.expect_end("the end");
    parser.finish()
}

impl Parsed {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// The request that [`parse_request`] read.
    #[must_use]
    pub fn request(&self) -> Option<ast::Request> {
        self.tree.root().children().find_map(ast::Request::cast)
    }

    /// The target that [`parse_target`] read.
    #[must_use]
    pub fn target(&self) -> Option<ast::Target> {
        self.tree.root().children().find_map(ast::Target::cast)
    }
}

/// The kind of the root of every tree.
const ROOT: SyntaxKind = SyntaxKind::File;
