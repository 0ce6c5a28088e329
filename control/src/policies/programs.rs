//! The programs of workloads: each distinct one is linked, compiled and tried once, whoever asks.
//!
//! A program is found by its key: what the policies that concern a workload say, how narrowly they are about it, and
//! what they read of it. Two workloads of one key have the same program, be they called what they may; and what no
//! policy asks (most labels) is in no key.
//!
//! Workloads of different keys are linked each for itself, which costs little. Mostly what they differ in decides nothing:
//! of a hundred versions a policy asks for one. So what is linked is compared as well before it is compiled.

use super::call_programs::CallPrograms;
use crate::policies::effort::{Effort, Stopped};
use crate::policies::filters::modules::Modules;
use crate::policies::filters::trial::FilterTrials;
use crate::policies::in_force::{PolicyInForce, PolicySet};
use crate::policies::preflight::{Preflight, TrialError};
use chancery_policy_lang::Diagnostic;
use chancery_policy_lang::bug::CompileError;
use chancery_policy_lang::checked::{AuthBody, Body, CheckedPolicy, Direction, Effect, Mode, Rule};
use chancery_policy_lang::emit::compile;
use chancery_policy_lang::link::{Specificity, link};
use chancery_policy_lang::linked::{LinkedProgram, Workload};
use chancery_policy_lang::module::Module;
use chancery_sdk_host::{Host, HostError};
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Programs that are remembered; beyond that, those go that have not been asked for the longest.
const PROGRAMS_MAX: usize = 65_536;
/// The bytes of modules that are remembered.
const BYTES_MAX: usize = 256 << 20;

/// What a program depends on, as a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProgramKey([u8; 32]);

/// Makes programs, and remembers them.
#[derive(Debug)]
pub struct Programs {
    preflight: Preflight,
    made: Mutex<Made>,
    pub(super) calls: CallPrograms,
    filters: FilterTrials,
}

/// All that a linked program says, as a digest; it says nothing of the workload but what was folded into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Said([u8; 32]);

#[derive(Debug, Default)]
struct Made {
    entries: HashMap<ProgramKey, Entry>,
    /// Under which key there is a program that says this.
    said: HashMap<Said, ProgramKey>,
    /// Of all modules together.
    bytes: usize,
    /// Counts what is asked.
    asked: u64,
}

