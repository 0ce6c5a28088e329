//! `test` blocks made ready to run: the program under test, and what is said when it decides otherwise.
//!
//! Running is left to the caller, who does it with the compiled module; the evaluator says the same.

mod left_out;

pub use left_out::left_out;

use crate::check::TEST_TRUST_DOMAIN;
use crate::checked::{CheckedPolicy, CheckedTest, Direction, Expectation, Mode, Target};
use crate::decision::Decision;
use crate::diagnostic::{Code, Diagnostic};
use crate::link::link;
use crate::linked::{LinkedProgram, Workload};
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
    let workload = workload_of_test(named.first());
    let linked = link(&named, &workload, Direction::Inbound)?;
    let in_program = linked.as_ref().map(|program| program.policies.as_slice()).unwrap_or_default();
    let left_out: Vec<Diagnostic> = named
        .iter()
        .filter(|policy| !in_program.contains(&policy.name))
        .map(|policy| not_concerned(test, policy, &workload))
        .collect();
    match linked {
        Some(program) if left_out.is_empty() => Ok(program),
        _ => Err(left_out),
    }
}

/// The workload for which a test is run that names this policy first.
fn workload_of_test(first: Option<&CheckedPolicy>) -> Workload {
    let scope = first.and_then(|policy| policy.targets.first());
    workload_of_scope(scope.map_or(&Target::Mesh, |scope| &scope.target))
}

/// A workload that a scope covers.
fn workload_of_scope(scope: &Target) -> Workload {
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

/// What is wrong with a decision, in words; `None` if it is as expected.
#[must_use]
pub fn failure(expected: &Expectation, found: &Decision) -> Option<String> {
    let allowed = found.outcome.allows();
    let status = found.respond.as_ref().map(|respond| respond.status);
    let by = expected.by.as_deref();
    let as_expected = allowed == expected.allow
        && expected.status.is_none_or(|expected| Some(expected) == status)
        && by.is_none_or(|by| is_rule(by, &found.rule));
    if as_expected {
        return None;
    }
    let found = verdict_text(allowed, status, Some(&found.rule));
    Some(format!("expected {}, got {found}", verdict_text(expected.allow, expected.status, by)))
}

/// Whether a rule named in a test is the one of this id: `rule` or `policy/rule`.
fn is_rule(written: &str, id: &str) -> bool {
    written == id || id.rsplit_once('/').is_some_and(|(_, name)| name == written)
}

fn verdict_text(allow: bool, status: Option<u16>, by: Option<&str>) -> String {
    let verdict = if allow { "allow" } else { "deny" };
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

    fn check(allow: bool, status: Option<u16>, by: Option<&str>, expected: Option<&str>) {
        let expectation = Expectation { allow, status, by: by.map(str::to_owned), span: Span::default() };
        let respond = Some(Respond { status: 403, body: String::new() });
        let decision =
            Decision { outcome: Outcome::Denied, rule: "orders/ban".into(), respond, shadow: None };
        assert_eq!(failure(&expectation, &decision).as_deref(), expected);
    }

    #[test]
    fn a_failure_says_what_was_expected_and_what_came() {
        check(false, None, None, None);
        check(false, Some(403), Some("ban"), None);
        check(false, None, Some("orders/ban"), None);
        check(true, None, None, Some("expected allow, got deny 403 by orders/ban"));
        check(false, Some(401), None, Some("expected deny 401, got deny 403 by orders/ban"));
        check(false, None, Some("an"), Some("expected deny by an, got deny 403 by orders/ban"));
    }
}
