//! What happens when no rule matches: the most specific `otherwise`, else deny.

use super::scope::Specificity;
use super::{At, errors};
use crate::checked::{Body, CheckedPolicy, Mode, Otherwise};
use crate::decision::DEFAULT_DENY;
use crate::diagnostic::Diagnostic;
use crate::linked::LinkedOtherwise;
use std::sync::Arc;

/// What happens when no rule matches: by the enforced policies, and with the shadow policies in force too if
/// there are any. The policies are sorted by name and all concern the workload.
pub(super) fn of_all(
    concerned: &[&CheckedPolicy],
    at: At<'_>,
) -> Result<(LinkedOtherwise, Option<LinkedOtherwise>), Vec<Diagnostic>> {
    let (enforced, shadowed): (Vec<&CheckedPolicy>, Vec<&CheckedPolicy>) =
        concerned.iter().partition(|policy| policy.mode == Mode::Enforce);
    let otherwise = of_enforced(&enforced, at)?;
    let shadow_otherwise = match shadowed.is_empty() {
        true => None,
        false => Some(with_shadow(&enforced, &shadowed, at)?),
    };
    Ok((otherwise, shadow_otherwise))
}

/// The answer of the enforced policies; with no `auth` policy among them everything is allowed.
fn of_enforced(enforced: &[&CheckedPolicy], at: At<'_>) -> Result<LinkedOtherwise, Vec<Diagnostic>> {
    Ok(choose(enforced, at)?.map_or_else(|| nothing_stated(enforced.iter().copied()), |(_, chosen)| chosen))
}

/// The answer with the shadow policies in force too. At equal scope a shadow `otherwise` replaces the
/// enforced one: to try a stricter one is what it is for.
fn with_shadow(
    enforced: &[&CheckedPolicy],
    shadowed: &[&CheckedPolicy],
    at: At<'_>,
) -> Result<LinkedOtherwise, Vec<Diagnostic>> {
    let (present, tried) = (choose(enforced, at)?, choose(shadowed, at)?);
    let chosen = match (present, tried) {
        (Some(present), Some(tried)) if present.0 > tried.0 => Some(present),
        (present, tried) => tried.or(present),
    };
    let policies = enforced.iter().chain(shadowed).copied();
    Ok(chosen.map_or_else(|| nothing_stated(policies), |(_, chosen)| chosen))
}

/// What holds where no policy has an `otherwise`: once an `auth` policy is there, what nothing allows is denied.
fn nothing_stated<'a>(policies: impl IntoIterator<Item = &'a CheckedPolicy>) -> LinkedOtherwise {
    let is_auth = |policy: &CheckedPolicy| matches!(policy.body, Body::Auth(_));
    match policies.into_iter().any(is_auth) {
        true => LinkedOtherwise { rule: DEFAULT_DENY.into(), allow: false, respond: None },
        false => LinkedOtherwise::unrestricted(),
    }
}

/// The `otherwise` of the narrowest scope, with that; of equal ones that of the first policy by name, and two
/// that differ are an error. The policies are sorted by name and all concern the workload.
fn choose(
    policies: &[&CheckedPolicy],
    at: At<'_>,
) -> Result<Option<(Specificity, LinkedOtherwise)>, Vec<Diagnostic>> {
    let mut chosen: Option<(Specificity, &CheckedPolicy, &Otherwise)> = None;
    let mut conflicts = Vec::new();
    for policy in policies {
        let (Some(otherwise), Some(specificity)) = (policy.otherwise(), at.reach(policy)) else {
            continue;
        };
        match chosen {
            Some((best, _, _)) if best > specificity => {}
            Some((best, first, other)) if best == specificity => {
                if (other.allow, &other.respond) != (otherwise.allow, &otherwise.respond) {
                    conflicts
                        .push((best, errors::otherwise_conflict(best, (first, other), (policy, otherwise))));
                }
            }
            _ => chosen = Some((specificity, policy, otherwise)),
        }
    }
    let Some((best, policy, otherwise)) = chosen else { return Ok(None) };
    let conflicts: Vec<_> =
        conflicts.into_iter().filter(|(at, _)| *at == best).map(|(_, diagnostic)| diagnostic).collect();
    if !conflicts.is_empty() {
        return Err(conflicts);
    }
    let rule: Arc<str> = format!("{}/otherwise", policy.name).into();
    let answer = LinkedOtherwise {
        respond: otherwise.respond.clone().map(|respond| respond.of(&rule)),
        rule,
        allow: otherwise.allow,
    };
    Ok(Some((best, answer)))
}
