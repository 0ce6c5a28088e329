//! Allowances that never change a decision, since a ban or an `otherwise allow` covers all they match.
//!
//! Only what shows without knowing conditions is said: a ban covers an allowance if it matches wherever the
//! allowance does by methods, paths and callers, and has no condition or the same one.

use super::errors::warnings;
use crate::checked::{CheckedPolicy, Effect, Guard, Mode, PathPattern, Peer, Rule, Segment};
use crate::diagnostic::Findings;
use crate::literals::expression_text;

/// So many pairs of rules are compared in a policy; one with more is long enough to have other troubles.
const PAIRS_MAX: usize = 100_000;

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
    let of = |effect| policy.rules.iter().filter(move |rule| rule.effect == effect);
    if of(Effect::Deny).count().saturating_mul(of(Effect::Allow).count()) > PAIRS_MAX {
        return;
    }
    for allowance in of(Effect::Allow) {
        if let Some(ban) = of(Effect::Deny).find(|ban| covers(&ban.guard, &allowance.guard)) {
            diagnostics.push(warnings::covered_by_ban(
                allowance.span,
                name_of(allowance),
                name_of(ban),
                ban.span,
            ));
        }
    }
}

fn name_of(rule: &Rule) -> &str {
    rule.id.rsplit('/').next().unwrap_or_default()
}

/// Whether the first guard matches wherever the second one does.
fn covers(wide: &Guard, narrow: &Guard) -> bool {
    let methods = wide.methods.is_empty()
        || (!narrow.methods.is_empty() && narrow.methods.iter().all(|method| wide.methods.contains(method)));
    let paths = wide.paths.is_empty()
        || (!narrow.paths.is_empty()
            && narrow.paths.iter().all(|path| wide.paths.iter().any(|pattern| path_covers(pattern, path))));
    let peers = wide.peers.is_empty()
        || (!narrow.peers.is_empty()
            && narrow.peers.iter().all(|peer| wide.peers.iter().any(|other| peer_covers(other, peer))));
    let condition = match (&wide.condition, &narrow.condition) {
        (None, _) => true,
        (Some(wide), Some(narrow)) => expression_text(wide) == expression_text(narrow),
        (Some(_), None) => false,
    };
    methods && paths && peers && condition
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
