//! The programs of callers: what a caller's sidecar does with its requests to a service, made once for all callers of
//! which the policies say the same.

use super::programs::{ProgramError, Programs};
use crate::policies::course_runner::{CourseRunner, RanCourse};
use crate::policies::effort::Effort;
use crate::policies::in_force::{PolicyInForce, PolicySet};
use crate::policies::preflight::TrialError;
use chancery_policy_lang::budget::Budget;
use chancery_policy_lang::bug::CompileError;
use chancery_policy_lang::checked::{CheckedPolicy, ServiceRef};
use chancery_policy_lang::emit::compile;
use chancery_policy_lang::eval::course;
use chancery_policy_lang::link::{LinkedSettings, Specificity, link_calls, link_settings};
use chancery_policy_lang::linked::{LinkedProgram, Workload};
use chancery_policy_lang::module::Module;
use chancery_policy_lang::request::Request;
use chancery_policy_lang::routes::{self, RouteTable};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Programs that are remembered; beyond that, those go that have not been asked for the longest.
const REMEMBERED_MAX: usize = 65_536;
/// What remembered programs may take together: modules, and tables of routes as they are estimated.
const BYTES_MAX: usize = 256 << 20;
/// What the place of one takes that says nothing.
const ENTRY_BYTES: usize = 128;

/// What a caller's sidecar does with requests to a service.
#[derive(Clone, Debug, PartialEq)]
pub struct CallProgram {
    /// What decides of each request; `None` if nothing is to be decided.
    pub module: Option<Arc<Module>>,
    /// What Envoy does.
    pub table: RouteTable,
    /// Whether some requests are to wait before they are sent.
    pub delays: bool,
    /// The policies that say so, by name.
    pub policies: Vec<String>,
}

/// Programs that were made.
#[derive(Debug, Default)]
pub(super) struct CallPrograms {
    made: Mutex<Made>,
}

#[derive(Debug, Default)]
struct Made {
    entries: HashMap<Key, Entry>,
    /// Of all together.
    bytes: usize,
    /// Counts what is asked.
    asked: u64,
}

#[derive(Debug)]
struct Entry {
    program: Option<Arc<CallProgram>>,
    bytes: usize,
    /// When it was asked for last.
    asked: u64,
}

/// What a program depends on, as a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key([u8; 32]);

impl CallPrograms {
    fn lock(&self) -> MutexGuard<'_, Made> {
        // Whoever panicked in here left the map whole.
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Made {
    fn get(&mut self, key: &Key) -> Option<Option<Arc<CallProgram>>> {
        self.asked += 1;
        let entry = self.entries.get_mut(key)?;
        entry.asked = self.asked;
        Some(entry.program.clone())
    }

    fn put(&mut self, key: Key, program: Option<Arc<CallProgram>>, bytes_max: usize) {
        let bytes = ENTRY_BYTES + program.as_ref().map_or(0, |program| program.bytes());
        self.asked += 1;
        self.bytes += bytes;
        if let Some(before) = self.entries.insert(key, Entry { program, bytes, asked: self.asked }) {
            self.bytes -= before.bytes;
        }
        while self.entries.len() > 1 && (self.entries.len() > REMEMBERED_MAX || self.bytes > bytes_max) {
            self.forget();
        }
    }

    /// Forgets the half that was not asked for the longest.
    fn forget(&mut self) {
        let mut asked: Vec<u64> = self.entries.values().map(|entry| entry.asked).collect();
        asked.sort_unstable();
        let Some(middle) = asked.get(asked.len() / 2).copied() else { return };
        self.entries.retain(|_, entry| entry.asked >= middle);
        self.bytes = self.entries.values().map(|entry| entry.bytes).sum();
    }
}

impl CallProgram {
    /// What it takes, about.
    fn bytes(&self) -> usize {
        self.module.as_ref().map_or(0, |module| module.bytes.len()) + self.table.bytes()
    }
}

impl Programs {
    /// What the sidecars of a workload do with their requests to a service; `None` if no policy says anything of it.
    ///
    /// # Errors
    /// If the policies contradict each other, or ask for too much.
    pub fn calls(
        &self,
        policies: &PolicySet,
        target: &Workload,
        caller: &Workload,
        effort: &Effort,
    ) -> Result<Option<Arc<CallProgram>>, ProgramError> {
        let concerning = Concerning::of(policies, target, Some(caller));
        if concerning.is_empty() {
            return Ok(None);
        }
        let key = concerning.key(target, caller);
        if let Some(known) = self.calls.lock().get(&key) {
            return Ok(known);
        }
        effort.go_on()?;
        let made = self.link_and_compile(&concerning, target, Some(caller))?;
        let made = made.map(|(_, program)| Arc::new(program));
        self.calls.lock().put(key, made.clone(), BYTES_MAX);
        Ok(made)
    }

