//! Linked programs of policies in text, for tests and benchmarks.

use chancery_policy_lang::budget::Budget;
use chancery_policy_lang::check::CheckOptions;
use chancery_policy_lang::checked::{CheckedPolicy, Direction, ServiceRef};
use chancery_policy_lang::diagnostic::Diagnostic;
use chancery_policy_lang::link::{link, link_calls};
use chancery_policy_lang::linked::{LinkedProgram, Workload};
use chancery_policy_lang::{SourceSet, analyse};
use std::collections::BTreeMap;

/// A workload without labels, of the mesh `chancery.local`.
#[must_use]
pub fn workload(namespace: &str, service: &str) -> Workload {
    Workload {
        namespace: namespace.to_owned(),
        service: service.to_owned(),
        labels: BTreeMap::new(),
        trust_domain: "chancery.local".to_owned(),
    }
}

/// What a workload decides of requests that come in.
///
/// # Errors
/// What is wrong with the policies, in words; also if none concerns the workload.
pub fn linked(text: &str, workload: &Workload) -> Result<LinkedProgram, String> {
    linked_of(&checked(text)?, workload)?.ok_or_else(|| "no policy concerns the workload".to_owned())
}

/// The policies of a text.
///
/// # Errors
/// What is wrong with them, in words.
pub fn checked(text: &str) -> Result<Vec<CheckedPolicy>, String> {
    let mut sources = SourceSet::new();
    sources.add("generated.writ", text);
    let analysis = analyse(&sources, CheckOptions::default());
    if let Some(error) = analysis.diagnostics.iter().find(|diagnostic| diagnostic.is_error()) {
        return Err(format!("{}: {}", error.code.0, error.message));
    }
    Ok(analysis.policies)
}

/// What a workload decides by these policies of requests that come in; `None` if none concerns it.
///
/// # Errors
/// How they contradict each other, in words.
pub fn linked_of(policies: &[CheckedPolicy], workload: &Workload) -> Result<Option<LinkedProgram>, String> {
    link(policies, workload, Direction::Inbound).map_err(in_words)
}

/// What a caller's sidecar does by these policies with requests to a service; `None` if they say nothing of it.
///
/// # Errors
/// As [`linked_of`].
pub fn linked_calls(
    policies: &[CheckedPolicy],
    target: &Workload,
    caller: &ServiceRef,
) -> Result<Option<LinkedProgram>, String> {
    let caller = Workload::of_service(caller, &target.trust_domain);
    let linked = link_calls(policies, target, Some(&caller), &mut Budget::new()).map_err(in_words)?;
    Ok(linked.filter(|linked| !linked.calls.is_empty()))
}

fn in_words(conflicts: Vec<Diagnostic>) -> String {
    conflicts.into_iter().map(|conflict| conflict.message).collect()
}
