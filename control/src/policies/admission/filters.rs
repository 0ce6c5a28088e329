//! The filters that changed policies attach: whether each is there, may be granted what it is, and starts.

use super::{Refusal, findings};
use crate::mesh::model::DesiredState;
use crate::policies::effort::Effort;
use crate::policies::filters::attached::registry;
use crate::policies::in_force::PolicySet;
use crate::policies::programs::Programs;
use chancery_policy_lang::checked::CheckedPolicy;
use chancery_policy_lang::filters;

/// Refuses policies that attach what they cannot have.
pub(super) fn check(
    state: &DesiredState,
    policies: &PolicySet,
    changed: &[&str],
    programs: &Programs,
    effort: &Effort,
) -> Result<(), Refusal> {
    let changed: Vec<&CheckedPolicy> = changed
        .iter()
        .filter_map(|name| policies.get(name))
        .map(|policy| &policy.policy)
        .filter(|policy| policy.filter().is_some())
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    let mut wrong = filters::unusable(changed.iter().copied(), &registry(state));
    if wrong.is_empty() {
        for body in changed.iter().filter_map(|policy| policy.filter()) {
            effort.go_on().map_err(|stopped| Refusal::Request {
                message: format!("{stopped}; nothing was changed"),
                help: "apply fewer files at a time".to_owned(),
            })?;
            let tried = programs.filters().try_out(state, body);
            wrong.extend(tried.map_err(|problem| Refusal::Request {
                message: format!("`{}` cannot be tried: {problem}", body.attached),
                help: "push it again, or see what the log of the control plane says".to_owned(),
            })?);
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Refusal::Policies(findings(&wrong, &policies.sources))) }
}
