//! Policies that a test leaves out, where they change what it says.
//!
//! A test sees the policies that it names, so that no change of another can break it. In force the others
//! decide too. [`left_out`] asks each request of a test again with all policies that concern its workload,
//! and warns where one that is not named turns the answer round. One that does not is not spoken of: most
//! tests leave out a baseline on purpose.

use super::workload_of_test;
use crate::check::steps_of_asking;
use crate::checked::{CheckedPolicy, CheckedTest, Direction, Mode, Target, TestCase};
use crate::decision::Decision;
use crate::diagnostic::{Code, Diagnostic};
use crate::eval::evaluate_raw;
use crate::link::link;
use crate::linked::{LinkedProgram, Workload};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const LEFT_OUT: Code = Code("W120");

/// A warning for each test of which a policy that it does not name turns an answer round, or gives a status that
/// is not the expected one.
#[must_use]
pub fn left_out(tests: &[CheckedTest], policies: &[CheckedPolicy]) -> Vec<Diagnostic> {
    let mut together = Together::new(policies);
    tests.iter().filter_map(|test| together.warning(test)).collect()
}

/// The most steps that are made for these warnings; the tests behind that are not looked at.
const STEPS_MAX: u64 = 3_000_000;
/// What is decided where all policies meet.
struct Together<'a> {
    by_name: BTreeMap<&'a str, Weighed<'a>>,
    /// By the namespaces and services of their targets, so that no test looks through all policies.
    by_place: BTreeMap<(&'a str, &'a str), Vec<Weighed<'a>>>,
    /// For the workloads of tests of policies that are enforced anyway.
    programs: BTreeMap<Workload, Option<Arc<LinkedProgram>>>,
    /// How many of [`STEPS_MAX`] are left.
    steps_left: u64,
}

/// A policy, and what asking all its rules counts.
#[derive(Clone, Copy)]
struct Weighed<'a> {
    policy: &'a CheckedPolicy,
    weight: u64,
}

/// Stands for every namespace, and for every service of one.
const EVERY: &str = "*";

impl<'a> Together<'a> {
    fn new(policies: &'a [CheckedPolicy]) -> Self {
        let mut by_name = BTreeMap::new();
        let mut by_place: BTreeMap<_, Vec<Weighed<'a>>> = BTreeMap::new();
        for policy in policies {
            let weight = steps_of_asking(policy);
            let weighed = Weighed { policy, weight };
            by_name.insert(policy.name.as_str(), weighed);
            let places: BTreeSet<(&str, &str)> =
                policy.targets.iter().map(|scope| place(&scope.target)).collect();
            for place in places {
                by_place.entry(place).or_default().push(weighed);
            }
        }
        Self { by_name, by_place, programs: BTreeMap::new(), steps_left: STEPS_MAX }
    }

