//! All policies of a set together: whether they agree, and whether what is made of them is small enough.
//!
//! A set can concern thousands of workloads. For each of them only what can go wrong is worked out: that
//! policies contradict each other is seen from their headers; a module can be refused for its size or its
//! cost, or a constant for its steps, only where there is something to make it so, and only then it is made.

mod weight;

use crate::budget::{Budget, Work};
use crate::bug::{Bug, CompileError};
use crate::checked::{CheckedPolicy, Direction};
use crate::diagnostic::{Diagnostic, FINDINGS_MAX};
use crate::emit::compile;
use crate::link::{Facts, Index, link_calls, link_settings, link_within};
use crate::linked::{LinkedProgram, Workload};
use crate::routes;
use crate::sinks;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use weight::Weight;

/// What making a module counts beside the parts of its rules.
const PARTS_PER_MODULE: u64 = 50;
/// So many policies that are looked at for a workload count as one part that is linked.
const POLICIES_PER_PART: usize = 4;

/// What is wrong with policies where they meet, each thing once: contradictions, and what is too large.
///
/// # Errors
/// If an invariant of the compiler does not hold.
pub fn check_together<'w>(
    policies: &[CheckedPolicy],
    workloads: impl IntoIterator<Item = &'w Workload>,
    budget: &mut Budget,
) -> Result<Vec<Diagnostic>, Bug> {
    let mut check = Check {
        weights: policies.iter().map(|policy| (policy.name.as_str(), Weight::of(policy))).collect(),
        index: Index::new(policies),
        found: Vec::new(),
        budget,
    };
    let known = policies.iter().filter(|policy| policy.sink().is_some()).map(|policy| policy.name.as_str());
    check.add(sinks::unknown(policies, &known.collect()));
    check.add(sinks::unused(policies, policies));
    let mut suspects: Vec<(Weight, &Workload)> = Vec::new();
    let mut called: BTreeSet<Workload> = BTreeSet::new();
    let mut senders: Vec<&Workload> = Vec::new();
    for workload in workloads {
        if check.is_full() {
            return Ok(check.found);
        }
        called.insert(Workload { labels: BTreeMap::new(), ..workload.clone() });
        suspects.extend(check.headers(workload, Direction::Inbound).map(|weight| (weight, workload)));
        if !check.index.concerned(workload, Direction::Outbound).policies.is_empty() {
            check.headers(workload, Direction::Outbound);
            senders.push(workload);
        }
    }
    // The largest first: when those are accepted that there is time for, smaller ones are, too.
    suspects.sort_by_key(|(weight, _)| Reverse(weight.bytes));
    let mut made: BTreeSet<Vec<&str>> = BTreeSet::new();
    for (at, (weight, workload)) in suspects.iter().enumerate() {
        let is_too_dear =
            check.budget.left(Work::LinkedParts) < weight.parts.saturating_add(PARTS_PER_MODULE);
        if check.is_full() || (at > 0 && is_too_dear) {
            break;
        }
        let concerned = check.index.concerned(workload, Direction::Inbound);
        let names = concerned.policies.iter().map(|policy| policy.name.as_str()).collect();
        if made.insert(names) || weight.is_of_workload {
            check.module(concerned.policies, workload, Direction::Inbound)?;
        }
    }
    let mut made: BTreeSet<(Vec<&str>, Option<&Workload>)> = BTreeSet::new();
    for target in &called {
        if check.is_full() {
            break;
        }
        let mut policies = check.index.concerned(target, Direction::Inbound).policies;
        policies.retain(|policy| policy.calls().is_some_and(|calls| !calls.is_empty()));
        if let Err(refused) = link_settings(policies.iter().copied(), target) {
            check.add(refused);
        }
        let names = policies.iter().map(|policy| policy.name.as_str()).collect();
        let asks =
            policies.iter().map(|policy| Facts::of(policy)).any(|facts| facts.service || facts.namespace);
        if !policies.is_empty() && made.insert((names, asks.then_some(target))) {
            check.calls(policies, target, None)?;
        }
    }
    check.senders(&senders, &called)?;
    Ok(check.found)
}

struct Check<'a, 'b> {
    weights: BTreeMap<&'a str, Weight>,
    index: Index<'a>,
    found: Vec<Diagnostic>,
    budget: &'b mut Budget,
}

impl Check<'_, '_> {
    fn is_full(&self) -> bool {
        self.found.len() >= FINDINGS_MAX || self.budget.left(Work::LinkedParts) == 0
    }

