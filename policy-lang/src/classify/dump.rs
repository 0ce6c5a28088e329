//! The text form of classes (`--emit classes`).

use super::{AttributeClasses, AttributeKind, Classes, GuardLiterals};
use crate::literals::{Atom, Formula, attribute_text};
use crate::plan::Plan;
use std::fmt::Write as _;

/// The attributes with their predicates and classes, then the entries of each strand as predicates.
#[must_use]
pub fn dump(plan: &Plan, classes: &Classes) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    for (number, attribute) in classes.attributes.iter().enumerate() {
        let _ = writeln!(out, "attribute {number}: {}", kind_text(&attribute.kind));
        dump_attribute(&mut out, attribute);
    }
    for (strand, entries) in plan.strands.iter().zip(&classes.strands) {
        let _ = writeln!(out, "strand {}", strand.name);
        for (entry, literals) in strand.entries.iter().zip(entries) {
            let _ = writeln!(out, "  {}: {}", entry.index, literals_text(literals));
        }
    }
    out
}

fn literals_text(literals: &GuardLiterals) -> String {
    let predicates: Vec<String> = literals
        .predicates
        .iter()
        .map(|(attribute, predicate)| {
            let pivot = if literals.pivot == Some(*attribute) { "*" } else { "" };
            format!("{attribute}.p{predicate}{pivot}")
        })
        .collect();
    if predicates.is_empty() { "always".to_owned() } else { predicates.join(" and ") }
}

/// Predicates are `p0`, `p1`, …; a class is a value of it and the predicates that hold there.
fn dump_attribute(out: &mut String, attribute: &AttributeClasses) {
    for (number, predicate) in attribute.predicates.iter().enumerate() {
        let _ = writeln!(out, "  p{number} = {}", formula_text(predicate));
    }
    for (number, class) in attribute.classes.iter().enumerate() {
        let holds: Vec<String> = attribute
            .base
            .iter()
            .enumerate()
            .filter(|(predicate, base)| **base != class.flips.iter().any(|flip| *flip as usize == *predicate))
            .map(|(predicate, _)| format!(" p{predicate}"))
            .collect();
        let _ = writeln!(out, "  class {number} ({}):{}", class.witness, holds.concat());
    }
}

fn kind_text(kind: &AttributeKind) -> String {
    match kind {
        AttributeKind::Text(attribute, _) => attribute_text(attribute),
        AttributeKind::Path(automaton) => format!("request.path ({} states)", automaton.states.len()),
        AttributeKind::Identity(_) => "source identity".to_owned(),
        AttributeKind::Ip(_) => "source.ip".to_owned(),
        AttributeKind::Condition(condition) => format!("condition {}", condition.text),
    }
}

fn formula_text(formula: &Formula) -> String {
    let joined = |operands: &[Formula], operator: &str, empty: &str| {
        if operands.is_empty() {
            return empty.to_owned();
        }
        let operands: Vec<String> = operands.iter().map(formula_text).collect();
        format!("({})", operands.join(operator))
    };
    match formula {
        Formula::Atom(atom) => atom_text(atom),
        Formula::Not(inner) => format!("not {}", formula_text(inner)),
        Formula::All(operands) => joined(operands, " and ", "true"),
        Formula::Any(operands) => joined(operands, " or ", "false"),
    }
}

fn atom_text(atom: &Atom) -> String {
    match atom {
        Atom::Present => "present".to_owned(),
        Atom::Equals(text) => format!("{text:?}"),
        Atom::StartsWith(text) => format!("starts with {text:?}"),
        Atom::AnyService => "any service".to_owned(),
        Atom::Namespace(namespace) => format!("namespace {namespace}"),
        Atom::Service(service) => format!("service {}/{}", service.namespace, service.name),
        Atom::Net(network) => network.to_string(),
        Atom::Path(pattern) => pattern.to_string(),
        Atom::Holds => "holds".to_owned(),
    }
}
