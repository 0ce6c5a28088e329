//! Allowances that never change a decision, since a ban or an `otherwise allow` covers all they match.
//!
//! Only what shows without knowing conditions is said: a ban covers an allowance if it matches wherever the
//! allowance does by methods, paths and callers, and has no condition or the same one.

use super::errors::warnings;
use crate::checked::{CheckedPolicy, Effect, Guard, Mode, PathPattern, Peer, Rule, Segment};
use crate::diagnostic::Findings;
use crate::literals::expression_text;

/// So many pairs of methods, paths and callers are compared in a policy; one with more is long enough to have
/// other troubles.
const PAIRS_MAX: usize = 400_000;

/// Looks for such allowances in these policies, beside which others are in force.
pub(super) fn warn(policies: &[CheckedPolicy], beside: &[CheckedPolicy], diagnostics: &mut Findings) {
    let all = policies.iter().chain(beside);
    let denies_otherwise =
        all.filter_map(|policy| policy.otherwise.as_ref()).any(|otherwise| !otherwise.allow);
    for policy in policies.iter().filter(|policy| policy.mode != Mode::Off) {
        covered_by_bans(policy, diagnostics);
        // Another policy may say that what no rule allows is denied, and then an allowance counts.
        if !denies_otherwise
            && let Some(otherwise) = policy.otherwise.as_ref().filter(|otherwise| otherwise.allow)
        {
            for rule in policy.rules.iter().filter(|rule| rule.effect == Effect::Allow) {
                diagnostics.push(warnings::allowed_otherwise(rule.span, name_of(rule), otherwise.span));
            }
        }
    }
}

fn covered_by_bans(policy: &CheckedPolicy, diagnostics: &mut Findings) {
    let of = |effect| policy.rules.iter().filter(move |rule| rule.effect == effect).collect::<Vec<&Rule>>();
    let (bans, allowances) = (of(Effect::Deny), of(Effect::Allow));
    let parts = |rules: &[&Rule]| rules.iter().map(|rule| parts(&rule.guard)).sum::<usize>();
    if parts(&bans).saturating_mul(parts(&allowances)) > PAIRS_MAX {
        return;
    }
    let text = |rule: &&Rule| rule.guard.condition.as_deref().map(expression_text);
    let bans: Vec<(&Rule, Option<String>)> = bans.into_iter().map(|ban| (ban, text(&ban))).collect();
    if bans.is_empty() {
        return;
    }
    for allowance in allowances {
        let condition = text(&allowance);
        let covering = bans.iter().find(|(ban, ban_condition)| {
            (ban_condition.is_none() || *ban_condition == condition) && covers(&ban.guard, &allowance.guard)
        });
        if let Some((ban, _)) = covering {
            diagnostics.push(warnings::covered_by_ban(
                allowance.span,
                name_of(allowance),
                name_of(ban),
                ban.span,
            ));
        }
    }
}

/// How much there is to compare in a guard.
fn parts(guard: &Guard) -> usize {
    1 + guard.methods.len() + guard.paths.len() + guard.peers.len()
}

fn name_of(rule: &Rule) -> &str {
    rule.id.rsplit('/').next().unwrap_or_default()
}

/// Whether the first guard matches wherever the second one does, conditions aside.
fn covers(wide: &Guard, narrow: &Guard) -> bool {
    let methods = wide.methods.is_empty()
        || (!narrow.methods.is_empty() && narrow.methods.iter().all(|method| wide.methods.contains(method)));
    let paths = wide.paths.is_empty()
        || (!narrow.paths.is_empty()
            && narrow.paths.iter().all(|path| wide.paths.iter().any(|pattern| path_covers(pattern, path))));
    let peers = wide.peers.is_empty()
        || (!narrow.peers.is_empty()
            && narrow.peers.iter().all(|peer| wide.peers.iter().any(|other| peer_covers(other, peer))));
    methods && paths && peers
}

fn path_covers(wide: &PathPattern, narrow: &PathPattern) -> bool {
    let is_longer = narrow.segments.len() > wide.segments.len();
    let fits = |(wide, narrow): (&Segment, &Segment)| match (wide, narrow) {
        (Segment::Any, Segment::Literal(text)) => !text.is_empty(),
        (wide, narrow) => wide == narrow,
    };
    narrow.segments.len() >= wide.segments.len()
        && wide.segments.iter().zip(&narrow.segments).all(fits)
        && (wide.rest || (!narrow.rest && !is_longer))
}

fn peer_covers(wide: &Peer, narrow: &Peer) -> bool {
    match (wide, narrow) {
        (Peer::Anyone, _) => true,
        (Peer::Namespace(namespace), Peer::Service(service)) => *namespace == service.namespace,
        (Peer::Service(wide), Peer::Service(narrow)) => {
            wide.namespace == narrow.namespace && (wide.name == "*" || wide.name == narrow.name)
        }
        (Peer::Service(wide), Peer::Namespace(namespace)) => wide.name == "*" && wide.namespace == *namespace,
        (Peer::Ip(wide), Peer::Ip(narrow)) => wide.contains(narrow),
        (wide, narrow) => wide == narrow,
    }
}
