//! The policies in force as one immutable set for each state: parsed and checked once for each document, found by
//! what they are about, shared by admission, reconciliation and the API.
//!
//! ```text
//! DesiredState --Current::at--> InForce {state, PolicySet, Population} --Programs--> modules
//! ```
//!
//! Each document is checked alone, as `let` and `schema` reach no further than their file, and of
//! its policies only those count that are in force *from it*: a policy that was applied anew from
//! another file has left its old text behind there.
//!
//! A set is made from the one before, and what did not change is shared: it costs what the change does.

mod set;
#[cfg(test)]
mod tests;

pub use set::{PolicyInForce, PolicySet, StoredDocument, tested_in};

use crate::mesh::model::{DesiredState, Document};
use crate::mesh::store::Changes;
use crate::policies::population::Population;
use chancery_policy_lang::check::{CheckOptions, check};
use chancery_policy_lang::checked::CheckedPolicy;
use chancery_policy_lang::parse::parse;
use chancery_policy_lang::syntax::SyntaxTree;
use chancery_policy_lang::syntax::ast::{AstNode, Item};
use chancery_policy_lang::{Diagnostic, FileId, SourceSet, Span};
use std::sync::{Arc, Mutex, PoisonError};

/// A state, and what is known of it.
#[derive(Clone, Debug, Default)]
pub struct InForce {
    /// The state.
    pub state: Arc<DesiredState>,
    /// Its policies.
    pub policies: PolicySet,
    /// Who is in the mesh.
    pub population: Population,
}

impl InForce {
    /// What is known of another state, in proportion to what differs.
    #[must_use]
    pub fn at(&self, state: &Arc<DesiredState>) -> Self {
        let changes = Changes::between(&self.state, state);
        let mut policies = self.policies.clone();
        policies.take_in(state, &changes.policies);
        let mut population = self.population.clone();
        population.take_in(&changes.proxies);
        Self { state: Arc::clone(state), policies, population }
    }
}

/// What is known of the newest state that anybody asked about, for the next one to be made from.
#[derive(Debug, Default)]
pub struct Current {
    newest: Mutex<Arc<InForce>>,
}

impl Current {
    /// One that knows this already.
    #[must_use]
    pub fn beginning_with(known: Option<Arc<InForce>>) -> Self {
        Self { newest: Mutex::new(known.unwrap_or_default()) }
    }

    /// What is known of a state. It may take as long as reading all its documents: not to be called from a thread
    /// that serves others.
    #[must_use]
    pub fn at(&self, state: &Arc<DesiredState>) -> Arc<InForce> {
        // What is in here is replaced as a whole: who panicked left the one before.
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&newest.state, state) {
            *newest = Arc::new(newest.at(state));
        }
        Arc::clone(&newest)
    }
}

/// A document that was read back.
#[derive(Clone, Debug)]
pub struct ReadDocument {
    /// Its tree.
    pub tree: SyntaxTree,
    /// Its policies; to be used only if there is no error.
    pub policies: Vec<CheckedPolicy>,
    /// What is wrong with its policies.
    pub errors: Vec<Diagnostic>,
}

/// Reads a document that was accepted once and is that file of `sources`. Its tests do not
/// matter any more: they may speak of policies that stand in other files.
fn read(sources: &SourceSet, file: FileId, document: &Document) -> ReadDocument {
    let parsed = parse(file, &document.text);
    let checked = check(sources, std::slice::from_ref(&parsed.tree), CheckOptions::default());
    let tests: Vec<Span> = tests_of(&parsed.tree);
    let in_test = |span: Span| tests.iter().any(|test| test.start <= span.start && span.end <= test.end);
    let errors = parsed.diagnostics.into_iter().chain(checked.diagnostics);
    let errors = errors.filter(|found| found.is_error() && !in_test(found.primary.span)).collect();
    ReadDocument { tree: parsed.tree, policies: checked.policies, errors }
}

fn tests_of(tree: &SyntaxTree) -> Vec<Span> {
    let items = tree.file().into_iter().flat_map(|file| file.items());
    let test = |item| match item {
        Item::Test(node) => Some(tree.span(node.range())),
        _ => None,
    };
    items.filter_map(test).collect()
}

/// What everything but policies and tests says in a file: what can change the meaning of a policy
/// whose own text stays the same.
#[must_use]
pub fn surroundings(tree: &SyntaxTree) -> String {
    let mut text = String::new();
    for item in tree.file().into_iter().flat_map(|file| file.items()) {
        match item {
            Item::Policy(_) | Item::Test(_) => {}
            Item::Schema(node) => text.push_str(&node.syntax().to_string()),
            Item::Let(node) => text.push_str(&node.syntax().to_string()),
            Item::Use(node) => text.push_str(&node.syntax().to_string()),
            Item::Prove(node) => text.push_str(&node.syntax().to_string()),
        }
    }
    text
}

/// The first of several errors, and how many there are.
#[must_use]
pub fn describe(errors: &[Diagnostic]) -> String {
    let more = errors.len().saturating_sub(1);
    match errors.first() {
        Some(error) if more == 0 => format!("{}: {}", error.code.0, error.message),
        Some(error) => format!("{}: {} (and {more} more)", error.code.0, error.message),
        None => "no reason is known".to_owned(),
    }
}
