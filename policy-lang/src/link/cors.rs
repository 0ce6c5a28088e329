//! Which pages of other origins may ask a workload: what the most specific scope states.

use super::{At, errors};
use crate::checked::{CheckedPolicy, Cors, Mode};
use crate::diagnostic::Diagnostic;
use crate::link::Specificity;
use std::sync::Arc;

/// What the enforced policies of the narrowest scope state; two that state different things there are an error. The
/// policies are sorted by name and all concern the workload.
pub(super) fn cors(concerned: &[&CheckedPolicy], at: At<'_>) -> Result<Option<Arc<Cors>>, Vec<Diagnostic>> {
    let mut chosen: Option<(Specificity, &Cors)> = None;
    let mut conflicts: Vec<(Specificity, Diagnostic)> = Vec::new();
    for policy in concerned.iter().filter(|policy| policy.mode == Mode::Enforce) {
        let Some(scope) = at.reach(policy) else { continue };
        for cors in policy.cors() {
            match chosen {
                Some((best, _)) if best > scope => {}
                Some((best, first)) if best == scope => {
                    if first.rules != cors.rules {
                        conflicts.push((scope, errors::cors_conflict(scope, first, cors)));
                    }
                }
                _ => chosen = Some((scope, cors)),
            }
        }
    }
    let Some((best, cors)) = chosen else { return Ok(None) };
    let conflicts: Vec<Diagnostic> =
        conflicts.into_iter().filter(|(scope, _)| *scope == best).map(|(_, found)| found).collect();
    if conflicts.is_empty() { Ok(Some(Arc::new(cors.clone()))) } else { Err(conflicts) }
}
