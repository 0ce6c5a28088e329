//! What a file has: policies with their named statements, tests, schemas and `let`s.

use super::symbol::named_statements;
use crate::Span;
use crate::syntax::ast::{AstNode, Item, Policy};
use crate::syntax::{SyntaxNode, SyntaxToken, SyntaxTree};

/// What an entry of an outline is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A policy, or a sink.
    Policy,
    /// A statement with a name.
    Statement,
    /// A test, or a proof.
    Test,
    /// A `let`.
    Let,
    /// A schema.
    Schema,
}

/// Something in a file that has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name or title.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// The keyword that it begins with, such as `auth`.
    pub keyword: String,
    /// All of it.
    pub span: Span,
    /// Its name.
    pub name_span: Span,
    /// What is in it.
    pub children: Vec<Entry>,
}

/// The items of a file in order.
#[must_use]
pub fn outline(tree: &SyntaxTree) -> Vec<Entry> {
    let items = tree.file().into_iter().flat_map(|file| file.items());
    items.filter_map(|item| entry(tree, item)).collect()
}

fn entry(tree: &SyntaxTree, item: Item) -> Option<Entry> {
    let make = |kind, keyword: &str, name: Option<SyntaxToken>, node: &SyntaxNode| {
        let span = tree.span(node.text_range());
        let name_span = name.as_ref().map_or(span, |name| tree.span(name.text_range()));
        let shown = name.as_ref().map_or(keyword, SyntaxToken::text).trim_matches('"').to_owned();
        Entry { name: shown, kind, keyword: keyword.to_owned(), span, name_span, children: Vec::new() }
    };
    let entry = match item {
        Item::Policy(policy) => {
            let keyword = policy.kind_token().map_or_else(String::new, |token| token.text().to_owned());
            let entry = make(EntryKind::Policy, &keyword, policy.name(), policy.syntax());
            Entry { children: statements(tree, &policy), ..entry }
        }
        Item::Test(test) => make(EntryKind::Test, "test", test.title(), test.syntax()),
        Item::Prove(prove) => make(EntryKind::Test, "prove", prove.title(), prove.syntax()),
        Item::Let(meaning) => make(EntryKind::Let, "let", meaning.name(), meaning.syntax()),
        Item::Schema(schema) => make(EntryKind::Schema, "schema", None, schema.syntax()),
        Item::Use(_) => return None,
    };
    Some(entry)
}

fn statements(tree: &SyntaxTree, policy: &Policy) -> Vec<Entry> {
    let named = named_statements(policy).map(|(name, node)| Entry {
        name: name.text().to_owned(),
        kind: EntryKind::Statement,
        keyword: String::new(),
        span: tree.span(node.text_range()),
        name_span: tree.span(name.text_range()),
        children: Vec::new(),
    });
    named.collect()
}
