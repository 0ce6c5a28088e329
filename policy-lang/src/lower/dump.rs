//! The text form of plans (`--emit plan`).

use super::{Answer, Answers};
use crate::check::dump::guard_text;
use crate::checked::Direction;
use crate::literals::expression_text;
use crate::plan::{HeaderOperation, HeadersPlan, LimitPlan, Pick, Plan, Strand};
use std::fmt::Write as _;

/// The strands with their guards and what each picks, then what the picks mean to their owners.
#[must_use]
pub fn dump(plan: &Plan) -> String {
    let direction = match plan.direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    };
    let mut out = format!("{direction} in {}\n", plan.trust_domain);
    // Writing to a string does not fail.
    let _ = writeln!(out, "policies {}", plan.policies.join(", "));
    plan.strands.iter().for_each(|strand| dump_strand(&mut out, strand));
    dump_answers(&mut out, &plan.auth.answers);
    let limits = plan.traffic.iter().flat_map(|traffic| &traffic.limits);
    limits.enumerate().for_each(|(number, limit)| dump_limit(&mut out, number, limit));
    plan.headers.iter().for_each(|headers| dump_headers(&mut out, headers));
    out
}

fn dump_strand(out: &mut String, strand: &Strand) {
    let pick = match strand.pick {
        Pick::First => "the first that matches",
        Pick::All => "all that match",
    };
    let _ = writeln!(out, "strand {}: {pick}", strand.name);
    for entry in &strand.entries {
        let shadow = if entry.shadow { " (shadow)" } else { "" };
        let _ = writeln!(out, "  {}:{}{shadow}", entry.index, guard_text(&entry.guard));
    }
}

fn dump_answers(out: &mut String, answers: &Answers) {
    for (number, answer) in answers.list.iter().enumerate() {
        let _ = writeln!(out, "answer {number}: {}", answer_text(answer));
    }
    let _ = writeln!(out, "no rule matches: answer {}", answers.otherwise);
    if let Some(otherwise) = answers.shadow_otherwise {
        let _ = writeln!(out, "no rule matches (shadow): answer {otherwise}");
    }
}

fn dump_limit(out: &mut String, number: usize, limit: &LimitPlan) {
    let keys: Vec<String> = limit.keys.iter().map(|key| expression_text(key)).collect();
    let keys = if keys.is_empty() { String::new() } else { format!(" per {}", keys.join(", ")) };
    let (step, filling, answer) = (limit.step_ns, limit.filling_ns, limit.answer);
    let _ = writeln!(
        out,
        "limit {number}: a token in {step} ns, full in {filling} ns{keys}, else answer {answer}"
    );
}

fn dump_headers(out: &mut String, headers: &HeadersPlan) {
    for (number, HeaderOperation { place, change }) in headers.operations.iter().enumerate() {
        let Some(place) = headers.places.get(*place as usize) else { continue };
        let value = change.value().map(|value| format!(" = {}", expression_text(value))).unwrap_or_default();
        let (change, message) = (change.as_str(), place.message.as_str());
        let _ = writeln!(out, "operation {number}: {change} {message} header {}{value}", place.header);
    }
}

fn answer_text(answer: &Answer) -> String {
    let status = answer.respond.as_ref().map(|respond| format!(" {}", respond.status)).unwrap_or_default();
    let body = answer.respond.as_ref().filter(|respond| !respond.body.is_empty());
    let body = body.map(|respond| format!(" {:?}", respond.body)).unwrap_or_default();
    format!("{}{status} by {}{body}", answer.outcome.as_str(), answer.rule)
}
