//! Targets: what a policy is attached to.

use super::{errors, peer};
use crate::checked::{Direction, Scope, ServiceRef, Target};
use crate::diagnostic::Findings;
use crate::lex::literal;
use crate::source::Span;
use crate::syntax::SyntaxTree;
use crate::syntax::ast::{self, AstNode, Policy, TargetKind};
use std::collections::BTreeMap;

/// The targets of a policy. A target that is wrong or said twice is left out.
pub(super) fn check(policy: &Policy, tree: &SyntaxTree, diagnostics: &mut Findings) -> Vec<Scope> {
    let mut scopes: Vec<Scope> = Vec::new();
    let mut places: BTreeMap<(Target, Direction), Span> = BTreeMap::new();
    for node in policy.targets() {
        let span = tree.span(node.range());
        let Some(target) = check_one(&node, tree, diagnostics) else { continue };
        let direction = match node.direction() {
            Some(token) if token.text() == "outbound" => Direction::Outbound,
            _ => Direction::Inbound,
        };
        match places.get(&(target.clone(), direction)) {
            Some(first) => diagnostics.push(errors::warnings::said_twice(span, "this target", *first)),
            None => {
                places.insert((target.clone(), direction), span);
                scopes.push(Scope { target, direction, span });
            }
        }
    }
    scopes
}

fn check_one(node: &ast::Target, tree: &SyntaxTree, diagnostics: &mut Findings) -> Option<Target> {
    let reference = node.reference();
    let parts = reference.as_ref().map(|reference| [reference.namespace(), reference.name()]);
    for name in parts.into_iter().flatten().chain([node.name()]).flatten() {
        peer::check_length(&name, tree, diagnostics);
    }
    let name = || node.name().map(|token| token.text().to_owned());
    match node.kind()? {
        TargetKind::Mesh => Some(Target::Mesh),
        TargetKind::Namespace => Some(Target::Namespace(name()?)),
        TargetKind::Service => Some(Target::Service(service_ref(&node.reference()?)?)),
        TargetKind::Workload => {
            Some(Target::Workload { namespace: name()?, labels: labels(node, tree, diagnostics)? })
        }
        TargetKind::Gateway => {
            diagnostics.push(errors::later::target(tree.span(node.range()), "gateways"));
            None
        }
        TargetKind::Route => {
            diagnostics.push(errors::later::target(tree.span(node.range()), "routes"));
            None
        }
    }
}

fn labels(
    node: &ast::Target,
    tree: &SyntaxTree,
    diagnostics: &mut Findings,
) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    for label in node.labels() {
        let (name, value) = (label.name()?, label.value()?);
        let old = labels.insert(name.text().to_owned(), literal::string(value.text()));
        if old.is_some() {
            diagnostics.push(errors::duplicate_label(tree.span(name.text_range()), name.text()));
            return None;
        }
    }
    (!labels.is_empty()).then_some(labels)
}

/// `namespace/name`, where the name may be `*`.
pub(super) fn service_ref(node: &ast::Ref) -> Option<ServiceRef> {
    Some(ServiceRef { namespace: node.namespace()?.text().to_owned(), name: node.name()?.text().to_owned() })
}
