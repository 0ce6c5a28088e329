//! `let`: names for expressions. They may stand in any order and refer to each other without a cycle.

use super::errors;
use super::expr::{Checker, Typed};
use super::scope::{Captures, FileScope, Phase, ROOTS};
use crate::diagnostic::Findings;
use crate::literals::asks_answer;
use crate::source::Span;
use crate::syntax::SyntaxTree;
use crate::syntax::ast::{self, AstNode, File, NameExpr, Policy};
use std::collections::{BTreeMap, BTreeSet};

/// A checked `let`.
#[derive(Clone, Debug)]
pub(super) struct Let {
    /// Its meaning; `None` if that is wrong, which has been reported.
    pub(super) value: Option<Typed>,
    /// Whether it asks about the answer.
    pub(super) is_late: bool,
    /// Where the name is given.
    pub(super) name_span: Span,
}

/// Checks the `let`s of a file into its scope.
pub(super) fn check_file(
    nodes: &[ast::Let],
    tree: &SyntaxTree,
    file: &File,
    scope: &mut FileScope,
    diagnostics: &mut Findings,
) {
    let unique = unique_names(nodes, tree, diagnostics);
    warn_unused(&unique, file, tree, diagnostics);
    let (order, cyclic) = ordered(&unique, tree, diagnostics);
    scope.lets = cyclic;
    for (name, node) in order {
        let found = check_one(node, tree, scope, (&BTreeMap::new(), Phase::Request), diagnostics);
        scope.lets.insert(name.to_owned(), found);
    }
}

/// Checks the `let`s of a policy, which can ask what is known in this phase.
pub(super) fn check_policy(
    policy: &Policy,
    tree: &SyntaxTree,
    phase: Phase,
    scope: &mut FileScope,
    diagnostics: &mut Findings,
) -> BTreeMap<String, Let> {
    let nodes: Vec<ast::Let> = policy
        .statements()
        .filter_map(|statement| match statement {
            ast::Statement::Let(node) => Some(node),
            _ => None,
        })
        .collect();
    let unique = unique_names(&nodes, tree, diagnostics);
    for (name, node) in &unique {
        if let (Some(outer), Some(token)) = (scope.lets.get(name), node.name()) {
            diagnostics.push(errors::warnings::shadowed_let(
                tree.span(token.text_range()),
                name,
                outer.name_span,
            ));
        }
    }
    warn_unused(&unique, policy, tree, diagnostics);
    let (order, cyclic) = ordered(&unique, tree, diagnostics);
    let mut own = cyclic;
    for (name, node) in order {
        let found = check_one(node, tree, scope, (&own, phase), diagnostics);
        own.insert(name.to_owned(), found);
    }
    own
}

fn check_one(
    node: &ast::Let,
    tree: &SyntaxTree,
    scope: &mut FileScope,
    (own, phase): (&BTreeMap<String, Let>, Phase),
    diagnostics: &mut Findings,
) -> Let {
    let name_span = tree.span(node.name().map_or(node.range(), |token| token.text_range()));
    let captures = Captures::default();
    let value = node.value().and_then(|value| {
        Checker {
            tree,
            scope,
            policy_lets: own,
            captures: &captures,
            phase,
            in_let: true,
            guard: None,
            variables: Vec::new(),
            depth: 0,
            is_too_deep: false,
            diagnostics,
        }
        .expr(&value)
    });
    let is_late = value.as_ref().is_some_and(|value| asks_answer(&value.expr));
    Let { value, is_late, name_span }
}

/// The `let`s by name, without those whose name is taken.
fn unique_names(
    nodes: &[ast::Let],
    tree: &SyntaxTree,
    diagnostics: &mut Findings,
) -> BTreeMap<String, ast::Let> {
    let mut unique: BTreeMap<String, ast::Let> = BTreeMap::new();
    for node in nodes {
        let Some(token) = node.name() else { continue };
        let span = tree.span(token.text_range());
        if ROOTS.contains(&token.text()) {
            diagnostics.push(errors::reserved_let(span, token.text()));
            continue;
        }
        match unique.get(token.text()).and_then(ast::Let::name) {
            Some(first) => {
                diagnostics.push(errors::duplicate_let(span, token.text(), tree.span(first.text_range())));
            }
            None => {
                unique.insert(token.text().to_owned(), node.clone());
            }
        }
    }
    unique
}

/// The `let`s so that each stands behind those that it refers to; apart from them those on a cycle
/// or referring to one, without a value. Cycles are reported.
fn ordered<'a>(
    unique: &'a BTreeMap<String, ast::Let>,
    tree: &SyntaxTree,
    diagnostics: &mut Findings,
) -> (Vec<(&'a str, &'a ast::Let)>, BTreeMap<String, Let>) {
    let mut waiting: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut needed_by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, node) in unique {
        let needs: BTreeSet<String> = names_in(node).filter(|name| unique.contains_key(name)).collect();
        for need in &needs {
            if let Some((need, _)) = unique.get_key_value(need) {
                needed_by.entry(need).or_default().push(name);
            }
        }
        waiting.insert(name, needs);
    }
    let mut order = Vec::new();
    let mut ready: BTreeSet<&str> =
        waiting.iter().filter(|(_, needs)| needs.is_empty()).map(|(name, _)| *name).collect();
    while let Some(name) = ready.pop_first() {
        waiting.remove(name);
        for user in needed_by.get(name).into_iter().flatten() {
            if let Some(needs) = waiting.get_mut(user) {
                needs.remove(name);
                if needs.is_empty() {
                    ready.insert(user);
                }
            }
        }
        order.extend(unique.get(name).map(|node| (name, node)));
    }
    let place = |name: &str| {
        let token = unique.get(name).and_then(ast::Let::name);
        token.map_or_else(Span::default, |token| tree.span(token.text_range()))
    };
    for cycle in cycles(&waiting) {
        let first = cycle.first().copied().unwrap_or_default();
        diagnostics.push(errors::cyclic_let(place(first), &cycle));
    }
    let without_value =
        |name: &str| (name.to_owned(), Let { value: None, is_late: false, name_span: place(name) });
    (order, waiting.keys().map(|name| without_value(name)).collect())
}

/// The cycles among names of which each refers to another of them. Each is found once.
fn cycles<'a>(waiting: &'a BTreeMap<&str, BTreeSet<String>>) -> Vec<Vec<&'a str>> {
    let mut found = Vec::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for start in waiting.keys() {
        let mut path: Vec<&str> = Vec::new();
        let mut name = *start;
        while seen.insert(name) {
            path.push(name);
            let Some(next) = waiting.get(name).and_then(BTreeSet::first) else { break };
            name = next;
        }
        if let Some(at) = path.iter().position(|step| *step == name) {
            found.push(path.split_off(at));
        }
    }
    found
}

fn warn_unused(
    unique: &BTreeMap<String, ast::Let>,
    within: &impl AstNode,
    tree: &SyntaxTree,
    diagnostics: &mut Findings,
) {
    let used: BTreeSet<String> = names_in(within).collect();
    for (name, node) in unique {
        if let Some(token) = node.name().filter(|_| !used.contains(name)) {
            diagnostics.push(errors::warnings::unused_let(tree.span(token.text_range()), name));
        }
    }
}

/// The names that stand alone in expressions of a node.
fn names_in(node: &impl AstNode) -> impl Iterator<Item = String> {
    let names = node.syntax().descendants().filter_map(NameExpr::cast);
    names.filter_map(|name| name.name()).map(|token| token.text().to_owned())
}
