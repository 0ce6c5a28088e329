//! What redactions keep from lines that others write: the sidecar by itself, and the sidecars of callers.

use super::scope;
use crate::checked::{CheckedPolicy, Direction, Mode, Redact, Redaction, Target};
use crate::linked::Workload;
use crate::log::{HIDEABLE, origin};
use std::collections::BTreeMap;

/// What enforced policies redact.
fn redactions<'a>(
    policies: impl IntoIterator<Item = &'a CheckedPolicy>,
) -> impl Iterator<Item = &'a Redaction> {
    let enforced = policies.into_iter().filter(|policy| policy.mode == Mode::Enforce);
    enforced.filter_map(CheckedPolicy::log).flat_map(|log| &log.redactions)
}

/// Of each origin that policies redact, what stands in its place.
pub(super) fn redacted<'a>(
    policies: impl IntoIterator<Item = &'a CheckedPolicy>,
) -> BTreeMap<String, Redact> {
    let mut redacted: BTreeMap<String, Redact> = BTreeMap::new();
    for redaction in redactions(policies) {
        let how = redacted.entry(origin(&redaction.source)).or_insert(redaction.how);
        *how = redaction.how.max(*how);
    }
    redacted
}

/// By its name what stands in the place of each field that a sidecar shows of any request, if policies redact it.
#[must_use]
pub fn hidden<'a>(policies: impl IntoIterator<Item = &'a CheckedPolicy>) -> BTreeMap<&'static str, Redact> {
    let redacted = redacted(policies);
    let of_field = HIDEABLE
        .into_iter()
        .filter_map(|(name, attribute)| redacted.get(&origin(&attribute)).map(|how| (name, *how)));
    of_field.collect()
}

/// Whether a policy redacts something of requests to a service, be it those to some of its workloads alone: callers do not
/// know to which one a request will go.
#[must_use]
pub fn may_hide(policy: &CheckedPolicy, service: &Workload) -> bool {
    let reaches = |target: &Target| match target {
        Target::Workload { namespace, .. } => *namespace == service.namespace,
        other => scope::covers(other, service).is_some(),
    };
    let mut inbound = policy.targets.iter().filter(|scope| scope.direction == Direction::Inbound);
    redactions([policy]).next().is_some() && inbound.any(|scope| reaches(&scope.target))
}
