//! The text form of linked programs (`--emit linked`).

use crate::check;
use crate::check::dump::{header_text, limit_text, respond_text, rule_text, sample_text};
use crate::checked::{Calls, Choice, Direction};
use crate::linked::{LinkedCalls, LinkedOtherwise, LinkedProgram, Ordered};
use crate::literals::expression_text;
use std::fmt::Write as _;

/// The program as text: for whom it is, then its rules in decision order, one entry a line, then what
/// holds when none matches.
#[must_use]
pub fn dump(program: &LinkedProgram) -> String {
    let workload = &program.workload;
    let mut out = format!("workload {}/{}", workload.namespace, workload.service);
    // Writing to a string does not fail.
    for (name, value) in &workload.labels {
        let _ = write!(out, " {name}={value:?}");
    }
    let direction = match program.direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    };
    let _ = writeln!(out, " in {} {direction}", workload.trust_domain);
    let _ = writeln!(out, "policies {}", program.policies.join(", "));
    for linked in &program.auth.rules {
        let shadow = if linked.shadow { " (shadow)" } else { "" };
        let _ = writeln!(out, "{}{shadow}", rule_text(&linked.rule));
    }
    let _ = writeln!(out, "{}", otherwise_text(&program.auth.otherwise));
    if let Some(otherwise) = &program.auth.shadow_otherwise {
        let _ = writeln!(out, "{} (shadow)", otherwise_text(otherwise));
    }
    if !program.calls.is_empty() {
        out.push_str(&calls_text(&program.calls));
        return out;
    }
    for linked in &program.traffic.limits {
        let shadow = if linked.shadow { " (shadow)" } else { "" };
        let _ = writeln!(out, "{}{shadow}", limit_text(&linked.limit));
    }
    if let Some(cors) = &program.traffic.cors {
        let _ = writeln!(out, "{}: {}", cors.id, cors.rules);
    }
    for linked in &program.traffic.headers {
        let shadow = if linked.shadow { " (shadow)" } else { "" };
        let (text, scope) = (header_text(&linked.statement), linked.scope.as_str());
        let _ = writeln!(out, "{text} at {scope} scope{shadow}");
    }
    if let Some(log) = &program.log {
        match &log.samples {
            Some(samples) => samples.iter().for_each(|sample| {
                let _ = writeln!(out, "{}", sample_text(sample));
            }),
            None => out.push_str("sample 100%\n"),
        }
        for (name, field) in &log.fields {
            let redact = field.redact.map(|how| format!(" with {}", how.as_str())).unwrap_or_default();
            let _ = writeln!(out, "field {name}: {}{redact}", expression_text(&field.value));
        }
        for (source, how) in &log.redacted {
            let _ = writeln!(out, "redact {source} with {}", how.as_str());
        }
        for (name, goal) in &log.goals {
            let _ = writeln!(out, "send to {name}: {goal}");
        }
    }
    out
}

/// What a caller's sidecar does, one entry a line in the order in which they are asked.
fn calls_text(calls: &LinkedCalls) -> String {
    fn all<T: Clone>(ordered: &Ordered<T>) -> Vec<Choice<T>> {
        ordered.entries.iter().chain(&ordered.otherwise).map(|choice| choice.as_ref().clone()).collect()
    }
    let calls = Calls {
        ways: all(&calls.ways),
        rewrites: all(&calls.rewrites),
        mirrors: all(&calls.mirrors),
        timeouts: all(&calls.timeouts),
        ceilings: all(&calls.ceilings),
        retries: all(&calls.retries),
        faults: calls.faults.iter().map(|choice| choice.as_ref().clone()).collect(),
        settings: Box::default(),
    };
    check::dump::calls_text(&calls).into_iter().map(|line| line + "\n").collect()
}

fn otherwise_text(otherwise: &LinkedOtherwise) -> String {
    let effect = if otherwise.allow { "allow" } else { "deny" };
    format!("{}: otherwise {effect}{}", otherwise.rule, respond_text(otherwise.respond.as_ref()))
}
