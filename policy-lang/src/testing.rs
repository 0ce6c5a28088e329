//! `test` blocks made ready to run: the program under test, and what is said when it decides otherwise.
//!
//! Running is left to the caller, who does it with the compiled module; the evaluator says the same.

mod calls;
mod leaving;
mod left_out;

pub use calls::{arrival_failure, caller_of, course_of, link_test_calls, way_failures};
pub use left_out::left_out;

use crate::check::TEST_TRUST_DOMAIN;
use crate::check::dump::header_expectation_text;
use crate::checked::{
    CheckedPolicy, CheckedTest, Direction, Expectation, HeaderExpectation, Message, Mode, SampleRate, Target,
    TestCase, Verdict,
};
use crate::decision::Decision;
use crate::diagnostic::{Code, Diagnostic};
use crate::eval::{Buckets, Course, evaluate_at, header_changes, logged};
use crate::link::link;
use crate::linked::{LinkedProgram, Workload};
use crate::request::{Headers, Refusal, Request, received};
use std::collections::BTreeMap;

/// The namespace of a test whose policy is on the whole mesh.
pub const ANY_NAMESPACE: &str = "any-namespace";
/// The service of a test whose policy is on more than one service.
pub const ANY_SERVICE: &str = "any-service";

const NOT_CONCERNED: Code = Code("E215");

/// The program that a test is about: the policies that it names, enforced whatever their mode, for
/// the first target of the first of them.
///
/// # Errors
/// When the policies contradict each other, or one of them does not concern that target.
pub fn link_test(test: &CheckedTest, policies: &[CheckedPolicy]) -> Result<LinkedProgram, Vec<Diagnostic>> {
    let named = test.policies.iter().filter_map(|name| policies.iter().find(|policy| policy.name == *name));
    let named: Vec<CheckedPolicy> =
        named.map(|policy| CheckedPolicy { mode: Mode::Enforce, ..policy.clone() }).collect();
    if let Some(leaving) = &test.leaving {
        return Ok(leaving::link(test, leaving, &named)?.without_calls());
    }
    let workload = workload_of_test(named.first());
    let linked = link(&named, &workload, Direction::Inbound)?;
    let in_program = linked.as_ref().map(|program| program.policies.as_slice()).unwrap_or_default();
    let left_out: Vec<Diagnostic> = named
        .iter()
        .filter(|policy| policy.acts_at_target() && !in_program.contains(&policy.name))
        .map(|policy| not_concerned(test, policy, &workload))
        .collect();
    match linked {
        Some(program) if left_out.is_empty() => Ok(program),
        // What callers do is all that they say.
        None if left_out.is_empty() => Ok(LinkedProgram::unrestricted(workload)),
        _ => Err(left_out),
    }
}

/// The workload for which a test is run that names this policy first.
fn workload_of_test(first: Option<&CheckedPolicy>) -> Workload {
    let scope = first.and_then(|policy| policy.targets.first());
    workload_of_scope(scope.map_or(&Target::Mesh, |scope| &scope.target))
}

/// A workload that a scope covers.
pub(crate) fn workload_of_scope(scope: &Target) -> Workload {
    let (namespace, service, labels) = match scope {
        Target::Mesh => (ANY_NAMESPACE, ANY_SERVICE, BTreeMap::new()),
        Target::Namespace(namespace) => (namespace.as_str(), ANY_SERVICE, BTreeMap::new()),
        Target::Service(service) if service.name == "*" => {
            (service.namespace.as_str(), ANY_SERVICE, BTreeMap::new())
        }
        Target::Service(service) => (service.namespace.as_str(), service.name.as_str(), BTreeMap::new()),
        Target::Workload { namespace, labels } => (namespace.as_str(), ANY_SERVICE, labels.clone()),
    };
    Workload {
        namespace: namespace.to_owned(),
        service: service.to_owned(),
        labels,
        trust_domain: TEST_TRUST_DOMAIN.to_owned(),
    }
}

fn not_concerned(test: &CheckedTest, policy: &CheckedPolicy, workload: &Workload) -> Diagnostic {
    let workload = format!("{}/{}", workload.namespace, workload.service);
    let message = format!("`{}` does not concern `{workload}`, for which the test is run", policy.name);
    Diagnostic::error(NOT_CONCERNED, test.span, message)
        .with(policy.name_span, "not attached to it")
        .help("a test is run for the first target of the first policy that it names: write another test")
}

/// When a test begins, in ns since 1970: any time, for nothing depends on it.
pub const BEGINNING_NS: u64 = 1_700_000_000_000_000_000;

