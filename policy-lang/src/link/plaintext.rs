//! Whether a workload takes connections without TLS: what the narrowest scope says, else not.

use super::{Specificity, errors, scope};
use crate::checked::{CheckedPolicy, Direction, Mode, Plaintext};
use crate::diagnostic::Diagnostic;
use crate::linked::Workload;
use std::sync::Arc;

/// The policy by which a workload takes connections without TLS beside those of the mesh; `None` if it does not, which
/// is so where no policy says it. Policies in shadow mode say nothing of it. The policies are sorted by name.
///
/// # Errors
/// One diagnostic for each policy that says the contrary of another one of the same scope.
pub fn link_plaintext<'a>(
    policies: impl IntoIterator<Item = &'a CheckedPolicy>,
    workload: &Workload,
) -> Result<Option<Arc<str>>, Vec<Diagnostic>> {
    let mut chosen: Option<(Specificity, &CheckedPolicy, Plaintext)> = None;
    let mut conflicts = Vec::new();
    for policy in policies.into_iter().filter(|policy| policy.mode == Mode::Enforce) {
        let reach = scope::reach(policy, workload, Direction::Inbound);
        let (Some(plaintext), Some(specificity)) = (policy.plaintext(), reach) else { continue };
        match chosen {
            Some((best, ..)) if best > specificity => {}
            Some((best, first, other)) if best == specificity => {
                if other.allow != plaintext.allow {
                    conflicts
                        .push((best, errors::plaintext_conflict(best, (first, other), (policy, plaintext))));
                }
            }
            _ => chosen = Some((specificity, policy, plaintext)),
        }
    }
    let Some((best, policy, plaintext)) = chosen else { return Ok(None) };
    let conflicts: Vec<_> =
        conflicts.into_iter().filter(|(at, _)| *at == best).map(|(_, diagnostic)| diagnostic).collect();
    if conflicts.is_empty() {
        Ok(plaintext.allow.then(|| policy.name.as_str().into()))
    } else {
        Err(conflicts)
    }
}
