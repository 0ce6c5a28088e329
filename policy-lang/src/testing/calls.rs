//! What tests say of where requests go.

use super::{not_concerned, workload_of_test};
use crate::budget::Budget;
use crate::checked::{
    CheckedPolicy, CheckedTest, Destination, Direction, ExpectedWay, ExpectedWayKind, Mode, ServiceRef,
    TestCase, Way,
};
use crate::diagnostic::Diagnostic;
use crate::eval::{Course, course};
use crate::link::{link_calls, link_settings};
use crate::linked::{LinkedProgram, Workload};
use crate::request::{received, service_of};
use std::collections::BTreeMap;

/// The program by which a caller treats the requests of a test to the target that the test is about: of the policies
/// that it names, enforced whatever their mode. `None` if they say nothing of it.
///
/// # Errors
/// When the policies contradict each other, or one of them does not concern that target.
pub fn link_test_calls(
    test: &CheckedTest,
    policies: &[CheckedPolicy],
    caller: Option<&ServiceRef>,
) -> Result<Option<LinkedProgram>, Vec<Diagnostic>> {
    let named = test.policies.iter().filter_map(|name| policies.iter().find(|policy| policy.name == *name));
    let named: Vec<CheckedPolicy> =
        named.map(|policy| CheckedPolicy { mode: Mode::Enforce, ..policy.clone() }).collect();
    if let Some(leaving) = &test.leaving {
        let linked = super::leaving::link(test, leaving, &named)?;
        return Ok((!linked.calls.is_empty()).then(|| linked.calls_alone()));
    }
    let target = Workload { labels: BTreeMap::new(), ..workload_of_test(named.first()) };
    link_settings(&named, &target)?;
    let caller = caller.map(|service| Workload::of_service(service, &target.trust_domain));
    let linked = link_calls(&named, &target, caller.as_ref(), &mut Budget::new())?;
    let in_program = linked.as_ref().map(|program| program.policies.as_slice()).unwrap_or_default();
    let says_something =
        |policy: &&CheckedPolicy| policy.calls().is_some_and(|calls| !calls.says_nothing_of_requests());
    let left_out = named.iter().filter(says_something).filter(|policy| !in_program.contains(&policy.name));
    let left_out: Vec<Diagnostic> = left_out.map(|policy| not_concerned(test, policy, &target)).collect();
    if left_out.is_empty() { Ok(linked) } else { Err(left_out) }
}

/// The service that makes the request of a case, if it is one of the mesh.
#[must_use]
pub fn caller_of(case: &TestCase, workload: &Workload) -> Option<ServiceRef> {
    service_of(case.request.source.principal.as_deref()?, &workload.trust_domain)
}

/// What becomes of the request of a case in its caller's sidecar; `None` if it is refused.
#[must_use]
pub fn course_of(case: &TestCase, program: Option<&LinkedProgram>) -> Option<Course> {
    let request = received(case.request.clone()).ok()?;
    match program {
        Some(program) => course(program, &request),
        None => Some(Course::default()),
    }
}

/// What is wrong with where the request of a case goes, in words, if it is said where it is to go.
#[must_use]
pub fn way_failures(case: &TestCase, course: Option<&Course>, workload: &Workload) -> Vec<String> {
    let itself = Destination {
        service: ServiceRef { namespace: workload.namespace.clone(), name: workload.service.clone() },
        version: None,
    };
    case.ways.iter().filter_map(|expected| way_failure(expected, course, &itself)).collect()
}

/// What is wrong if something is expected of the target, and the request does not get there.
#[must_use]
pub fn arrival_failure(case: &TestCase, course: Option<&Course>, program: &LinkedProgram) -> Option<String> {
    // What a sender's sidecar decides, it decides before.
    if program.direction == Direction::Outbound || (case.expect.is_empty() && case.headers.is_empty()) {
        return None;
    }
    let workload = &program.workload;
    let way = course?.way.as_ref()?;
    let arrives = match &way.does {
        Way::Redirect { .. } => false,
        Way::Route(to) => to.iter().any(|weighted| {
            let service = &weighted.to.service;
            service.namespace == workload.namespace && service.name == workload.service
        }),
    };
    let target = format!("{}/{}", workload.namespace, workload.service);
    (!arrives)
        .then(|| format!("nothing can be expected of {target}: the request goes elsewhere by {}", way.id))
}

fn way_failure(expected: &ExpectedWay, course: Option<&Course>, itself: &Destination) -> Option<String> {
    let wanted = match &expected.kind {
        ExpectedWayKind::To(to) => format!("to service {to}"),
        ExpectedWayKind::Redirected(location) => format!("to {location:?}"),
    };
    let Some(course) = course else { return Some(format!("expected {wanted}, got a refusal")) };
    let by = course.way.as_ref().map(|way| format!(" by {}", way.id)).unwrap_or_default();
    let (is_met, found) = match (&course.location, course.way.as_ref().map(|way| &way.does)) {
        (Some(location), _) => {
            let location = String::from_utf8_lossy(location).into_owned();
            let is_met = matches!(&expected.kind, ExpectedWayKind::Redirected(wanted) if *wanted == location);
            (is_met, format!("to {location:?}"))
        }
        (None, Some(Way::Route(to))) => {
            let possible: Vec<&Destination> =
                to.iter().filter(|weighted| weighted.share > 0).map(|weighted| &weighted.to).collect();
            let is_met = matches!(&expected.kind, ExpectedWayKind::To(wanted) if possible.contains(&wanted));
            let names: Vec<String> = possible.iter().map(ToString::to_string).collect();
            (is_met, format!("to service {}", names.join(" or ")))
        }
        (None, _) => {
            let is_met = matches!(&expected.kind, ExpectedWayKind::To(wanted) if wanted == itself);
            (is_met, format!("to service {itself}"))
        }
    };
    (!is_met).then(|| format!("expected {wanted}, got {found}{by}"))
}
