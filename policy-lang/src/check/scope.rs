//! What names mean: the schema and the `let`s of a file, and the `let`s of a policy.

use super::lets::{self, Let};
use super::schema::{self, HeaderType};
use super::session::Session;
use crate::diagnostic::Findings;
use crate::source::Span;
use crate::syntax::SyntaxTree;
use crate::syntax::ast::{File, Item};
use std::collections::{BTreeMap, BTreeSet};

/// The names that begin an attribute; nothing else may have them.
pub(super) const ROOTS: &[&str] = &[
    "cookies", "decision", "headers", "jwt", "path", "query", "request", "response", "route", "rule",
    "source", "target", "upstream",
];

/// What is known of a request where a statement runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The request, when it is decided.
    Request,
    /// The beginning of its answer, too.
    Response,
    /// What became of it, too.
    Log,
}

/// What holds in a whole file.
#[derive(Debug, Default)]
pub(super) struct FileScope {
    /// Types of headers by lower-case name.
    pub(super) headers: BTreeMap<String, HeaderType>,
    /// Names of `apikey` entries, which are not supported yet.
    pub(super) api_keys: BTreeSet<String>,
    /// `let`s of the file.
    pub(super) lets: BTreeMap<String, Let>,
    /// What is shared with the other files.
    pub(super) session: Session,
    /// The next number of a bound variable; numbers are unique in a file.
    pub(super) next_variable: u32,
}

impl FileScope {
    /// The scope of a file, with what is wrong in it.
    pub(super) fn of(tree: &SyntaxTree, file: &File, session: Session, diagnostics: &mut Findings) -> Self {
        let mut scope = Self { session, ..Self::default() };
        for item in file.items() {
            if let Item::Schema(node) = item {
                schema::check(&node, tree, &mut scope, diagnostics);
            }
        }
        let nodes = file.items().filter_map(|item| match item {
            Item::Let(node) => Some(node),
            _ => None,
        });
        lets::check_file(&nodes.collect::<Vec<_>>(), tree, file, &mut scope, diagnostics);
        scope
    }

    /// A number that no other bound variable of the file has.
    pub(super) fn fresh_variable(&mut self) -> u32 {
        self.next_variable += 1;
        self.next_variable
    }
}

/// The captures of a rule's paths: at which segment each stands.
#[derive(Debug, Default)]
pub(super) struct Captures {
    /// Captures that stand at one place in all paths.
    pub(super) segments: BTreeMap<String, u16>,
    /// Captures that are missing in a path or stand at another place there, with that path.
    pub(super) uneven: BTreeMap<String, Span>,
}
