//! What happens when no rule matches: the most specific `otherwise`, else deny.

use super::errors;
use super::scope::{Specificity, reach};
use crate::checked::{CheckedPolicy, Otherwise};
use crate::decision::{DEFAULT_DENY, UNRESTRICTED};
use crate::diagnostic::Diagnostic;
use crate::linked::{LinkedOtherwise, TargetContext};

/// The answer of the enforced policies; with none of them everything is allowed.
pub(super) fn of_enforced(
    enforced: &[&CheckedPolicy],
    target: &TargetContext,
) -> Result<LinkedOtherwise, Vec<Diagnostic>> {
    if enforced.is_empty() {
        return Ok(LinkedOtherwise { rule: UNRESTRICTED.into(), allow: true, respond: None });
    }
    choose(enforced, target)
}

/// The `otherwise` of the narrowest scope; of equal ones that of the first policy by name, and two
/// that differ are an error. The policies are sorted by name and all concern the target.
pub(super) fn choose(
    policies: &[&CheckedPolicy],
    target: &TargetContext,
) -> Result<LinkedOtherwise, Vec<Diagnostic>> {
    let mut chosen: Option<(Specificity, &CheckedPolicy, &Otherwise)> = None;
    let mut conflicts = Vec::new();
    for policy in policies {
        let (Some(otherwise), Some(specificity)) = (&policy.otherwise, reach(policy, target)) else {
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
    let Some((best, policy, otherwise)) = chosen else {
        return Ok(LinkedOtherwise { rule: DEFAULT_DENY.into(), allow: false, respond: None });
    };
    let conflicts: Vec<_> =
        conflicts.into_iter().filter(|(at, _)| *at == best).map(|(_, diagnostic)| diagnostic).collect();
    if !conflicts.is_empty() {
        return Err(conflicts);
    }
    Ok(LinkedOtherwise {
        rule: format!("{}/otherwise", policy.name).into(),
        allow: otherwise.allow,
        respond: otherwise.respond.clone(),
    })
}