#[derive(Debug)]
struct Entry {
    module: Arc<Module>,
    is_tried: bool,
    /// When it was asked for last.
    asked: u64,
}

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The policies do not go together, or ask for too much.
    #[error("{}", crate::policies::in_force::describe(.0))]
    Refused(Vec<Diagnostic>),
    /// The compiler made something that must not go out, or nothing.
    #[error(transparent)]
    Trial(#[from] TrialError),
    /// The work was stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl Programs {
    /// None made yet.
    ///
    /// # Errors
    /// If the host that modules are tried out in cannot be made on this machine.
    pub fn new() -> Result<Self, HostError> {
        let filters = FilterTrials::of(Modules::none());
        Ok(Self {
            preflight: Preflight::new()?,
            made: Mutex::default(),
            calls: CallPrograms::default(),
            filters,
        })
    }

    /// The same, with the modules of filters that are found there.
    #[must_use]
    pub fn with_modules(self, modules: Modules) -> Self {
        Self { filters: FilterTrials::of(modules), ..self }
    }

    /// The filters of others, and what came of trying them.
    #[must_use]
    pub fn filters(&self) -> &FilterTrials {
        &self.filters
    }

    /// The host for tests to run in.
    #[must_use]
    pub fn host(&self) -> &Host {
        self.preflight.host()
    }

    /// The host for a few calls of a module.
    pub(super) fn trial_ground(&self) -> &Host {
        self.preflight.trial_ground()
    }

    /// Tries out the module of a program.
    pub(super) fn try_out_alone(&self, program: &LinkedProgram, module: &Module) -> Result<(), ProgramError> {
        Ok(self.preflight.try_out(program, module)?)
    }

    /// The key of what is said of requests to a workload and of those that leave it; `None` if no policy concerns it.
    #[must_use]
    pub fn key(policies: &PolicySet, workload: &Workload) -> Option<ProgramKey> {
        let (concerning, leaving) = (policies.concerning(workload), policies.leaving(workload));
        if leaving.is_empty() {
            return (!concerning.is_empty()).then(|| key(&concerning, workload));
        }
        let mut hash = Sha256::new();
        hash.update(key(&concerning, workload).0);
        let asks_sender = leaving.iter().any(|(policy, _)| policy.facts.sender);
        let service = asks_sender.then(|| format!("{}/{}", workload.namespace, workload.service));
        hash.update(service.unwrap_or_default());
        for (policy, specificity) in &leaving {
            hash.update([*specificity as u8]);
            hash.update(policy.digest);
        }
        Some(ProgramKey(hash.finalize().into()))
    }

    /// The module of a workload, made now or earlier; `None` if no policy concerns it.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn module(
        &self,
        policies: &PolicySet,
        workload: &Workload,
        effort: &Effort,
    ) -> Result<Option<Arc<Module>>, ProgramError> {
        self.made_of(policies, workload, effort, false)
    }

    /// Makes the module of a workload and tries it out, unless that was done before.
    ///
    /// # Errors
    /// If it cannot be made, or fails its trial.
    pub fn try_out(
        &self,
        policies: &PolicySet,
        workload: &Workload,
        effort: &Effort,
    ) -> Result<(), ProgramError> {
        self.made_of(policies, workload, effort, true)?;
        self.try_out_calls(policies, workload, effort)
    }

    fn made_of(
        &self,
        policies: &PolicySet,
        workload: &Workload,
        effort: &Effort,
        with_trial: bool,
    ) -> Result<Option<Arc<Module>>, ProgramError> {
        let concerning = policies.concerning(workload);
        if concerning.is_empty() {
            return Ok(None);
        }
        let key = key(&concerning, workload);
        let known = self.lock().get(key);
        if let Some((module, is_tried)) = &known
            && (*is_tried || !with_trial)
        {
            return Ok(Some(module.clone()));
        }
        effort.go_on()?;
        let policies = concerning.iter().map(|(policy, _)| &policy.policy);
        let linked = link(policies, workload, Direction::Inbound).map_err(ProgramError::Refused)?;
        let Some(program) = linked else { return Ok(None) };
        let said = said(&program);
        let known = known.or_else(|| self.lock().saying(said));
        let (module, is_tried) = match known {
            Some(known) => known,
            None => {
                effort.go_on()?;
                (compiled(&program)?, false)
            }
        };
        if with_trial && !is_tried {
            effort.go_on()?;
            self.preflight.try_out(&program, &module)?;
        }
        self.lock().put(key, said, module.clone(), is_tried || with_trial);
        Ok(Some(module))
    }

    /// The module that lets through what the enforced policies of a workload exempt, and nothing else, made now or earlier
    /// and tried out; `None` if they exempt nothing.
    ///
    /// # Errors
    /// If it cannot be made, or fails its trial.
    pub fn exempting(
        &self,
        policies: &PolicySet,
        workload: &Workload,
        effort: &Effort,
    ) -> Result<Option<Arc<Module>>, ProgramError> {
        let concerning = policies.concerning(workload);
        let exempting: Vec<_> =
            concerning.iter().filter_map(|(policy, _)| exemptions_alone(&policy.policy)).collect();
        if exempting.is_empty() {
            return Ok(None);
        }
        let linked = link(&exempting, workload, Direction::Inbound).map_err(ProgramError::Refused)?;
        let Some(program) = linked else { return Ok(None) };
        let said = said(&program);
        let known = self.lock().saying(said);
        if let Some((module, true)) = known {
            return Ok(Some(module));
        }
        effort.go_on()?;
        let module = match known {
            Some((module, _)) => module,
            None => compiled(&program)?,
        };
        self.preflight.try_out(&program, &module)?;
        self.lock().put(ProgramKey(said.0), said, module.clone(), true);
        Ok(Some(module))
    }

    fn lock(&self) -> MutexGuard<'_, Made> {
        // Whoever panicked in here left the map whole.
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Made {
    fn get(&mut self, key: ProgramKey) -> Option<(Arc<Module>, bool)> {
        self.asked += 1;
        let entry = self.entries.get_mut(&key)?;
        entry.asked = self.asked;
        Some((entry.module.clone(), entry.is_tried))
    }

    /// The module of a program that says this, whatever its key, and whether it was tried.
    fn saying(&mut self, said: Said) -> Option<(Arc<Module>, bool)> {
        let key = *self.said.get(&said)?;
        self.get(key)
    }

    fn put(&mut self, key: ProgramKey, said: Said, module: Arc<Module>, is_tried: bool) {
        self.said.insert(said, key);
        self.bytes += module.bytes.len();
        let is_tried = is_tried || self.entries.get(&key).is_some_and(|entry| entry.is_tried);
        if let Some(before) = self.entries.insert(key, Entry { module, is_tried, asked: self.asked }) {
            self.bytes -= before.module.bytes.len();
        }
        if self.entries.len() > PROGRAMS_MAX || self.bytes > BYTES_MAX {
            self.forget();
        }
    }

    /// Forgets the half that was not asked for the longest.
    fn forget(&mut self) {
        let mut asked: Vec<u64> = self.entries.values().map(|entry| entry.asked).collect();
        asked.sort_unstable();
        let Some(middle) = asked.get(asked.len() / 2).copied() else { return };
        self.entries.retain(|_, entry| entry.asked > middle);
        let Self { entries, said, .. } = self;
        said.retain(|_, key| entries.contains_key(key));
        self.bytes = self.entries.values().map(|entry| entry.module.bytes.len()).sum();
    }
}