    /// The policies on which it depends what a workload's sidecar does with its requests to a service and shows of them,
    /// each perhaps twice.
    pub fn felt_by_calls<'p>(
        policies: &'p PolicySet,
        target: &Workload,
        caller: &Workload,
    ) -> Vec<&'p Arc<PolicyInForce>> {
        let Concerning { to, from, .. } = Concerning::of(policies, target, Some(caller));
        to.into_iter().chain(from).map(|(policy, _)| policy).chain(policies.hiding(target)).collect()
    }

    /// How callers treat the replicas of a service.
    ///
    /// # Errors
    /// If the policies contradict each other.
    pub fn settings(policies: &PolicySet, target: &Workload) -> Result<LinkedSettings, ProgramError> {
        let concerning = policies.concerning(target);
        link_settings(concerning.iter().map(|(policy, _)| &policy.policy), target)
            .map_err(ProgramError::Refused)
    }

    /// Makes what all callers of a service do, and tries it out.
    ///
    /// # Errors
    /// As [`Programs::calls`], and if the module fails its trial.
    pub(super) fn try_out_calls(
        &self,
        policies: &PolicySet,
        workload: &Workload,
        effort: &Effort,
    ) -> Result<(), ProgramError> {
        let target = Workload { labels: BTreeMap::new(), ..workload.clone() };
        Self::settings(policies, &target)?;
        let concerning = Concerning::of(policies, &target, None);
        if concerning.is_empty() {
            return Ok(());
        }
        effort.go_on()?;
        let Some((linked, program)) = self.link_and_compile(&concerning, &target, None)? else {
            return Ok(());
        };
        let Some(module) = program.module else { return Ok(()) };
        effort.go_on()?;
        self.try_out_course(&linked, &module)
    }

    /// Makes what a workload does with its requests to services, and tries out what its own policies say of them.
    ///
    /// # Errors
    /// As [`Programs::calls`], and if a module fails its trial.
    pub fn try_out_leaving(
        &self,
        policies: &PolicySet,
        caller: &Workload,
        called: &BTreeSet<ServiceRef>,
        effort: &Effort,
    ) -> Result<(), ProgramError> {
        if policies.leaving(caller).is_empty() {
            return Ok(());
        }
        let mut tried = BTreeSet::new();
        for service in called {
            let target = Workload::of_service(service, &caller.trust_domain);
            let concerning = Concerning::of(policies, &target, Some(caller));
            if !tried.insert(concerning.key(&target, caller)) {
                continue;
            }
            effort.go_on()?;
            let Some((linked, program)) = self.link_and_compile(&concerning, &target, Some(caller))? else {
                continue;
            };
            if program.module.is_none() {
                continue;
            }
            // What is decided of a request, and what becomes of one that passes, are tried each by itself.
            if linked.decides_beside_calls() {
                let own = linked.without_calls();
                self.try_out_alone(&own, &compiled(&own)?)?;
            }
            if linked.calls.decides() {
                let calls = linked.calls_alone();
                self.try_out_course(&calls, &compiled(&calls)?)?;
            }
        }
        Ok(())
    }

    fn try_out_course(&self, linked: &LinkedProgram, module: &Module) -> Result<(), ProgramError> {
        let mut runner = CourseRunner::on_host(self.trial_ground(), &module.bytes)
            .map_err(|error| TrialError::new(linked, error.to_string()))?;
        let odd = Request { path: b"/a/../b".to_vec(), ..Request::default() };
        for request in [Request::default(), odd] {
            let ran = runner.run(&request).map_err(|error| TrialError::new(linked, error.to_string()))?;
            let defined = course(linked, &request);
            if !RanCourse::may_be(&ran, defined.as_ref(), linked) {
                let path = String::from_utf8_lossy(&request.path).into_owned();
                let detail = format!("it treats `{path}` as {ran:?}, which is defined as {defined:?}");
                return Err(TrialError::new(linked, detail).into());
            }
        }
        Ok(())
    }

    fn link_and_compile(
        &self,
        concerning: &Concerning<'_>,
        target: &Workload,
        caller: Option<&Workload>,
    ) -> Result<Option<(LinkedProgram, CallProgram)>, ProgramError> {
        let linked = link_calls(concerning.policies(), target, caller, &mut Budget::new())
            .map_err(ProgramError::Refused)?;
        let Some(linked) = linked.filter(|linked| !linked.calls.is_empty() || linked.decides()) else {
            return Ok(None);
        };
        let table = routes::table(&linked.calls).map_err(|found| ProgramError::Refused(vec![*found]))?;
        let module = if linked.decides() { Some(Arc::new(compiled(&linked)?)) } else { None };
        let delays = linked.calls.delays();
        let program = CallProgram { module, table, delays, policies: linked.policies.clone() };
        Ok(Some((linked, program)))
    }
}

