//! The evaluator: what a linked program decides of a request. **It is the definition of the language.**
//!
//! It is written to be read, not to be fast: every rule is asked, every value is copied. The
//! compiled module, `explain` and the analyses are tested against it.

mod calls;
mod expression;
mod headers;
mod limits;
mod log;
mod response;
mod strings;

pub use calls::{Course, course};
pub(crate) use expression::{Computed, Scope};
pub use headers::{Change, Changes, What, header_changes, is_for};
pub(crate) use headers::{fit_for_header, text_of_constant};
pub use limits::Buckets;
pub use log::{line, logged, speaking};
pub use response::Response;

use crate::checked::{Effect, Expr, Guard, Limit, Peer, Respond, Rule, Value};
use crate::decision::{Decision, Outcome};
use crate::linked::{LinkedOtherwise, LinkedProgram, Workload};
use crate::request::{RawRequest, Request, received, service_of};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The status of the answer to a denied request when the policy states none.
pub const DENIED_STATUS: u16 = 403;

/// What the program decides of the request, the first one that it sees: no bucket of a limit is empty.
///
/// A request without a single meaning is refused first. Then the first matching `exempt` allows, else
/// the first matching `deny` denies, else the first matching `allow` allows, else the `otherwise`
/// holds. The shadow decision is the same with the shadow policies' rules taken in.
#[must_use]
pub fn evaluate(program: &LinkedProgram, request: &Request) -> Decision {
    evaluate_at(program, request, &mut Buckets::default(), 0)
}

/// What the program decides of the request at a time, in ns since 1970.
///
/// A request that the `auth` policies let pass is counted by all limits that match it: if one of them has no
/// token left, it is refused and takes none from the others; else it takes one from each. With the shadow
/// policies in force, their limits are asked too; they have buckets of their own, from which only a request takes
/// that passes.
#[must_use]
pub fn evaluate_at(
    program: &LinkedProgram,
    request: &Request,
    buckets: &mut Buckets,
    now_ns: u64,
) -> Decision {
    if let Some(refusal) = program.refusal(request) {
        return refusal.decision();
    }
    let auth = &program.auth;
    let mut shadow = auth.shadow_otherwise.as_ref().map(|otherwise| {
        let rules = auth.rules.iter().map(|linked| linked.rule.as_ref());
        Box::new(decide(rules, otherwise, &program.workload, request))
    });
    let enforced = auth.rules.iter().filter(|linked| !linked.shadow).map(|linked| linked.rule.as_ref());
    let mut decision = decide(enforced, &auth.otherwise, &program.workload, request);
    let counting = limits::Counting::of(program, request);
    let with_shadow = counting.refusal(buckets, now_ns, true);
    if decision.outcome.allows() {
        match counting.refusal(buckets, now_ns, false) {
            Some(refusal) => decision = refusal,
            None => counting.take(buckets, now_ns, false),
        }
    }
    if let Some(shadow) = shadow.as_mut().filter(|shadow| shadow.outcome.allows()) {
        match with_shadow {
            Some(refusal) => **shadow = refusal,
            None if decision.outcome.allows() => counting.take(buckets, now_ns, true),
            None => {}
        }
    }
    Decision { shadow, ..decision }
}

/// What becomes of a request that a client sends: Envoy refuses it, or the program decides it.
#[must_use]
pub fn evaluate_raw(program: &LinkedProgram, request: &RawRequest) -> Decision {
    match received(request.clone()) {
        Ok(request) => evaluate(program, &request),
        Err(refusal) => refusal.decision(),
    }
}

/// The first matching rule of the first effect that has one, in decision order; else `otherwise`.
fn decide<'a>(
    rules: impl Iterator<Item = &'a Rule>,
    otherwise: &LinkedOtherwise,
    workload: &Workload,
    request: &Request,
) -> Decision {
    let matching: Vec<&Rule> = rules.filter(|rule| guard_matches(&rule.guard, workload, request)).collect();
    for effect in [Effect::Exempt, Effect::Deny, Effect::Allow] {
        if let Some(rule) = matching.iter().find(|rule| rule.effect == effect) {
            return by_rule(rule);
        }
    }
    by_otherwise(otherwise)
}

fn by_rule(rule: &Rule) -> Decision {
    let (outcome, respond) = match rule.effect {
        Effect::Exempt => (Outcome::Exempt, None),
        Effect::Deny => (Outcome::Denied, Some(answer(rule.respond.as_ref()))),
        Effect::Allow => (Outcome::Allowed, None),
    };
    Decision { outcome, rule: rule.id.clone(), respond, shadow: None }
}

