//! The text form of linked programs (`--emit linked`).

use crate::check::dump::{respond_text, rule_text};
use crate::linked::{LinkedOtherwise, LinkedProgram};
use std::fmt::Write as _;

/// The program as text: for whom it is, then its rules in decision order, one entry a line, then what
/// holds when none matches.
#[must_use]
pub fn dump(program: &LinkedProgram) -> String {
    let target = &program.target;
    let mut out = format!("target {}/{}", target.namespace, target.service);
    // Writing to a string does not fail.
    for (name, value) in &target.labels {
        let _ = write!(out, " {name}={value:?}");
    }
    let _ = writeln!(out, " in {}", target.trust_domain);
    let _ = writeln!(out, "policies {}", program.policies.join(", "));
    for linked in &program.rules {
        let shadow = if linked.shadow { " (shadow)" } else { "" };
        let _ = writeln!(out, "{}{shadow}", rule_text(&linked.rule));
    }
    let _ = writeln!(out, "{}", otherwise_text(&program.otherwise));
    if let Some(otherwise) = &program.shadow_otherwise {
        let _ = writeln!(out, "{} (shadow)", otherwise_text(otherwise));
    }
    out
}

fn otherwise_text(otherwise: &LinkedOtherwise) -> String {
    let effect = if otherwise.allow { "allow" } else { "deny" };
    format!("{}: otherwise {effect}{}", otherwise.rule, respond_text(otherwise.respond.as_ref()))
}
