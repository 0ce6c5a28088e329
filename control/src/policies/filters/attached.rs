//! Filters that policies attach, seen beside the filters that were pushed.

use crate::mesh::model::filter::FilterName;
use crate::mesh::model::{DesiredState, FilterId, FilterRecord};
use crate::policies::in_force::PolicySet;
use chancery_policy_lang::Diagnostic;
use chancery_policy_lang::checked::{
    Attached, CheckedPolicy, Destination, Direction, FilterVersion, Grants, ServiceRef,
};
use chancery_policy_lang::filters::{Granting, Pushed, Registry};
use chancery_policy_lang::link::{LinkedFilter, link_filters, link_plaintext};
use chancery_policy_lang::linked::Workload;
use chancery_sdk_admission::{Capability, limit_calls};
use chancery_sdk_host::abi::{guest_exports, host_calls};
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

/// The versions of a filter, the oldest first.
fn versions<'s>(state: &'s DesiredState, name: &str) -> impl Iterator<Item = &'s Arc<FilterRecord>> {
    let name: Option<FilterName> = name.parse().ok();
    // Before the first version of all there is none.
    let first = name
        .as_ref()
        .and_then(|name| Some(FilterId { name: name.clone(), version: "0.0.0-0".parse().ok()? }));
    let range = first.map(|first| state.filters.range((Bound::Included(first), Bound::Unbounded)));
    let is_of = move |(id, _): &(&FilterId, &Arc<FilterRecord>)| Some(&id.name) == name.as_ref();
    range.into_iter().flatten().take_while(is_of).map(|(_, record)| record)
}

/// The version that a policy attaches, if it was pushed.
#[must_use]
pub fn record<'s>(state: &'s DesiredState, attached: &Attached) -> Option<&'s Arc<FilterRecord>> {
    versions(state, &attached.name).find(|record| match &attached.version {
        FilterVersion::Number(number) => record.id.version.to_string() == **number,
        FilterVersion::Digest(digest) => record.digest.to_string() == **digest,
    })
}

/// The filters that a policy uses: those that have to stay as long as it does.
#[must_use]
pub fn used(state: &DesiredState, policy: &CheckedPolicy) -> BTreeSet<FilterId> {
    let attached = policy.filter().map(|body| &body.attached);
    attached
        .and_then(|attached| record(state, attached))
        .map(|record| record.id.clone())
        .into_iter()
        .collect()
}

/// What was pushed, as the language asks about it.
#[must_use]
pub fn registry(state: &DesiredState) -> Registry {
    let mut registry = Registry::new();
    for record in state.filters.values() {
        let can = |capability: Capability| capability.is_allowed(record.may.as_ref());
        let grants = Granting {
            call: can(Capability::Call),
            read_body: can(Capability::ReadBody),
            change_body: can(Capability::ChangeBody),
            share_data: can(Capability::ShareData),
        };
        let (number, digest) = (record.id.version.to_string().into(), record.digest.to_string().into());
        registry.entry(record.id.name.as_str().into()).or_default().push(Pushed { number, digest, grants });
    }
    registry
}

/// What a policy grants, as capabilities.
#[must_use]
pub fn granted(may: &Grants) -> BTreeSet<Capability> {
    let all = [
        (!may.calls.is_empty(), Capability::Call),
        (may.read_body, Capability::ReadBody),
        (may.change_body, Capability::ChangeBody),
        (may.share_data, Capability::ShareData),
    ];
    all.into_iter().filter(|(is_granted, _)| *is_granted).map(|(_, capability)| capability).collect()
}

/// The host calls and callbacks that a module may have under what a policy grants. Never empty, for to Envoy none means
/// all: each module may write to the log.
#[must_use]
pub fn allowed(record: &FilterRecord, may: &Grants) -> BTreeSet<String> {
    let granted = granted(may);
    let is_allowed = |name: &&String| {
        let function = host_calls::find(name).or_else(|| guest_exports::find(name));
        let capability = function.and_then(Capability::of);
        capability.is_none_or(|capability| capability.is_allowed(Some(&granted)))
    };
    let log = host_calls::LOG.name.to_owned();
    record.allowed.iter().filter(is_allowed).cloned().chain([log]).collect()
}

/// The cluster of a destination in the mesh, and its endpoints: by this name modules call it, too.
#[must_use]
pub fn mesh_cluster(destination: &Destination) -> String {
    format!("mesh/{destination}")
}

/// A service as modules call it.
#[must_use]
pub fn called(service: &ServiceRef) -> Destination {
    Destination { service: service.clone(), version: None }
}

/// A module that calls the services that a policy lets it call, and no other.
///
/// # Errors
/// In words, if the module is none that was admitted.
pub fn granting(module: &Arc<[u8]>, may: &Grants) -> Result<Arc<[u8]>, String> {
    // Without a word of calls Envoy makes none.
    if may.calls.is_empty() {
        return Ok(module.clone());
    }
    let clusters: Vec<_> = may.calls.iter().map(|service| mesh_cluster(&called(service))).collect();
    limit_calls(module, &clusters).map(Arc::from).map_err(|error| error.to_string())
}

/// The filters in the way of a workload's requests, in their order.
///
/// # Errors
/// How the policies contradict each other.
pub fn linked(
    policies: &PolicySet,
    workload: &Workload,
    direction: Direction,
) -> Result<Vec<LinkedFilter>, Vec<Diagnostic>> {
    let concerned = match direction {
        Direction::Inbound => policies.concerning(workload),
        Direction::Outbound => policies.leaving(workload),
    };
    let concerned = concerned.into_iter().map(|(policy, _)| &policy.policy);
    link_filters(concerned.filter(|policy| policy.filter().is_some()), workload, direction)
}

/// The policy by which a workload takes connections without TLS, if it does.
///
/// # Errors
/// How the policies contradict each other.
pub fn plaintext(policies: &PolicySet, workload: &Workload) -> Result<Option<Arc<str>>, Vec<Diagnostic>> {
    let concerned = policies.concerning(workload);
    link_plaintext(concerned.into_iter().map(|(policy, _)| &policy.policy), workload)
}
