//! Linked programs of policies in text, for tests and benchmarks.

use chancery_policy_lang::check::CheckOptions;
use chancery_policy_lang::checked::Direction;
use chancery_policy_lang::link::link;
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
    let mut sources = SourceSet::new();
    sources.add("generated.writ", text);
    let analysis = analyse(&sources, CheckOptions::default());
    if let Some(error) = analysis.diagnostics.iter().find(|diagnostic| diagnostic.is_error()) {
        return Err(format!("{}: {}", error.code.0, error.message));
    }
    match link(&analysis.policies, workload, Direction::Inbound) {
        Ok(Some(program)) => Ok(program),
        Ok(None) => Err("no policy concerns the workload".to_owned()),
        Err(conflicts) => Err(conflicts.into_iter().map(|conflict| conflict.message).collect()),
    }
}
