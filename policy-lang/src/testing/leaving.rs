//! Tests of policies of what leaves a workload: the program of its sidecar for the service that is called.

use super::{not_concerned, workload_of_test};
use crate::budget::Budget;
use crate::check::TEST_TRUST_DOMAIN;
use crate::checked::{CheckedPolicy, CheckedTest, Direction, Leaving};
use crate::diagnostic::Diagnostic;
use crate::link::link_calls;
use crate::linked::{LinkedProgram, Workload};

/// The program of a test's policies, which are enforced, for its sender and the service that it calls.
pub(super) fn link(
    test: &CheckedTest,
    leaving: &Leaving,
    named: &[CheckedPolicy],
) -> Result<LinkedProgram, Vec<Diagnostic>> {
    let labels = workload_of_test(named.first()).labels;
    let sender = Workload { labels, ..Workload::of_service(&leaving.sender, TEST_TRUST_DOMAIN) };
    let target = Workload::of_service(&leaving.to, TEST_TRUST_DOMAIN);
    let linked = link_calls(named, &target, Some(&sender), &mut Budget::new())?;
    let linked = linked.unwrap_or_else(|| LinkedProgram {
        direction: Direction::Outbound,
        ..LinkedProgram::unrestricted(target)
    });
    let left_out = named.iter().filter(|policy| !linked.policies.contains(&policy.name));
    let left_out: Vec<Diagnostic> = left_out.map(|policy| not_concerned(test, policy, &sender)).collect();
    if left_out.is_empty() { Ok(linked) } else { Err(left_out) }
}