/// The request of a case as it gets to the target: as Envoy shows it, and with the path that its caller's sidecar sends.
///
/// # Errors
/// Why Envoy refuses it, so that no module sees it.
pub fn arriving(
    case: &TestCase,
    program: &LinkedProgram,
    course: Option<&Course>,
) -> Result<Request, Refusal> {
    let request = received(case.request.clone())?;
    // A sender's sidecar decides before it rewrites.
    let arrives = course.filter(|_| program.direction == Direction::Inbound);
    let path = arrives.and_then(|course| course.path.clone());
    Ok(Request { path: path.unwrap_or_else(|| request.path.clone()), ..request })
}

/// What the evaluator decides of the requests of a test: of each case, of each of its requests, as they get to the
/// target by what is said of its `course`. The test begins with full buckets; the requests of a case are made at one
/// time, and the next case begins when the time of `within` is over.
#[must_use]
pub fn decisions(
    test: &CheckedTest,
    program: &LinkedProgram,
    course: impl Fn(&TestCase) -> Option<Course>,
) -> Vec<Vec<Decision>> {
    let mut buckets = Buckets::default();
    let mut now_ns = BEGINNING_NS;
    let of_case = |case: &TestCase| {
        let request = arriving(case, program, course(case).as_ref());
        let decide = |_| match &request {
            Ok(request) => evaluate_at(program, request, &mut buckets, now_ns),
            Err(refusal) => refusal.decision(),
        };
        let decisions = (0..case.repeat.max(1)).map(decide).collect();
        now_ns = case.end_ns(now_ns);
        decisions
    };
    test.cases.iter().map(of_case).collect()
}

/// What is wrong with a program's decisions on the requests of a case, and with what it makes of headers, in words.
#[must_use]
pub fn failures(
    case: &TestCase,
    program: &LinkedProgram,
    course: Option<&Course>,
    found: &[Decision],
) -> Vec<String> {
    let of_verdicts = case.expect.iter().filter_map(|expected| failure(expected, found));
    let mut failures: Vec<String> = of_verdicts.collect();
    if case.headers.is_empty() {
        return failures;
    }
    let messages = match arriving(case, program, course) {
        Ok(request) if found.iter().all(|decision| decision.outcome.allows()) => {
            let changes = header_changes(program, &request, &case.response);
            let (mut sent, mut answered) = (request.headers, case.response.headers.clone());
            changes.request.iter().for_each(|change| change.apply(&mut sent));
            changes.response.iter().for_each(|change| change.apply(&mut answered));
            Some([sent, answered])
        }
        _ => None,
    };
    for expected in &case.headers {
        let got = match &messages {
            Some([sent, answered]) => {
                let headers = if expected.message == Message::Request { sent } else { answered };
                header_failure(expected, headers)
            }
            // Nobody gets what is refused.
            None => found.iter().find(|decision| !decision.outcome.allows()).map(found_text),
        };
        failures.extend(got.map(|got| format!("expected {}, got {got}", header_expectation_text(expected))));
    }
    failures
}

/// What a header is, if it is not as expected.
fn header_failure(expected: &HeaderExpectation, headers: &Headers) -> Option<String> {
    let of_it = headers.iter().filter(|(name, _)| name == expected.header.as_bytes());
    let values: Vec<&[u8]> = of_it.map(|(_, value)| value.as_slice()).collect();
    let found = (!values.is_empty()).then(|| values.join(&b","[..]));
    match found {
        found if found == expected.value => None,
        Some(found) => Some(format!("{:?}", String::from_utf8_lossy(&found))),
        None => Some("none".to_owned()),
    }
}

/// How many requests are logged of which the same is to be said as of this one of a case.
#[must_use]
pub fn rate(
    case: &TestCase,
    program: &LinkedProgram,
    course: Option<&Course>,
    decision: &Decision,
) -> SampleRate {
    match arriving(case, program, course) {
        Ok(request) => {
            let response = case.response.delivered(program, &request, decision);
            logged(program, &request, decision, &response)
        }
        // No module sees it, so that the sidecar logs it.
        Err(_) => SampleRate::ALL,
    }
}

/// What is wrong with how many of such requests are logged as those of a case, in words.
#[must_use]
pub fn log_failure(case: &TestCase, found: &[SampleRate]) -> Option<String> {
    let (expected, words) = match case.logged? {
        true => (SampleRate::ALL, "logged"),
        false => (SampleRate::NONE, "not logged"),
    };
    let other = found.iter().find(|rate| **rate != expected)?;
    let got = match *other {
        SampleRate::ALL => "it is logged".to_owned(),
        SampleRate::NONE => "it is not".to_owned(),
        share => format!("{share} of such requests are"),
    };
    Some(format!("expected {words}, but {got}"))
}