fn compiled(program: &LinkedProgram) -> Result<Arc<Module>, ProgramError> {
    let module = compile(program).map_err(|error| match error {
        CompileError::Refused(found) => ProgramError::Refused(found),
        CompileError::Bug(bug) => TrialError::new(program, bug.to_string()).into(),
    })?;
    Ok(Arc::new(module))
}

/// An enforced policy with what it exempts and nothing else, so that all the rest is denied; `None` if it exempts nothing.
fn exemptions_alone(policy: &CheckedPolicy) -> Option<CheckedPolicy> {
    let is_exempt = |rule: &&Rule| rule.effect == Effect::Exempt;
    let rules: Vec<Rule> = policy.rules().iter().filter(is_exempt).cloned().collect();
    let is_meant = policy.mode == Mode::Enforce && !rules.is_empty();
    let body = Body::Auth(AuthBody { rules, ..AuthBody::default() });
    is_meant.then(|| CheckedPolicy { body, ..policy.clone() })
}

fn said(program: &LinkedProgram) -> Said {
    // What callers do is made apart.
    let LinkedProgram { workload, direction, sender: _, auth, traffic, calls: _, log, policies } = program;
    let mut hash = Hashing(Sha256::new());
    // What `Debug` shows is all that is there; hashing never fails.
    let _written = write!(hash, "{:?}", (&workload.trust_domain, direction, auth, traffic, log, policies));
    Said(hash.0.finalize().into())
}

/// Hashes what is written.
struct Hashing(Sha256);

impl fmt::Write for Hashing {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text);
        Ok(())
    }
}

/// The key of a program of these policies, which come by name.
fn key(concerning: &[(&Arc<PolicyInForce>, Specificity)], workload: &Workload) -> ProgramKey {
    let mut hash = Sha256::new();
    let mut put = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    };
    put(&workload.trust_domain);
    let facts = || concerning.iter().map(|(policy, _)| &policy.facts);
    put(if facts().any(|facts| facts.namespace || facts.service) { &workload.namespace } else { "" });
    put(if facts().any(|facts| facts.service) { &workload.service } else { "" });
    let asked: BTreeSet<&str> = facts().flat_map(|facts| &facts.labels).map(|name| &**name).collect();
    let labels: Vec<_> = workload.labels.iter().filter(|(name, _)| asked.contains(name.as_str())).collect();
    put(&labels.len().to_string());
    for (name, value) in labels {
        put(name);
        put(value);
    }
    for (policy, specificity) in concerning {
        hash.update([*specificity as u8]);
        hash.update(policy.digest);
    }
    ProgramKey(hash.finalize().into())
}

#[cfg(test)]
mod tests;