fn by_limit(limit: &Limit) -> Decision {
    let respond = Some(limit.respond.clone());
    Decision { outcome: Outcome::Limited, rule: limit.id.clone(), respond, shadow: None }
}

fn by_otherwise(otherwise: &LinkedOtherwise) -> Decision {
    let (outcome, respond) = if otherwise.allow {
        (Outcome::OtherwiseAllowed, None)
    } else if &*otherwise.rule == crate::decision::DEFAULT_DENY {
        (Outcome::DefaultDenied, Some(answer(None)))
    } else {
        (Outcome::OtherwiseDenied, Some(answer(otherwise.respond.as_ref())))
    };
    Decision { outcome, rule: otherwise.rule.clone(), respond, shadow: None }
}

/// The stated answer, or 403 without a body.
fn answer(stated: Option<&Respond>) -> Respond {
    stated.cloned().unwrap_or(Respond { status: DENIED_STATUS, body: String::new() })
}

/// Whether method, path, peer and condition all match.
#[must_use]
pub fn guard_matches(guard: &Guard, workload: &Workload, request: &Request) -> bool {
    method_matches(guard, request)
        && path_matches(guard, request)
        && caller_matches(guard, workload, request)
        && condition_holds(guard, workload, request)
}

pub(crate) fn method_matches(guard: &Guard, request: &Request) -> bool {
    guard.methods.is_empty() || guard.methods.iter().any(|method| method.as_bytes() == request.method())
}

pub(crate) fn path_matches(guard: &Guard, request: &Request) -> bool {
    if guard.paths.is_empty() {
        return true;
    }
    let path = request.decoded_path();
    guard.paths.iter().any(|pattern| pattern.matches(&path))
}

pub(crate) fn caller_matches(guard: &Guard, workload: &Workload, request: &Request) -> bool {
    guard.peers.is_empty() || guard.peers.iter().any(|peer| peer_matches(peer, workload, request))
}

/// Whether the caller is this peer.
#[must_use]
pub fn peer_matches(peer: &Peer, workload: &Workload, request: &Request) -> bool {
    let principal = request.source.principal.as_deref();
    let service = || service_of(principal?, &workload.trust_domain);
    match peer {
        Peer::Service(wanted) => service().is_some_and(|caller| {
            caller.namespace == wanted.namespace && (wanted.name == "*" || caller.name == wanted.name)
        }),
        Peer::Namespace(wanted) => service().is_some_and(|caller| caller.namespace == *wanted),
        Peer::Ip(network) => network.contains(&request.source.canonical_ip()),
        Peer::Spiffe(wanted) => principal == Some(wanted.as_bytes()),
        Peer::Anyone => true,
    }
}

/// What became of computing a constant.
pub(crate) struct Folded {
    /// The value; `None` if there is none that can be written.
    pub(crate) value: Result<Option<Value>, StepsAreOut>,
    /// How many steps it took.
    pub(crate) steps: u64,
}

/// Computing a constant takes more steps than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StepsAreOut;

/// The value of an expression that refers to no attribute, in at most so many steps.
pub(crate) fn constant(expr: &Expr, steps_max: u64) -> Folded {
    let request = Request::default();
    let workload = Workload {
        namespace: String::new(),
        service: String::new(),
        labels: BTreeMap::new(),
        trust_domain: String::new(),
    };
    constant_for(expr, &request, &workload, steps_max)
}

/// The value of an expression that no request can change, for a workload, in at most so many steps.
pub(crate) fn constant_for(expr: &Expr, request: &Request, workload: &Workload, steps_max: u64) -> Folded {
    let mut scope = Scope::within(request, workload, steps_max);
    let value = scope.value(expr);
    let steps = steps_max - scope.steps_left();
    let value = if scope.steps_are_out() { Err(StepsAreOut) } else { Ok(value.and_then(written)) };
    Folded { value, steps }
}

/// A value as a constant; `None` if its texts are not UTF-8.
fn written(value: Computed) -> Option<Value> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).ok().map(Arc::from);
    match value {
        Computed::Bool(value) => Some(Value::Bool(value)),
        Computed::Int(value) => Some(Value::Int(value)),
        Computed::String(value) => text(value).map(Value::String),
        Computed::Ip(value) => Some(Value::Ip(value)),
        Computed::List(values) => values.into_iter().map(text).collect::<Option<_>>().map(Value::List),
    }
}

fn condition_holds(guard: &Guard, workload: &Workload, request: &Request) -> bool {
    guard.condition.as_ref().is_none_or(|condition| Scope::new(request, workload).holds(condition))
}

#[cfg(test)]
mod tests;
