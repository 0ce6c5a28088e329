//! `link`: all policies that concern one workload and direction, combined into one program.
//!
//! Every operator is commutative, so the order of files, policies and statements cannot matter:
//! rules are a set, `otherwise` is chosen by the specificity of its scope, and the order in which
//! rules are asked is computed from their content.

mod at;
mod calls;
mod cors;
mod dump;
mod errors;
mod facts;
mod filters;
mod fold;
mod headers;
mod hidden;
mod index;
mod late;
mod log;
mod meeting;
pub(crate) mod order;
mod otherwise;
mod outbound;
mod plaintext;
mod scope;
mod settings;
mod sinks;

use at::At;
pub use calls::link_calls;
pub use dump::dump;
pub use facts::Facts;
pub use filters::{FILTERS_MAX, LinkedFilter, dump_filters, link_filters};
pub use hidden::{hidden, may_hide};
pub(crate) use index::Index;
pub use plaintext::link_plaintext;
pub use scope::{Specificity, covers, reach};
pub use settings::{LinkedSettings, link_settings};

use crate::budget::{Budget, Overrun, Work};
use crate::checked::{CheckedPolicy, Direction, Expr, Guard, Limit, Mode, Peer, Rule};
use crate::diagnostic::Diagnostic;
use crate::linked::{
    LinkedAuth, LinkedCalls, LinkedLimit, LinkedProgram, LinkedRule, LinkedTraffic, Workload,
};
use crate::literals::star_positions;
use crate::sinks::STDOUT;
use crate::source::Span;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The program for the requests of one workload in one direction, or `None` if no policy in force or in
/// shadow concerns them.
///
/// # Errors
/// One diagnostic for each conflict between policies, such as two different `otherwise` at the same
/// scope.
pub fn link<'a>(
    policies: impl IntoIterator<Item = &'a CheckedPolicy>,
    workload: &Workload,
    direction: Direction,
) -> Result<Option<LinkedProgram>, Vec<Diagnostic>> {
    link_within(policies, workload, direction, &mut Budget::new())
}

/// The same within a budget, for whoever links a set of policies for many workloads.
///
/// # Errors
/// As [`link`], and when the budget does not suffice.
pub fn link_within<'a>(
    policies: impl IntoIterator<Item = &'a CheckedPolicy>,
    workload: &Workload,
    direction: Direction,
    budget: &mut Budget,
) -> Result<Option<LinkedProgram>, Vec<Diagnostic>> {
    let at = At::inside(workload, direction);
    let all: Vec<&CheckedPolicy> = policies.into_iter().collect();
    let mut concerned: Vec<&CheckedPolicy> = all
        .iter()
        .copied()
        .filter(|policy| is_in_force(policy) && policy.acts_at_target())
        .filter(|policy| scope::reach(policy, workload, direction).is_some())
        .collect();
    if concerned.is_empty() {
        return Ok(None);
    }
    concerned.sort_by(|a, b| a.name.cmp(&b.name));
    let goals = sinks::goals(&concerned, all.iter().copied())?;
    let names = concerned.iter().map(|policy| policy.name.clone());
    let sinks = goals.keys().filter(|name| &***name != STDOUT).map(|name| name.to_string());
    let names: BTreeSet<String> = names.chain(sinks).collect();
    Ok(Some(LinkedProgram {
        workload: workload.clone(),
        direction,
        auth: auth(&concerned, at, budget)?,
        traffic: LinkedTraffic {
            limits: limits(&concerned, at, budget).map_err(|overrun| vec![overrun.diagnostic()])?,
            headers: headers::headers(&concerned, at, budget)?,
            cors: cors::cors(&concerned, at)?,
        },
        log: log::of_all(&concerned, &[], goals, at, budget)?,
        calls: LinkedCalls::default(),
        sender: None,
        policies: names.into_iter().collect(),
    }))
}

/// Whether a policy says anything of requests. One of logs in shadow mode does not: nothing is decided by it in any
/// case.
fn is_in_force(policy: &CheckedPolicy) -> bool {
    match policy.mode {
        Mode::Enforce => true,
        Mode::Shadow { .. } => policy.log().is_none(),
        Mode::Off => false,
    }
}

