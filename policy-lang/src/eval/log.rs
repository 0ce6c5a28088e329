//! Logs: how many of the requests like one are logged, and what a line says of one.

use super::expression::{Computed, Known, Scope};
use super::response::Response;
use super::{caller_matches, method_matches, path_matches};
use crate::checked::{Attribute, Expr, Redact, Sample, SampleRate};
use crate::decision::{Decision, Outcome};
use crate::linked::{LinkedLog, LinkedProgram};
use crate::literals::asks_request;
use crate::log::{
    ESCAPED_BYTES_MAX, ID_HEADER, KEY_BYTES_MAX, LINE_BYTES_MAX, LogKey, MASK, TEXT_BYTES_MAX, address_text,
    quote,
};
use crate::path::without_query;
use crate::request::Request;
use std::net::IpAddr;
use std::sync::Arc;

/// How many of the requests are logged of which the same is to be said.
///
/// Of all samples that match, the one of the highest rate counts. Of a request that is refused before any rule is
/// asked, samples count that ask nothing of it. The response is as the caller [gets](Response::delivered) it.
#[must_use]
pub fn logged(
    program: &LinkedProgram,
    request: &Request,
    decision: &Decision,
    response: &Response,
) -> SampleRate {
    let Some(log) = &program.log else { return SampleRate::ALL };
    if log.samples.is_none() {
        return SampleRate::ALL;
    }
    if decision.outcome == Outcome::Refused {
        return log.refused();
    }
    let holds = |condition: &Expr| {
        let known = Known { decision: Some(decision), response: Some(response) };
        Scope::new(request, &program.workload).knowing(known).holds(condition)
    };
    let speaking = speaking(program, log, request, decision).into_iter();
    let holding = speaking.filter(|sample| sample.later.as_ref().is_none_or(|later| holds(later)));
    holding.map(|sample| sample.rate).max().unwrap_or_default()
}

/// The samples that speak of a request that was judged, as far as that is known when it is decided; those of the
/// highest rates first.
#[must_use]
pub fn speaking<'a>(
    program: &LinkedProgram,
    log: &'a LinkedLog,
    request: &Request,
    decision: &Decision,
) -> Vec<&'a Arc<Sample>> {
    let known = Known { decision: Some(decision), response: None };
    let holds = |condition: &Expr| Scope::new(request, &program.workload).knowing(known).holds(condition);
    let speaks = |sample: &&Arc<Sample>| {
        sample.is_of(decision.outcome.allows())
            && method_matches(&sample.guard, request)
            && path_matches(&sample.guard, request)
            && caller_matches(&sample.guard, &program.workload, request)
            && sample.guard.condition.as_ref().is_none_or(|condition| holds(condition))
    };
    log.samples.iter().flatten().filter(speaks).collect()
}

/// What the module says of a request in its line: `,"name":value` for each field, those that each line has first,
/// those that ask about the answer last. The response is as the caller [gets](Response::delivered) it.
///
/// A value that is absent is `null`. Of a request that is refused before any rule is asked nothing is known but
/// what each line has, and its path is as it was sent.
#[must_use]
pub fn line(
    program: &LinkedProgram,
    log: &LinkedLog,
    request: &Request,
    decision: &Decision,
    response: &Response,
    key: Option<LogKey>,
) -> Vec<u8> {
    let mut line = Line { bytes: Vec::new(), key };
    let is_judged = decision.outcome != Outcome::Refused;
    let known = Known { decision: Some(decision), response: Some(response) };
    let mut scope = Scope::new(request, &program.workload).knowing(known);
    let path = match is_judged {
        true => request.decoded_path(),
        false => without_query(request.path.get(..TEXT_BYTES_MAX).unwrap_or(&request.path)).to_vec(),
    };
    let id = match is_judged {
        true => request.header(ID_HEADER),
        false => {
            request.headers.iter().find(|(name, _)| name == ID_HEADER.as_bytes()).map(|(_, id)| id.clone())
        }
    };
    let method = if is_judged { request.method() } else { &request.method };
    let fixed = [
        ("method", Attribute::Method, Some(method.to_vec())),
        ("path", Attribute::Path, Some(path)),
        ("principal", Attribute::SourcePrincipal, request.source.principal.clone()),
        ("request_id", Attribute::Id, id),
    ];
    for (name, attribute, value) in fixed {
        let redact = log.redaction(&attribute);
        if redact != Some(Redact::Drop) {
            line.field(name, value.map(Computed::String), redact);
        }
    }
    line.field("rule", Some(Computed::String(decision.rule.as_bytes().to_vec())), None);
    line.field("decision", Some(Computed::String(decision.outcome.as_str().into())), None);
    let (late, early): (Vec<_>, Vec<_>) = log.fields.iter().partition(|(_, field)| field.is_late());
    for (name, field) in early {
        let value = if is_judged { scope.value(&field.value) } else { None };
        line.field(name, value, field.redact);
    }
    for (name, field) in late {
        let is_known = is_judged || !asks_request(&field.value);
        let value = if is_known { scope.value(&field.value) } else { None };
        line.field(name, value, field.redact);
    }
    line.bytes
}

struct Line {
    bytes: Vec<u8>,
    key: Option<LogKey>,
}

impl Line {
    fn field(&mut self, name: &str, value: Option<Computed>, redact: Option<Redact>) {
        self.bytes.push(b',');
        quote(name.as_bytes(), &mut self.bytes);
        self.bytes.push(b':');
        match (value, redact) {
            (None, _) => self.bytes.extend(b"null"),
            (Some(value), Some(Redact::Hash)) => match self.key {
                Some(key) => {
                    let hash = key.hash(&hashed(value));
                    self.bytes.extend(format!("\"{hash}\"").bytes());
                }
                None => self.bytes.extend(format!("\"{MASK}\"").bytes()),
            },
            (Some(_), Some(_)) => self.bytes.extend(format!("\"{MASK}\"").bytes()),
            (Some(value), None) => self.value(value),
        }
    }

    fn value(&mut self, value: Computed) {
        match value {
            Computed::Bool(value) => self.bytes.extend(value.to_string().bytes()),
            Computed::Int(value) => self.bytes.extend(value.to_string().bytes()),
            Computed::Ip(address) => self.bytes.extend(format!("\"{}\"", address_text(address)).bytes()),
            Computed::String(text) => self.text(&text),
            // No list is a field.
            Computed::List(_) => self.bytes.extend(b"null"),
        }
    }

    /// The beginning of a text, or `null` where there is no room for it.
    fn text(&mut self, text: &[u8]) {
        let text = text.get(..TEXT_BYTES_MAX).unwrap_or(text);
        let room = (LINE_BYTES_MAX - KEY_BYTES_MAX).saturating_sub(self.bytes.len());
        if ESCAPED_BYTES_MAX * text.len() > room {
            self.bytes.extend(b"null");
        } else {
            quote(text, &mut self.bytes);
        }
    }
}

/// A value as the bytes of which a hash is made.
fn hashed(value: Computed) -> Vec<u8> {
    match value {
        Computed::Bool(value) => vec![u8::from(value)],
        Computed::Int(value) => value.to_le_bytes().to_vec(),
        Computed::String(bytes) => bytes,
        Computed::Ip(IpAddr::V4(address)) => address.to_ipv6_mapped().octets().to_vec(),
        Computed::Ip(IpAddr::V6(address)) => address.octets().to_vec(),
        Computed::List(values) => values.concat(),
    }
}