fn failure(expected: &Expectation, found: &[Decision]) -> Option<String> {
    let as_expected = found.iter().filter(|decision| meets(decision, expected)).count();
    let wanted = expected.count.map_or(found.len(), |count| count as usize);
    if as_expected == wanted {
        return None;
    }
    let verdict = verdict_text(expected.verdict, expected.status, expected.by.as_deref());
    if expected.count.is_some() {
        return Some(format!("expected {wanted} {verdict}, got {}", counted(found)));
    }
    let other = found.iter().find(|decision| !meets(decision, expected)).map(found_text);
    let of_all = if found.len() > 1 { format!(" ({})", counted(found)) } else { String::new() };
    other.map(|other| format!("expected {verdict}, got {other}{of_all}"))
}

fn meets(found: &Decision, expected: &Expectation) -> bool {
    let status = found.respond.as_ref().map(|respond| respond.status);
    found.outcome.verdict() == expected.verdict
        && expected.status.is_none_or(|expected| Some(expected) == status)
        && expected.by.as_deref().is_none_or(|by| is_rule(by, &found.rule))
}

/// How many decisions there are of each kind.
fn counted(found: &[Decision]) -> String {
    let mut kinds: Vec<(String, usize)> = Vec::new();
    for text in found.iter().map(found_text) {
        match kinds.iter_mut().find(|(known, _)| *known == text) {
            Some((_, count)) => *count += 1,
            None => kinds.push((text, 1)),
        }
    }
    let kinds: Vec<String> = kinds.into_iter().map(|(text, count)| format!("{count} {text}")).collect();
    kinds.join(", ")
}

fn found_text(found: &Decision) -> String {
    let status = found.respond.as_ref().map(|respond| respond.status);
    verdict_text(found.outcome.verdict(), status, Some(&found.rule))
}

/// Whether a rule named in a test is the one of this id: `rule` or `policy/rule`.
fn is_rule(written: &str, id: &str) -> bool {
    written == id || id.rsplit_once('/').is_some_and(|(_, name)| name == written)
}

fn verdict_text(verdict: Verdict, status: Option<u16>, by: Option<&str>) -> String {
    let verdict = verdict.as_str();
    let status = status.map(|status| format!(" {status}")).unwrap_or_default();
    let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
    format!("{verdict}{status}{by}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checked::Respond;
    use crate::decision::Outcome;
    use crate::source::Span;

    fn expected(verdict: Verdict, status: Option<u16>, by: Option<&str>) -> Expectation {
        Expectation { count: None, verdict, status, by: by.map(str::to_owned), span: Span::default() }
    }

    fn denied() -> Decision {
        let respond = Some(Respond { status: 403, body: String::new() });
        Decision { outcome: Outcome::Denied, rule: "orders/ban".into(), respond, shadow: None }
    }

    fn limited() -> Decision {
        let respond = Some(Respond { status: 429, body: String::new() });
        Decision { outcome: Outcome::Limited, rule: "orders/burst".into(), respond, shadow: None }
    }

    fn check(verdict: Verdict, status: Option<u16>, by: Option<&str>, words: Option<&str>) {
        assert_eq!(failure(&expected(verdict, status, by), &[denied()]).as_deref(), words);
    }

    #[test]
    fn a_failure_says_what_was_expected_and_what_came() {
        check(Verdict::Deny, None, None, None);
        check(Verdict::Deny, Some(403), Some("ban"), None);
        check(Verdict::Deny, None, Some("orders/ban"), None);
        check(Verdict::Allow, None, None, Some("expected allow, got deny 403 by orders/ban"));
        check(Verdict::Limited, None, None, Some("expected limited, got deny 403 by orders/ban"));
        check(Verdict::Deny, Some(401), None, Some("expected deny 401, got deny 403 by orders/ban"));
        check(Verdict::Deny, None, Some("an"), Some("expected deny by an, got deny 403 by orders/ban"));
    }

    #[test]
    fn of_many_requests_so_many_must_be_as_expected() {
        let found = [denied(), limited(), limited()];
        let counted = |count| Expectation { count: Some(count), ..expected(Verdict::Limited, None, None) };
        let words = "got 1 deny 403 by orders/ban, 2 limited 429 by orders/burst";
        assert_eq!(failure(&counted(2), &found), None);
        assert_eq!(failure(&counted(3), &found), Some(format!("expected 3 limited, {words}")));
        let all = failure(&expected(Verdict::Deny, None, None), &found);
        let of_all = "(1 deny 403 by orders/ban, 2 limited 429 by orders/burst)";
        assert_eq!(all, Some(format!("expected deny, got limited 429 by orders/burst {of_all}")));
    }
}
