//! The filter of each workload: documents are checked once, distinct programs compiled once.
//!
//! Proxies of different services often have the same program, because no policy speaks of their
//! names; then they share the filter too.

use crate::delivery::envoy::extension;
use crate::delivery::snapshot::Resource;
use crate::mesh::model::{DesiredState, Document};
use crate::policies::in_force;
use chancery_policy_lang::checked::{CheckedPolicy, Direction};
use chancery_policy_lang::emit::compile;
use chancery_policy_lang::link::link;
use chancery_policy_lang::linked::{LinkedProgram, Workload};
use chancery_policy_lang::{Diagnostic, SourceSet};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a workload gets.
#[derive(Clone, Debug)]
pub(super) struct WorkloadPolicy {
    /// The filter: of the policies as they are, or the last good one if there is a problem; `None`
    /// if there is a problem and this process has not seen a good one.
    pub(super) resource: Option<Arc<Resource>>,
    /// Why the policies cannot be made into a filter.
    pub(super) problem: Option<String>,
}

/// Makes each filter once, and keeps it for the next fleet.
#[derive(Debug)]
pub(super) struct Policies {
    /// Names of the policies in force, and digests of their documents.
    in_force: BTreeMap<String, String>,
    /// The policies in each document, by its digest; or what is wrong with it.
    documents: BTreeMap<String, Result<Vec<CheckedPolicy>, String>>,
    /// All policies in force; or what is wrong with a document of theirs.
    checked: Result<Vec<CheckedPolicy>, String>,
    /// Whether the policies are those of the last fleet.
    is_unchanged: bool,
    programs: Vec<Program>,
    unrestricted: Arc<Resource>,
    made: BTreeMap<Workload, WorkloadPolicy>,
    /// What the workloads of the last fleet got.
    earlier: BTreeMap<Workload, WorkloadPolicy>,
}

/// A compiled program. The names of its workload do not matter any more once it is linked.
#[derive(Debug)]
struct Program {
    program: LinkedProgram,
    resource: Arc<Resource>,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            in_force: BTreeMap::new(),
            documents: BTreeMap::new(),
            checked: Ok(Vec::new()),
            is_unchanged: false,
            programs: Vec::new(),
            unrestricted: Arc::new(extension::unrestricted()),
            made: BTreeMap::new(),
            earlier: BTreeMap::new(),
        }
    }
}

impl Policies {
    /// Begins a fleet.
    pub(super) fn begin(&mut self, state: &DesiredState) {
        let in_force: BTreeMap<String, String> =
            state.policies.values().map(|record| (record.name.clone(), record.document.clone())).collect();
        self.is_unchanged = self.in_force == in_force;
        if self.is_unchanged {
            return;
        }
        let mut earlier = std::mem::take(&mut self.documents);
        for (digest, document) in &state.documents {
            let policies = earlier.remove(digest).unwrap_or_else(|| read(document));
            self.documents.insert(digest.clone(), policies);
        }
        self.in_force = in_force;
        self.checked = self.select();
    }

    /// The policies in force. One that cannot be read stands in the way of all: who knows what it
    /// would have denied.
    fn select(&self) -> Result<Vec<CheckedPolicy>, String> {
        let mut selected = Vec::new();
        for (name, digest) in &self.in_force {
            let document = self.documents.get(digest);
            let policies = document.ok_or_else(|| format!("the text of policy `{name}` is missing"))?;
            let policies =
                policies.as_ref().map_err(|problem| format!("policy `{name}` cannot be read: {problem}"))?;
            let policy = policies.iter().find(|policy| policy.name == *name);
            let policy = policy.ok_or_else(|| format!("policy `{name}` is not in its text"))?;
            selected.push(policy.clone());
        }
        Ok(selected)
    }

    /// Ends a fleet: what it did not need is forgotten.
    pub(super) fn end(&mut self) {
        self.earlier = std::mem::take(&mut self.made);
        self.programs.retain(|program| Arc::strong_count(&program.resource) > 1);
    }

    /// What a workload gets.
    pub(super) fn of_workload(&mut self, workload: &Workload) -> WorkloadPolicy {
        if let Some(made) = self.made.get(workload) {
            return made.clone();
        }
        let earlier = self.earlier.get(workload);
        if let (true, Some(earlier)) = (self.is_unchanged, earlier) {
            let policy = earlier.clone();
            self.made.insert(workload.clone(), policy.clone());
            return policy;
        }
        let last_good = earlier.and_then(|earlier| earlier.resource.clone());
        let policy = match self.make(workload) {
            Ok(resource) => WorkloadPolicy { resource: Some(resource), problem: None },
            Err(problem) => WorkloadPolicy { resource: last_good, problem: Some(problem) },
        };
        if let Some(problem) = &policy.problem {
            tracing::error!(
                namespace = workload.namespace,
                service = workload.service,
                problem,
                "the last good policy stays"
            );
        }
        self.made.insert(workload.clone(), policy.clone());
        policy
    }

    fn make(&mut self, workload: &Workload) -> Result<Arc<Resource>, String> {
        let policies = self.checked.as_ref().map_err(Clone::clone)?;
        let linked =
            link(policies, workload, Direction::Inbound).map_err(|conflicts| describe(&conflicts))?;
        let Some(mut program) = linked else { return Ok(self.unrestricted.clone()) };
        let trust_domain = workload.trust_domain.clone();
        program.workload = Workload {
            namespace: String::new(),
            service: String::new(),
            labels: BTreeMap::new(),
            trust_domain,
        };
        if let Some(known) = self.programs.iter().find(|known| known.program == program) {
            return Ok(known.resource.clone());
        }
        let module = compile(&program).map_err(|error| error.to_string())?;
        let resource = Arc::new(extension::policy(&module));
        self.programs.push(Program { program, resource: resource.clone() });
        Ok(resource)
    }
}

fn read(document: &Document) -> Result<Vec<CheckedPolicy>, String> {
    let read = in_force::read(&mut SourceSet::new(), document);
    if read.errors.is_empty() { Ok(read.policies) } else { Err(describe(&read.errors)) }
}

/// The first of several errors, and how many there are.
fn describe(errors: &[Diagnostic]) -> String {
    let more = errors.len().saturating_sub(1);
    match errors.first() {
        Some(error) if more == 0 => format!("{}: {}", error.code.0, error.message),
        Some(error) => format!("{}: {} (and {more} more)", error.code.0, error.message),
        None => "no reason is known".to_owned(),
    }
}