fn compiled(linked: &LinkedProgram) -> Result<Module, ProgramError> {
    compile(linked).map_err(|error| match error {
        CompileError::Refused(found) => ProgramError::Refused(found),
        CompileError::Bug(bug) => TrialError::new(linked, bug.to_string()).into(),
    })
}

/// Policies, each with how narrowly it is about requests.
type Reaching<'a> = Vec<(&'a Arc<PolicyInForce>, Specificity)>;

/// The policies that say something of requests of a workload to a service, by name.
struct Concerning<'a> {
    /// To the callers of the service.
    to: Reaching<'a>,
    /// As the caller's own.
    from: Reaching<'a>,
    /// What the service keeps from the caller's own lines, if it writes some.
    hiding: Vec<&'a Arc<PolicyInForce>>,
}

impl<'a> Concerning<'a> {
    fn of(policies: &'a PolicySet, target: &Workload, caller: Option<&Workload>) -> Self {
        let mut to = policies.concerning(target);
        to.retain(|(policy, _)| policy.policy.calls().is_some_and(|calls| !calls.says_nothing_of_requests()));
        let from = caller.map(|caller| policies.leaving(caller)).unwrap_or_default();
        let logs = from.iter().any(|(policy, _)| policy.policy.log().is_some());
        let hiding = if logs { policies.hiding(target) } else { Vec::new() };
        Self { to, from, hiding }
    }

    fn is_empty(&self) -> bool {
        self.to.is_empty() && self.from.is_empty()
    }

    /// Each once.
    fn policies(&self) -> impl Iterator<Item = &'a CheckedPolicy> {
        let both = self.to.iter().chain(&self.from).map(|(policy, _)| policy);
        let all = both.chain(&self.hiding).map(|policy| &policy.policy);
        let by_name: BTreeMap<&str, &CheckedPolicy> =
            all.map(|policy| (policy.name.as_str(), policy)).collect();
        by_name.into_values()
    }

    /// What a program depends on.
    fn key(&self, target: &Workload, caller: &Workload) -> Key {
        let mut hash = Sha256::new();
        let mut put = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        };
        put(&target.trust_domain);
        let facts = || self.to.iter().chain(&self.from).map(|(policy, _)| &policy.facts);
        put(if facts().any(|facts| facts.namespace || facts.service) { &target.namespace } else { "" });
        put(if facts().any(|facts| facts.service) { &target.service } else { "" });
        let asks_sender = self.from.iter().any(|(policy, _)| policy.facts.sender);
        if asks_sender || facts().any(|facts| facts.caller) {
            put(&caller.namespace);
            put(&caller.service);
        }
        for reaching in [&self.to, &self.from] {
            hash.update((reaching.len() as u64).to_be_bytes());
            for (policy, specificity) in reaching {
                hash.update([*specificity as u8]);
                hash.update(policy.digest);
            }
        }
        self.hiding.iter().for_each(|policy| hash.update(policy.digest));
        Key(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_its_bytes_the_cache_forgets_what_was_not_asked_for_the_longest() {
        let program = || {
            let table = RouteTable::default();
            Arc::new(CallProgram { module: None, table, delays: false, policies: Vec::new() })
        };
        let each = ENTRY_BYTES + program().bytes();
        let mut made = Made::default();
        for number in 0..4 {
            made.put(Key([number; 32]), Some(program()), 4 * each);
        }
        assert!(made.get(&Key([0; 32])).is_some(), "all four fit");
        made.put(Key([4; 32]), Some(program()), 4 * each);
        assert!(made.bytes <= 4 * each && made.bytes == made.entries.len() * each);
        assert!(made.get(&Key([0; 32])).is_some() && made.get(&Key([4; 32])).is_some());
        assert!(made.get(&Key([1; 32])).is_none());
        // What is larger than all that may be remembered is remembered alone.
        made.put(Key([5; 32]), Some(program()), 1);
        assert_eq!(made.entries.len(), 1);
    }
}
