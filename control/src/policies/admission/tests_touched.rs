//! The tests that a change has to pass, and those that it leaves behind.
//!
//! A test sees the policies that it names and no others. So beside the tests of the files that are applied,
//! only those of other files in force can fail that name a policy which changes; deleting a policy makes no
//! test fail: the tests that name it do not count any more.

use super::outcome::{FailedTest, LeftBehind};
use crate::mesh::model::DesiredState;
use crate::policies::documents::{LeftOut, LeftOutKind, View, stated};
use crate::policies::effort::Effort;
use crate::policies::in_force::{PolicySet, tested_in};
use crate::policies::test_run::{TestBench, TestError, TestLimits, TestRun};
use chancery_policy_lang::Diagnostic;
use chancery_policy_lang::check::check_tests;
use chancery_policy_lang::checked::{CheckedPolicy, CheckedTest};
use chancery_sdk_host::Host;
use std::collections::BTreeSet;
use std::time::Duration;

/// How much the tests of one apply may take.
pub const TEST_LIMITS: TestLimits = TestLimits { requests_max: 100_000, time_max: Duration::from_secs(20) };

/// A state that policies are about to make, and what is known of it.
pub(super) struct Next<'a> {
    pub(super) state: &'a DesiredState,
    /// All policies of the state, and the documents of the state before.
    pub(super) policies: &'a PolicySet,
}

impl Next<'_> {
    /// The tests of documents that stay, except for those with these digests, that name a policy which
    /// changes; and what is wrong with them now.
    pub(super) fn tests_of_others(
        &self,
        except: &BTreeSet<String>,
        changed: &[&str],
    ) -> (Vec<CheckedTest>, Vec<Diagnostic>) {
        let (mut tests, mut diagnostics) = (Vec::new(), Vec::new());
        for digest in self.policies.testing(changed.iter().copied()) {
            let Some(read) = self.policies.document(digest) else { continue };
            let Some(file) = read.tree.file() else { continue };
            if !self.state.documents.contains_key(digest) || except.contains(digest) {
                continue;
            }
            let stated = stated(&file);
            let view = View { state: self.state, digest };
            let named = self.named(tested_in(&read.tree));
            let (found, wrong) = check_tests(&read.tree, &named, |test| {
                test.policies().any(|name| changed.contains(&name.text())) && view.counts(test, &stated)
            });
            tests.extend(found);
            diagnostics.extend(wrong);
        }
        (tests, diagnostics)
    }

    /// The tests of documents that stay which counted before and do not any more, since policies of these names
    /// changed their place.
    pub(super) fn tests_left_behind<'n>(
        &'n self,
        before: &DesiredState,
        changed: impl IntoIterator<Item = &'n str>,
    ) -> Vec<LeftBehind> {
        let mut left_behind = Vec::new();
        let those = self.policies.testing(changed).into_iter();
        for digest in those.filter(|digest| self.state.documents.contains_key(*digest)) {
            let Some(file) = before.documents.get(digest).map(|document| document.name.as_str()) else {
                continue;
            };
            let of = |state| {
                let left_out = self.policies.standing(state, digest).map(|standing| standing.left_out);
                let tests = left_out.unwrap_or_default().into_iter();
                tests.filter(|left| left.kind == LeftOutKind::Test).collect::<Vec<LeftOut>>()
            };
            let already: BTreeSet<u32> = of(before).iter().map(|left| left.line).collect();
            let new = of(self.state).into_iter().filter(|left| !already.contains(&left.line));
            left_behind.extend(new.map(|left| LeftBehind { file: file.to_owned(), left }));
        }
        left_behind
    }

    /// The policies of these names.
    fn named(&self, names: impl IntoIterator<Item = String>) -> Vec<CheckedPolicy> {
        let named = names.into_iter().filter_map(|name| self.policies.get(&name));
        named.map(|policy| policy.policy.clone()).collect()
    }

    /// Runs tests on the policies of the state.
    pub(super) fn run(
        &self,
        tests: &[CheckedTest],
        host: &Host,
        effort: &Effort,
    ) -> Result<Vec<TestRun>, TestError> {
        let names: BTreeSet<String> = tests.iter().flat_map(|test| test.policies.iter().cloned()).collect();
        let policies = self.named(names);
        let limits = TestLimits { time_max: effort.left(TEST_LIMITS.time_max), ..TEST_LIMITS };
        TestBench::new(&self.policies.sources, &policies, host).run_within(tests, limits)
    }
}

/// The cases that failed, by file and line.
pub(super) fn failed(runs: &[TestRun]) -> Vec<FailedTest> {
    let failed_cases = |run: &TestRun| {
        let cases = run.cases.iter().filter(|case| !case.passed);
        let body = |case: &crate::policies::test_run::CaseRun| FailedTest {
            name: run.name.clone(),
            file: run.file.clone(),
            line: case.line,
            case: case.text.clone(),
            failures: case.failures.clone(),
        };
        cases.map(body).collect::<Vec<_>>()
    };
    let mut failed: Vec<FailedTest> = runs.iter().flat_map(failed_cases).collect();
    failed.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    failed
}
