//! The filters that stand in the way of a workload's requests, in their order.
//!
//! ```text
//! phase    before auth, after auth, last
//! scope    mesh, namespace, service, workload
//! policy   by its name
//! ```
//!
//! So no order depends on where a policy is written. A policy attaches its filter once to a workload and direction,
//! however many of its targets cover it. Two policies may attach one filter, with a configuration each; two versions of
//! one filter in the way of one request are a contradiction.

use super::{Specificity, errors, scope};
use crate::checked::{CheckedPolicy, Direction, FilterBody, Mode};
use crate::diagnostic::Diagnostic;
use crate::linked::Workload;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

/// The most filters in the way of the requests of a workload in one direction: each takes some MiB in each of its
/// sidecars.
pub const FILTERS_MAX: usize = 16;

/// A filter in the way of a workload's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkedFilter {
    /// The policy that attaches it.
    pub policy: Arc<str>,
    /// How narrowly the policy is about the workload.
    pub scope: Specificity,
    /// What the policy says.
    pub body: FilterBody,
}

/// The filters in the way of a workload's requests, in the order in which they see a request.
///
/// # Errors
/// One diagnostic for each contradiction between policies, and if there are very many.
pub fn link_filters<'a>(
    policies: impl IntoIterator<Item = &'a CheckedPolicy>,
    workload: &Workload,
    direction: Direction,
) -> Result<Vec<LinkedFilter>, Vec<Diagnostic>> {
    let attached = policies
        .into_iter()
        .filter(|policy| policy.mode == Mode::Enforce)
        .filter_map(|policy| Some((policy.filter()?, scope::reach(policy, workload, direction)?, policy)));
    let mut attached: Vec<(&FilterBody, Specificity, &CheckedPolicy)> = attached.collect();
    attached.sort_by(|(a, of_a, by_a), (b, of_b, by_b)| {
        (a.phase, of_a, &by_a.name).cmp(&(b.phase, of_b, &by_b.name))
    });
    let mut found = Vec::new();
    let mut first: BTreeMap<&str, (&FilterBody, &CheckedPolicy)> = BTreeMap::new();
    for (body, _, policy) in &attached {
        let (other, by) = *first.entry(&body.attached.name).or_insert((body, policy));
        if other.attached != body.attached {
            found.push(errors::two_versions((by, other), (policy, body)));
        }
    }
    if let Some((body, _, policy)) = attached.get(FILTERS_MAX) {
        found.push(errors::many_filters(policy, body));
    }
    if !found.is_empty() {
        return Err(found);
    }
    let linked = attached.into_iter().map(|(body, scope, policy)| LinkedFilter {
        policy: policy.name.as_str().into(),
        scope,
        body: body.clone(),
    });
    Ok(linked.collect())
}

/// The text form of the filters of a workload in one direction, one entry a line in their order.
#[must_use]
pub fn dump_filters(filters: &[LinkedFilter], direction: Direction) -> String {
    let mut out = String::new();
    for LinkedFilter { policy, scope, body } in filters {
        let direction = match direction {
            Direction::Inbound => "inbound",
            Direction::Outbound => "outbound",
        };
        let (phase, failure) = (body.phase.as_str(), body.on_failure.as_str());
        // Writing to a string does not fail.
        let _ =
            write!(out, "filter {policy}: {} {direction} {phase} at {} scope", body.attached, scope.as_str());
        let _ = write!(out, ", on failure {failure}");
        for words in body.may.words() {
            let _ = write!(out, ", may {words}");
        }
        if let Some(config) = &body.config {
            let _ = write!(out, ", config {config}");
        }
        out.push('\n');
    }
    out
}