    fn warning(&mut self, test: &CheckedTest) -> Option<Diagnostic> {
        // Of what leaves only the policies are asked that a test names.
        if self.steps_left == 0 || test.leaving.is_some() {
            return None;
        }
        let named = test.policies.iter().filter_map(|name| self.by_name.get(name.as_str()).copied());
        let named: Vec<Weighed<'_>> = named.collect();
        let workload = workload_of_test(named.first().map(|first| first.policy));
        let near = self.near(&workload);
        self.spend(test, named.iter().chain(&near))?;
        let names: BTreeSet<&str> = test.policies.iter().map(String::as_str).collect();
        if near.iter().all(|near| names.contains(near.policy.name.as_str())) {
            return None;
        }
        let all = self.program(&names, workload, &near)?;
        let named: Vec<CheckedPolicy> = named.iter().map(|named| named.policy.clone()).collect();
        let alone = super::link_test(test, &named).ok()?;
        let status = |decision: &Decision| decision.respond.as_ref().map(|respond| respond.status);
        let differs = |case: &&TestCase| {
            let (by_these, by_all) = (evaluate_raw(&alone, &case.request), evaluate_raw(&all, &case.request));
            // Another status belies a test that expects one.
            let is_expected = case.expect.iter().any(|expected| expected.status.is_some());
            by_these.outcome.allows() != by_all.outcome.allows()
                || (is_expected && status(&by_these) != status(&by_all))
        };
        let case = test.cases.iter().find(differs)?;
        let decision = evaluate_raw(&all, &case.request);
        let (policy, _) = decision.rule.rsplit_once('/')?;
        let place = self.by_name.get(policy)?.policy.name_span;
        let is_denied_anyway = !evaluate_raw(&alone, &case.request).outcome.allows();
        let verdict = match status(&decision) {
            _ if decision.outcome.allows() => "allows this".to_owned(),
            Some(status) if is_denied_anyway => format!("denies this with {status}"),
            _ => "denies this".to_owned(),
        };
        let names = test.policies.join(", ");
        let message = format!("`{}` {verdict}, and the test leaves it out", decision.rule);
        Some(
            Diagnostic::warning(LEFT_OUT, case.span, message)
                .with(place, format!("applies to {} too", shown(&all.workload)))
                .help(format!("write `for {names}, {policy}` to test what is in force together")),
        )
    }

    /// Takes what asking these policies about a test will cost; `None` if that is more than is left, and then
    /// for all tests behind it.
    fn spend<'w>(
        &mut self,
        test: &CheckedTest,
        policies: impl Iterator<Item = &'w Weighed<'w>>,
    ) -> Option<()> {
        // Each request is asked twice, and both programs are made.
        let count = test.cases.len() as u64 + 1;
        let weight = policies.map(|policy| policy.weight).fold(1_u64, u64::saturating_add);
        let left = self.steps_left.checked_sub(weight.saturating_mul(count));
        self.steps_left = left.unwrap_or(0);
        left.map(|_| ())
    }

    /// The program of the policies near a test's workload, those under test enforced.
    fn program(
        &mut self,
        names: &BTreeSet<&str>,
        workload: Workload,
        near: &[Weighed<'_>],
    ) -> Option<Arc<LinkedProgram>> {
        let is_named = |policy: &CheckedPolicy| names.contains(policy.name.as_str());
        let is_as_it_is = near.iter().all(|near| near.policy.mode == Mode::Enforce || !is_named(near.policy));
        if is_as_it_is && let Some(made) = self.programs.get(&workload) {
            return made.clone();
        }
        let enforced = |near: &Weighed<'_>| match is_named(near.policy) {
            true => CheckedPolicy { mode: Mode::Enforce, ..near.policy.clone() },
            false => near.policy.clone(),
        };
        let policies: Vec<CheckedPolicy> = near.iter().map(enforced).collect();
        // What does not go together is told elsewhere.
        let program = link(&policies, &workload, Direction::Inbound).ok().flatten().map(Arc::new);
        if is_as_it_is {
            self.programs.insert(workload, program.clone());
        }
        program
    }

    /// The policies that may concern a workload, each once.
    fn near(&self, workload: &Workload) -> Vec<Weighed<'a>> {
        let (namespace, service) = (workload.namespace.as_str(), workload.service.as_str());
        let places = [(EVERY, EVERY), (namespace, EVERY), (namespace, service)];
        let found = places.iter().filter_map(|place| self.by_place.get(place)).flatten();
        let by_name: BTreeMap<&str, Weighed<'a>> =
            found.map(|found| (found.policy.name.as_str(), *found)).collect();
        by_name.into_values().collect()
    }
}

/// The namespace and the service of a target.
fn place(target: &Target) -> (&str, &str) {
    match target {
        Target::Mesh => (EVERY, EVERY),
        Target::Namespace(namespace) | Target::Workload { namespace, .. } => (namespace, EVERY),
        Target::Service(service) => (&service.namespace, &service.name),
    }
}

fn shown(workload: &Workload) -> String {
    format!("`{}/{}`", workload.namespace, workload.service)
}