/// The `auth` part of a program; the policies are sorted by name and all concern the workload.
fn auth(
    concerned: &[&CheckedPolicy],
    at: At<'_>,
    budget: &mut Budget,
) -> Result<LinkedAuth, Vec<Diagnostic>> {
    let (otherwise, shadow_otherwise) = otherwise::of_all(concerned, at)?;
    let mut rules = Vec::new();
    for policy in concerned {
        let shadow = policy.mode != Mode::Enforce;
        for rule in policy.rules() {
            let entries =
                entries(&rule.guard, rule.span, at, budget).map_err(|overrun| vec![overrun.diagnostic()])?;
            let linked = entries.into_iter().map(|guard| {
                let (id, respond) = (rule.id.clone(), rule.respond.clone());
                Arc::new(Rule { id, effect: rule.effect, guard, respond, span: rule.span })
            });
            rules.extend(linked.map(|rule| LinkedRule { rule, shadow }));
        }
    }
    order::sort_rules(&mut rules);
    Ok(LinkedAuth { rules, otherwise, shadow_otherwise })
}

/// The limits of a program; the policies are sorted by name and all concern the workload.
fn limits(
    concerned: &[&CheckedPolicy],
    at: At<'_>,
    budget: &mut Budget,
) -> Result<Vec<LinkedLimit>, Overrun> {
    let mut limits = Vec::new();
    for policy in concerned {
        let shadow = policy.mode != Mode::Enforce;
        for limit in policy.limits() {
            let mut folding = at.folding(budget);
            let keys: Vec<Arc<Expr>> =
                limit.keys.iter().map(|key| folding.expression(key)).collect::<Result<_, Overrun>>()?;
            for guard in entries(&limit.guard, limit.span, at, budget)? {
                let limit = Limit { guard, keys: keys.clone(), ..limit.clone() };
                limits.push(LinkedLimit { limit: Arc::new(limit), shadow });
            }
        }
    }
    order::sort_limits(&mut limits);
    Ok(limits)
}

/// The guards that stand for one at a workload; none if it can never match there.
fn entries(guard: &Guard, span: Span, at: At<'_>, budget: &mut Budget) -> Result<Vec<Guard>, Overrun> {
    match at.guard(guard, budget)? {
        Some(guard) => split(guard, span, budget),
        None => Ok(Vec::new()),
    }
}

/// A guard as the entries that stand for it: one for each set of star positions of its paths and
/// each kind of its peers, for only then is each of its literals about one subject.
fn split(guard: Guard, span: Span, budget: &mut Budget) -> Result<Vec<Guard>, Overrun> {
    let mut paths = BTreeMap::new();
    for pattern in &guard.paths {
        paths.entry(star_positions(pattern)).or_insert_with(Vec::new).push(pattern.clone());
    }
    let mut paths: Vec<_> = paths.into_values().collect();
    if paths.is_empty() {
        paths.push(Vec::new());
    }
    let (addresses, identities): (Vec<Peer>, Vec<Peer>) = match guard.peers.contains(&Peer::Anyone) {
        true => (Vec::new(), Vec::new()),
        false => guard.peers.iter().cloned().partition(|peer| matches!(peer, Peer::Ip(_))),
    };
    let mut peers: Vec<_> = [identities, addresses].into_iter().filter(|kind| !kind.is_empty()).collect();
    if peers.is_empty() {
        peers.push(Vec::new());
    }
    let of_peers: usize = peers.iter().map(Vec::len).sum();
    let parts = paths.len() * peers.len() * (1 + guard.methods.len())
        + guard.paths.len() * peers.len()
        + of_peers * paths.len();
    budget.spend(Work::LinkedParts, parts as u64, span)?;
    let mut entries = Vec::new();
    for paths in &paths {
        for peers in &peers {
            let mut entry = Guard {
                methods: guard.methods.clone(),
                paths: paths.clone(),
                peers: peers.clone(),
                condition: guard.condition.clone(),
            };
            entry.paths.sort();
            entry.paths.dedup();
            entry.peers.sort();
            entry.peers.dedup();
            entries.push(entry);
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests;
