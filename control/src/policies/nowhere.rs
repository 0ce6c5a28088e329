//! Where policies in force send requests and nobody is: services and versions of which no sidecar has joined.
//!
//! A policy may come before the service that it leads to, and the last replica of a version may leave after it. Envoy
//! answers requests that go there with 503.

use super::in_force::InForce;
use chancery_policy_lang::checked::{Calls, Destination, Mode};
use std::collections::{BTreeMap, BTreeSet};

/// Destinations that are told.
const NOWHERE_MAX: usize = 100;

/// The destinations of which there is no sidecar, each with the policies that lead there. Of very many the first.
#[must_use]
pub fn nowhere(in_force: &InForce) -> BTreeMap<Destination, BTreeSet<String>> {
    let mut found: BTreeMap<Destination, BTreeSet<String>> = BTreeMap::new();
    let enforced = in_force.policies.iter().map(|known| &known.policy);
    for policy in enforced.filter(|policy| policy.mode == Mode::Enforce) {
        for (destination, _) in policy.calls().into_iter().flat_map(Calls::destinations) {
            if in_force.population.has(destination) {
                continue;
            }
            if let Some(policies) = found.get_mut(destination) {
                policies.insert(policy.name.clone());
            } else if found.len() < NOWHERE_MAX {
                found.insert(destination.clone(), [policy.name.clone()].into());
            }
        }
    }
    found
}
