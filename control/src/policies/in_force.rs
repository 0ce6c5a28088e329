//! The policies in force, read back from the documents that state them.
//!
//! Each document is checked alone, as `let` and `schema` reach no further than their file, and of
//! its policies only those count that are in force *from it*: a policy that was applied anew from
//! another file has left its old text behind there.

use crate::mesh::model::{DesiredState, Document, ProxyRegistration};
use crate::policies::documents::{Standing, View};
use crate::policies::workloads::representatives;
use chancery_policy_lang::check::{CheckOptions, check};
use chancery_policy_lang::checked::CheckedPolicy;
use chancery_policy_lang::linked::Workload;
use chancery_policy_lang::parse::parse;
use chancery_policy_lang::syntax::SyntaxTree;
use chancery_policy_lang::syntax::ast::{AstNode, Item};
use chancery_policy_lang::{Diagnostic, SourceSet, Span};
use std::collections::{BTreeMap, BTreeSet};

/// Policies in force, and the texts that their spans point into.
#[derive(Clone, Debug, Default)]
pub struct PoliciesInForce {
    /// The documents.
    pub sources: SourceSet,
    /// The policies, by name.
    pub policies: BTreeMap<String, CheckedPolicy>,
    /// What was read of each document, by the document's digest.
    pub documents: BTreeMap<String, StoredDocument>,
    /// Policies that are stored and yet cannot be read by this version of the program, one sentence
    /// each. They were accepted once, so this is empty unless the program is older than the data.
    pub problems: Vec<String>,
}

impl PoliciesInForce {
    /// Reads all documents of a state.
    #[must_use]
    pub fn of(state: &DesiredState) -> Self {
        let mut this = Self::default();
        for (digest, document) in &state.documents {
            this.add(state, digest, document);
        }
        for name in state.policies.keys().filter(|name| !this.policies.contains_key(*name)) {
            this.problems.push(format!(
                "policy `{name}` cannot be read by this version of chancery: apply it again, or run the newer version"
            ));
        }
        this
    }

    fn add(&mut self, state: &DesiredState, digest: &str, document: &Document) {
        let read = read(&mut self.sources, document);
        let policies = if read.errors.is_empty() { read.policies } else { Vec::new() };
        for policy in policies {
            if state.policies.get(&policy.name).is_some_and(|record| record.document == digest) {
                self.policies.insert(policy.name.clone(), policy);
            }
        }
        let surroundings = surroundings(&read.tree);
        self.documents.insert(digest.to_owned(), StoredDocument { tree: read.tree, surroundings });
    }

    /// What a document of the state still says.
    #[must_use]
    pub fn standing(&self, state: &DesiredState, digest: &str) -> Option<Standing> {
        let (document, read) = (state.documents.get(digest)?, self.documents.get(digest)?);
        Some(View { state, digest }.standing(document, &read.tree))
    }
}

/// A document that is stored.
#[derive(Clone, Debug)]
pub struct StoredDocument {
    /// Its tree.
    pub tree: SyntaxTree,
    /// What everything but policies and tests says in it.
    pub surroundings: String,
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

/// Reads a document that was accepted once; its text is added to `sources`. Its tests do not
/// matter any more: they may speak of policies that stand in other files.
pub fn read(sources: &mut SourceSet, document: &Document) -> ReadDocument {
    let file = sources.add(document.name.clone(), document.text.clone());
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

/// The workload that a sidecar's policies are linked for.
#[must_use]
pub fn workload_of(registration: &ProxyRegistration, trust_domain: &str) -> Workload {
    Workload {
        namespace: registration.service.namespace.clone(),
        service: registration.service.name.clone(),
        labels: registration.labels.clone(),
        trust_domain: trust_domain.to_owned(),
    }
}

/// The workloads for which a set of policies has to make sense: all sidecars that joined, and one
/// that stands for each scope, so that the first sidecar of a service finds no surprise.
#[must_use]
pub fn workloads(state: &DesiredState, policies: &[CheckedPolicy]) -> BTreeSet<Workload> {
    let mut workloads = representatives(policies, &state.trust_domain);
    workloads.extend(state.proxies.values().map(|proxy| workload_of(proxy, &state.trust_domain)));
    workloads
}
