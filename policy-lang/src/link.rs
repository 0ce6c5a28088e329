//! `link`: all policies that concern one target, combined into one program.
//!
//! Every operator is commutative, so the order of files, policies and statements cannot matter:
//! rules are a set, `otherwise` is chosen by the specificity of its scope, and the order in which
//! rules are asked is computed from their content.

mod dump;
mod errors;
mod fold;
pub(crate) mod order;
mod otherwise;
mod scope;

pub use dump::dump;

use crate::checked::{CheckedPolicy, Mode, Peer, Rule};
use crate::diagnostic::Diagnostic;
use crate::linked::{LinkedProgram, LinkedRule, TargetContext};
use crate::literals::star_positions;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The program of one target, or `None` if no `auth` policy in force or in shadow concerns it.
///
/// # Errors
/// One diagnostic for each conflict between policies, such as two different `otherwise` at the same
/// scope.
pub fn link(
    policies: &[CheckedPolicy],
    target: &TargetContext,
) -> Result<Option<LinkedProgram>, Vec<Diagnostic>> {
    let mut concerned: Vec<&CheckedPolicy> = policies
        .iter()
        .filter(|policy| policy.mode != Mode::Off && scope::reach(policy, target).is_some())
        .collect();
    if concerned.is_empty() {
        return Ok(None);
    }
    concerned.sort_by(|a, b| a.name.cmp(&b.name));
    let (enforced, shadowed): (Vec<&CheckedPolicy>, Vec<&CheckedPolicy>) =
        concerned.iter().partition(|policy| policy.mode == Mode::Enforce);

    let otherwise = otherwise::of_enforced(&enforced, target)?;
    let shadow_otherwise = match shadowed.is_empty() {
        true => None,
        false => Some(otherwise::with_shadow(&enforced, &shadowed, target)?),
    };
    let mut rules = Vec::new();
    for policy in &concerned {
        let shadow = policy.mode != Mode::Enforce;
        for rule in &policy.rules {
            let folded = fold::rule(rule, target);
            rules.extend(
                folded.into_iter().flat_map(split).map(|rule| LinkedRule { rule: Arc::new(rule), shadow }),
            );
        }
    }
    order::sort(&mut rules);
    Ok(Some(LinkedProgram {
        target: target.clone(),
        rules,
        otherwise,
        shadow_otherwise,
        policies: concerned.iter().map(|policy| policy.name.clone()).collect(),
    }))
}

/// A rule as the entries that stand for it: one for each set of star positions of its paths and
/// each kind of its peers, for only then is each of its literals about one subject. All have its id.
fn split(rule: Rule) -> Vec<Rule> {
    let mut paths = BTreeMap::new();
    for pattern in &rule.paths {
        paths.entry(star_positions(pattern)).or_insert_with(Vec::new).push(pattern.clone());
    }
    let mut paths: Vec<_> = paths.into_values().collect();
    if paths.is_empty() {
        paths.push(Vec::new());
    }
    let (addresses, identities): (Vec<Peer>, Vec<Peer>) = match rule.peers.contains(&Peer::Anyone) {
        true => (Vec::new(), Vec::new()),
        false => rule.peers.iter().cloned().partition(|peer| matches!(peer, Peer::Ip(_))),
    };
    let mut peers: Vec<_> = [identities, addresses].into_iter().filter(|kind| !kind.is_empty()).collect();
    if peers.is_empty() {
        peers.push(Vec::new());
    }
    let mut entries = Vec::new();
    for paths in &paths {
        for peers in &peers {
            let mut entry = Rule { paths: paths.clone(), peers: peers.clone(), ..rule.clone() };
            entry.paths.sort();
            entry.paths.dedup();
            entry.peers.sort();
            entry.peers.dedup();
            entries.push(entry);
        }
    }
    entries
}

#[cfg(test)]
mod tests;
