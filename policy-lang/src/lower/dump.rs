//! The text form of plans (`--emit plan`).

use super::{Answer, Answers};
use crate::check::dump::{fault_text, guard_text, mirror_text, retry_text, template_text, way_text};
use crate::checked::{Direction, Mirror, Retry, Way};
use crate::literals::{attribute_text, expression_text};
use crate::module::Share;
use crate::plan::{
    CallPlan, ChoicePlan, FieldValue, HeaderOperation, HeadersPlan, Kept, LimitPlan, LogPlan, Pick, Plan,
    Strand,
};
use crate::routes;
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
    let shares = plan.traffic.iter().flat_map(|traffic| &traffic.shares);
    shares.enumerate().for_each(|(number, share)| dump_share(&mut out, number, share));
    plan.headers.iter().for_each(|headers| dump_headers(&mut out, headers));
    if let Some(cors) = &plan.cors {
        let _ = writeln!(out, "{cors}");
    }
    if let Some(log) = &plan.log {
        dump_log(&mut out, log);
    }
    if let Some(calls) = &plan.calls {
        dump_calls(&mut out, calls);
    }
    out
}

/// What the indexes of the strands of a caller's sidecar mean.
fn dump_calls(out: &mut String, plan: &CallPlan) {
    fn dump<T>(out: &mut String, name: &str, plan: Option<&ChoicePlan<T>>, text: impl Fn(&T) -> String) {
        let Some(plan) = plan else { return };
        for (number, choice) in plan.choices.iter().enumerate() {
            let _ = writeln!(out, "{name} {number}: {} by {}", text(&choice.does), choice.id);
        }
    }
    let way = |way: &Way| {
        let (word, what) = way_text(way);
        format!("{word} {what}, key {}", routes::part_of_way(way))
    };
    dump(out, "way", plan.ways.as_ref(), way);
    dump(out, "rewrite", plan.rewrites.as_ref(), template_text);
    let mirror = |mirror: &Mirror| format!("{}, key {}", mirror_text(mirror), routes::part_of_mirror(mirror));
    dump(out, "mirror", plan.mirrors.as_ref(), mirror);
    dump(out, "timeout", plan.timeouts.as_ref(), |limit| format!("{}ms", limit.0));
    dump(out, "ceiling", plan.ceilings.as_ref(), |limit| format!("{}ms", limit.0));
    for (name, choice) in [("timeout", &plan.timeout_otherwise), ("ceiling", &plan.ceiling_otherwise)] {
        if let Some(choice) = choice {
            let _ = writeln!(out, "{name} otherwise: {}ms by {}", choice.does.0, choice.id);
        }
    }
    let retry = |retry: &Retry| format!("{}, key {}", retry_text(retry), routes::part_of_retry(retry));
    dump(out, "retry", plan.retries.as_ref(), retry);
    dump(out, "fault", plan.faults.as_ref(), fault_text);
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
    let shared = limit.share.map(|share| format!(", shared {share}")).unwrap_or_default();
    let _ = writeln!(
        out,
        "limit {number}: a token in {step} ns, full in {filling} ns{keys}{shared}, else answer {answer}"
    );
}

fn dump_share(out: &mut String, number: usize, share: &Share) {
    let _ = write!(out, "shared {number}: over the targets of {}", share.policy);
    if !share.headers.is_empty() {
        let _ = write!(out, ", per {}", share.headers.join(", "));
    }
    out.push('\n');
}

fn dump_headers(out: &mut String, headers: &HeadersPlan) {
    for (number, HeaderOperation { place, change, late }) in headers.operations.iter().enumerate() {
        let Some(place) = headers.places.get(*place as usize) else { continue };
        let value = change.value().map(|value| format!(" = {}", expression_text(value))).unwrap_or_default();
        let (change, message) = (change.as_str(), place.message.as_str());
        let late = late.as_ref().map(|late| format!(" when {}", expression_text(late))).unwrap_or_default();
        let _ = writeln!(out, "operation {number}: {change} {message} header {}{value}{late}", place.header);
    }
    dump_kept(out, &headers.kept);
}

/// What is kept of a request for its answer.
fn dump_kept(out: &mut String, kept: &Kept) {
    for (number, value) in kept.numbered() {
        let _ = writeln!(out, "kept {number}: {}", expression_text(value));
    }
}

fn dump_log(out: &mut String, log: &LogPlan) {
    if let Some(samples) = &log.samples {
        for (number, rate) in samples.rates.iter().enumerate() {
            let _ = writeln!(out, "rate {number}: {rate}");
        }
        let _ = writeln!(out, "refused before any rule: {}", samples.unjudged);
        for later in &samples.later {
            let of = later.passed.map_or("", |passed| if passed { " allowed" } else { " denied" });
            let condition = expression_text(&later.condition);
            let _ = writeln!(out, "strand {}: {}{of} when {condition}", later.strand, later.rate);
        }
    }
    for field in log.fields.iter().chain(&log.late) {
        let value = match &field.value {
            FieldValue::Computed(expr) => expression_text(expr),
            FieldValue::Path => "path".to_owned(),
            FieldValue::Rule => "rule".to_owned(),
            FieldValue::Decision => "decision".to_owned(),
            FieldValue::Text(attribute) => attribute_text(attribute),
        };
        let redact = field.redact.map(|how| format!(" with {}", how.as_str())).unwrap_or_default();
        let _ = writeln!(out, "field {}: {value}{redact}", field.name);
    }
    dump_kept(out, &log.kept);
    if !log.directions.is_empty() {
        let _ = writeln!(out, "sinks {}", log.directions.trim_end());
    }
}

fn answer_text(answer: &Answer) -> String {
    let status = answer.respond.as_ref().map(|respond| format!(" {}", respond.status)).unwrap_or_default();
    let body = answer.respond.as_ref().filter(|respond| !respond.body.is_empty());
    let body = body.map(|respond| format!(" {:?}", respond.body)).unwrap_or_default();
    format!("{}{status} by {}{body}", answer.outcome.as_str(), answer.rule)
}
