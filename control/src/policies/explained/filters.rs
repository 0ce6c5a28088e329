//! The filters in the way of a request. What they do to it nobody knows but they, so they are named and no more.

use super::Policies;
use chancery_policy_lang::Diagnostic;
use chancery_policy_lang::checked::Direction;
use chancery_policy_lang::link::link_filters;
use chancery_policy_lang::linked::Workload;
use serde::Serialize;
use std::fmt;

/// A filter that a request passes if what stands before it lets it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Passed {
    /// Name and version.
    filter: String,
    /// The policy that attaches it.
    policy: String,
    /// `file:line` of its `use`.
    place: String,
    /// Such as `after auth`.
    phase: &'static str,
    /// In whose sidecar: the `caller`'s, or that of the `target`.
    sidecar: &'static str,
}

/// The filters in the way of a request from a caller to a workload, in their order.
pub(super) fn passed(
    policies: Policies<'_>,
    caller: Option<&Workload>,
    workload: &Workload,
) -> Result<Vec<Passed>, Vec<Diagnostic>> {
    let sidecars = caller.map(|caller| (caller, Direction::Outbound, "caller"));
    let sidecars = sidecars.into_iter().chain([(workload, Direction::Inbound, "target")]);
    let mut passed = Vec::new();
    for (whose, direction, sidecar) in sidecars {
        let filters = link_filters(policies.checked, whose, direction)?;
        passed.extend(filters.into_iter().map(|filter| Passed {
            filter: filter.body.attached.to_string(),
            policy: filter.policy.to_string(),
            place: policies.sources.location(filter.body.attached_span),
            phase: filter.body.phase.as_str(),
            sidecar,
        }));
    }
    Ok(passed)
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { filter, policy, place, phase, sidecar } = self;
        write!(f, "filter {filter} of {policy} ({place}) sees it {phase}, in the {sidecar}'s sidecar")
    }
}
