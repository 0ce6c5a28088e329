//! Where the lines of a workload go: the union of what its `log` policies say.

use super::errors;
use crate::checked::{CheckedPolicy, Goal, Sending};
use crate::diagnostic::Diagnostic;
use crate::sinks::{Goals, SINKS_MAX, STDOUT};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The sinks that these policies send to, as far as they are among `all`: that each exists is asked where all policies
/// of a mesh are known, and the tests of a policy do not ask where its lines go.
pub(super) fn goals<'a>(
    concerned: &[&CheckedPolicy],
    all: impl Iterator<Item = &'a CheckedPolicy> + Clone,
) -> Result<Goals, Vec<Diagnostic>> {
    let mut named: BTreeMap<&Arc<str>, &Sending> = BTreeMap::new();
    for send in concerned.iter().filter_map(|policy| policy.log()).flat_map(|log| &log.sends) {
        named.entry(&send.sink).or_insert(send);
        if named.len() > SINKS_MAX {
            return Err(vec![errors::many_sinks(send)]);
        }
    }
    let goal = |name: &str| {
        let mut sinks = all.clone().filter(|policy| policy.name == name);
        sinks.find_map(CheckedPolicy::sink).map(|sink| sink.goal.clone())
    };
    let known = named.into_keys().filter_map(|name| match &**name {
        STDOUT => Some((name.clone(), Goal::Stdout)),
        _ => goal(name).map(|goal| (name.clone(), goal)),
    });
    Ok(known.collect())
}