    /// Finds contradictions; gives what a program for the workload weighs if it can be refused for something
    /// else.
    fn headers(&mut self, workload: &Workload, direction: Direction) -> Option<Weight> {
        let concerned = self.index.concerned(workload, direction);
        let first = concerned.policies.first()?;
        let parts = (concerned.looked_at / POLICIES_PER_PART) as u64 + 1;
        if let Err(overrun) = self.budget.spend(Work::LinkedParts, parts, first.name_span) {
            self.add(vec![overrun.diagnostic()]);
            return None;
        }
        let conflicts = concerned.conflicts(workload, direction);
        if !conflicts.is_empty() {
            self.add(conflicts);
            return None;
        }
        let mut whole = Weight::default();
        let weights = concerned.policies.iter().filter_map(|policy| self.weights.get(policy.name.as_str()));
        weights.for_each(|weight| whole.add(weight));
        whole.can_be_refused().then_some(whole)
    }

    /// Links and compiles policies for a workload.
    fn module(
        &mut self,
        policies: Vec<&CheckedPolicy>,
        workload: &Workload,
        direction: Direction,
    ) -> Result<(), Bug> {
        let Some(first) = policies.first() else { return Ok(()) };
        self.budget.settle(Work::LinkedParts, PARTS_PER_MODULE, first.name_span);
        let policies: Vec<CheckedPolicy> = policies.into_iter().cloned().collect();
        match link_within(&policies, workload, direction, self.budget) {
            Ok(Some(program)) => self.compile(&program)?,
            Ok(None) => {}
            Err(refused) => self.add(refused),
        }
        Ok(())
    }

    /// Links and compiles what workloads with policies of their own do with requests to each of these services.
    fn senders(&mut self, senders: &[&Workload], called: &BTreeSet<Workload>) -> Result<(), Bug> {
        type Made<'a> = (Vec<&'a str>, Option<&'a Workload>, Option<&'a Workload>);
        let mut made: BTreeSet<Made<'_>> = BTreeSet::new();
        for sender in senders {
            let own = self.index.concerned(sender, Direction::Outbound).policies;
            for target in called {
                if self.is_full() {
                    return Ok(());
                }
                let mut policies = self.index.concerned(target, Direction::Inbound).policies;
                policies.retain(|policy| policy.calls().is_some_and(|calls| !calls.is_empty()));
                policies.extend(own.iter().copied());
                let facts: Vec<Facts> = policies.iter().map(|policy| Facts::of(policy)).collect();
                let asks_target = facts.iter().any(|facts| facts.service || facts.namespace);
                let asks_sender = facts.iter().any(|facts| facts.sender || facts.caller);
                let names = policies.iter().map(|policy| policy.name.as_str()).collect();
                if made.insert((names, asks_target.then_some(target), asks_sender.then_some(*sender))) {
                    self.calls(policies, target, Some(sender))?;
                }
            }
        }
        Ok(())
    }

    /// Links and compiles what the callers of a service do, or one of them.
    fn calls(
        &mut self,
        policies: Vec<&CheckedPolicy>,
        target: &Workload,
        caller: Option<&Workload>,
    ) -> Result<(), Bug> {
        let Some(first) = policies.first() else { return Ok(()) };
        self.budget.settle(Work::LinkedParts, PARTS_PER_MODULE, first.name_span);
        let program = match link_calls(policies, target, caller, self.budget) {
            Ok(Some(program)) => program,
            Ok(None) => return Ok(()),
            Err(refused) => {
                self.add(refused);
                return Ok(());
            }
        };
        match routes::table(&program.calls) {
            Ok(_) if program.decides() => self.compile(&program),
            Ok(_) => Ok(()),
            Err(refused) => {
                self.add(vec![*refused]);
                Ok(())
            }
        }
    }

    fn compile(&mut self, program: &LinkedProgram) -> Result<(), Bug> {
        match compile(program) {
            Ok(_) => Ok(()),
            Err(CompileError::Refused(refused)) => {
                self.add(refused);
                Ok(())
            }
            Err(CompileError::Bug(bug)) => Err(bug),
        }
    }

    fn add(&mut self, new: Vec<Diagnostic>) {
        for diagnostic in new {
            if self.found.len() < FINDINGS_MAX && !self.found.contains(&diagnostic) {
                self.found.push(diagnostic);
            }
        }
    }
}
