//! Runs `test` blocks: on the module's bytes, in a proxy-wasm host, and on the evaluator beside it.
//!
//! The evaluator defines the language: where the module differs from it, the module is wrong, and
//! that is neither the author's mistake nor a failed test.
//!
//! A [`TestBench`] compiles each set of policies under test once, however many tests are about it, and
//! ends within the [`TestLimits`] that it is given: the control plane runs tests of others.

use crate::policies::course_runner::CourseRunner;
use crate::policies::policy_runner::{PolicyRunner, Ran, RunError};
use crate::policies::workloads;
use chancery_policy_lang::bug::CompileError;
use chancery_policy_lang::checked::{CheckedPolicy, CheckedTest, Leaving, SampleRate, TestCase};
use chancery_policy_lang::decision::Decision;
use chancery_policy_lang::eval::Buckets;
use chancery_policy_lang::eval::Course;
use chancery_policy_lang::linked::LinkedProgram;
use chancery_policy_lang::module::Module;
use chancery_policy_lang::request::{Request, received};
use chancery_policy_lang::{Diagnostic, SourceSet, Span, emit, eval, testing};
use chancery_sdk_host::{Host, HostError, Limits};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How many compiled programs are kept for the tests to come; then all are forgotten.
const PROGRAMS_MAX: usize = 100;

/// What became of a test.
#[derive(Clone, Debug, Serialize)]
pub struct TestRun {
    /// The test's title.
    pub name: String,
    /// Where it is written.
    pub file: String,
    /// The line.
    pub line: u32,
    /// The workload that its policies were linked for.
    pub target: String,
    /// Whether all cases passed.
    pub passed: bool,
    /// Its cases in order.
    pub cases: Vec<CaseRun>,
}

/// What became of a case.
#[derive(Clone, Debug, Serialize)]
pub struct CaseRun {
    /// The line.
    pub line: u32,
    /// Its text, on one line.
    #[serde(skip)]
    pub text: String,
    /// Whether every expectation was met.
    pub passed: bool,
    /// What was expected and what came instead.
    pub failures: Vec<String>,
}

/// How much tests may take that are run for others.
#[derive(Clone, Copy, Debug)]
pub struct TestLimits {
    /// The most requests of all tests together, repeated ones counted as often.
    pub requests_max: u64,
    /// How long all of them may take.
    pub time_max: Duration,
}

/// What goes on from case to case of a test.
struct State {
    buckets: Buckets,
    now_ns: u64,
}

/// Why tests gave no result.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// The policies of a test cannot be tested together.
    #[error("the policies of a test do not go together")]
    Apart(Vec<Diagnostic>),
    /// There are more requests than may be made.
    #[error("the tests make {requests} requests; {max} is the most")]
    TooMany {
        /// Of all tests.
        requests: u64,
        /// Allowed.
        max: u64,
    },
    /// The time was over.
    #[error("the tests take longer than {} s; {done} of {count} were run", .max.as_secs_f64())]
    TooLong {
        /// Allowed.
        max: Duration,
        /// Tests that were run.
        done: usize,
        /// All tests.
        count: usize,
    },
    /// A mistake of ours: the module failed, or does not decide as the evaluator does.
    #[error("{0}")]
    Broken(String),
}

/// The policies of a test, and between whom its requests go if they leave a workload.
type Tested = (Vec<String>, Option<Leaving>);

/// Runs tests on policies.
pub struct TestBench<'a> {
    sources: &'a SourceSet,
    policies: BTreeMap<&'a str, &'a CheckedPolicy>,
    host: &'a Host,
    /// By the names of the policies under test, the first one first, for its target counts.
    programs: BTreeMap<Tested, (LinkedProgram, PolicyRunner)>,
}

impl<'a> TestBench<'a> {
    /// A bench for tests of these policies; the places of both are in `sources`.
    #[must_use]
    pub fn new(sources: &'a SourceSet, policies: &'a [CheckedPolicy], host: &'a Host) -> Self {
        let policies = policies.iter().map(|policy| (policy.name.as_str(), policy)).collect();
        Self { sources, policies, host, programs: BTreeMap::new() }
    }

    /// Runs tests within limits.
    ///
    /// # Errors
    /// If policies of a test do not go together, if a limit is reached, and if the compiler is wrong.
    pub fn run_within(
        &mut self,
        tests: &[CheckedTest],
        limits: TestLimits,
    ) -> Result<Vec<TestRun>, TestError> {
        let cases = tests.iter().flat_map(|test| &test.cases);
        let requests = cases.map(|case| u64::from(case.repeat)).sum();
        if requests > limits.requests_max {
            return Err(TestError::TooMany { requests, max: limits.requests_max });
        }
        let begun = Instant::now();
        let mut runs = Vec::new();
        for test in tests {
            if begun.elapsed() > limits.time_max {
                let (done, count) = (runs.len(), tests.len());
                return Err(TestError::TooLong { max: limits.time_max, done, count });
            }
            runs.push(self.run(test)?);
        }
        Ok(runs)
    }

    /// Runs a test.
    ///
    /// # Errors
    /// If its policies do not go together, and if the compiler is wrong.
    pub fn run(&mut self, test: &CheckedTest) -> Result<TestRun, TestError> {
        let tested = (test.policies.clone(), test.leaving.clone());
        let (program, mut runner) = match self.programs.remove(&tested) {
            Some(made) => made,
            None => self.prepare(test)?,
        };
        let ran = self.run_cases(&program, &mut runner, test);
        let target = workloads::shown(&program.workload);
        if self.programs.len() >= PROGRAMS_MAX {
            self.programs.clear();
        }
        self.programs.insert(tested, (program, runner));
        let cases = ran?;
        Ok(TestRun {
            name: test.name.clone(),
            file: self.sources.get(test.span.file).map(|file| file.name.clone()).unwrap_or_default(),
            line: self.line_of(test.span),
            target,
            passed: cases.iter().all(|case| case.passed),
            cases,
        })
    }

    fn prepare(&self, test: &CheckedTest) -> Result<(LinkedProgram, PolicyRunner), TestError> {
        let named = test.policies.iter().filter_map(|name| self.policies.get(name.as_str()).copied());
        let named: Vec<CheckedPolicy> = named.cloned().collect();
        let program = testing::link_test(test, &named).map_err(TestError::Apart)?;
        let module = self.compiled(test, &program)?;
        let runner = PolicyRunner::on_host(self.host, &module.bytes);
        runner.map(|runner| (program, runner)).map_err(|error| self.broken(test.span, &error))
    }

    fn compiled(&self, test: &CheckedTest, program: &LinkedProgram) -> Result<Module, TestError> {
        emit::compile(program).map_err(|error| match error {
            CompileError::Refused(found) => TestError::Apart(found),
            CompileError::Bug(bug) => {
                TestError::Broken(format!("{}: {bug}", self.sources.location(test.span)))
            }
        })
    }

    /// Runs the cases of a test one after the other, beginning with full buckets.
    fn run_cases(
        &self,
        program: &LinkedProgram,
        runner: &mut PolicyRunner,
        test: &CheckedTest,
    ) -> Result<Vec<CaseRun>, TestError> {
        if program.has_limits() {
            runner.restart().map_err(|error| self.broken(test.span, &error))?;
        }
        let mut at = State { buckets: Buckets::default(), now_ns: testing::BEGINNING_NS };
        let mut runs = Vec::new();
        for case in &test.cases {
            runs.push(self.run_case(program, runner, (test, case), &mut at)?);
            at.now_ns = case.end_ns(at.now_ns);
        }
        Ok(runs)
    }

    fn run_case(
        &self,
        program: &LinkedProgram,
        runner: &mut PolicyRunner,
        (test, case): (&CheckedTest, &TestCase),
        at: &mut State,
    ) -> Result<CaseRun, TestError> {
        let (course, ways) = self.ways(program, test, case)?;
        let repeat = case.repeat.max(1);
        let mut decisions = Vec::with_capacity(repeat as usize);
        let mut rates: Vec<SampleRate> = Vec::new();
        match testing::arriving(case, program, course.as_ref()) {
            Ok(request) => {
                for _ in 0..repeat {
                    let decision = match decisions.first() {
                        Some(first) if !program.has_limits() => Decision::clone(first),
                        _ => eval::evaluate_at(program, &request, &mut at.buckets, at.now_ns),
                    };
                    self.must_agree(case, (program, runner), &request, at.now_ns, &decision)?;
                    let logged =
                        runner.logged().must_be_defined(program, &request, &decision, &case.response);
                    rates.push(logged.map_err(|error| self.not_as_defined(case, &error))?);
                    decisions.push(decision);
                }
            }
            // Envoy refuses it, so that no module sees it, and logs it.
            Err(refusal) => {
                decisions.resize(repeat as usize, refusal.decision());
                rates.push(SampleRate::ALL);
            }
        }
        let mut failures = testing::failures(case, program, course.as_ref(), &decisions);
        failures.extend(testing::log_failure(case, &rates));
        failures.extend(ways);
        failures.extend(testing::arrival_failure(case, course.as_ref(), program));
        let words: Vec<&str> = self.sources.snippet(case.span).split_whitespace().collect();
        Ok(CaseRun {
            line: self.line_of(case.span),
            text: words.join(" "),
            passed: failures.is_empty(),
            failures,
        })
    }

    /// What is wrong with where the request of a case goes: by the module of its caller's sidecar, which must say what
    /// the evaluator says.
    fn ways(
        &self,
        program: &LinkedProgram,
        test: &CheckedTest,
        case: &TestCase,
    ) -> Result<(Option<Course>, Vec<String>), TestError> {
        let named = test.policies.iter().filter_map(|name| self.policies.get(name.as_str()).copied());
        let named: Vec<CheckedPolicy> = named.cloned().collect();
        let caller = testing::caller_of(case, &program.workload);
        let linked = testing::link_test_calls(test, &named, caller.as_ref()).map_err(TestError::Apart)?;
        let course = testing::course_of(case, linked.as_ref());
        if let Some(linked) = linked.as_ref().filter(|linked| linked.calls.decides() && !case.ways.is_empty())
            && let Ok(request) = received(case.request.clone())
        {
            let module = self.compiled(test, linked)?;
            let broken = |error| self.broken(case.span, &error);
            let mut runner = CourseRunner::on_host(self.host, &module.bytes).map_err(broken)?;
            let ran = runner.run(&request).map_err(broken)?;
            if !ran.may_be(course.as_ref(), linked) {
                let place = self.sources.location(case.span);
                return Err(TestError::Broken(format!(
                    "{place}: the module does not treat the request as the language is defined\n  \
                     module:    {ran:?}\n  evaluator: {course:?}"
                )));
            }
        }
        let ways = testing::way_failures(case, course.as_ref(), &program.workload);
        Ok((course, ways))
    }

    /// Decides the request by the module, which must say what the evaluator says.
    fn must_agree(
        &self,
        case: &TestCase,
        (program, runner): (&LinkedProgram, &mut PolicyRunner),
        request: &Request,
        now_ns: u64,
        decision: &Decision,
    ) -> Result<(), TestError> {
        let ran = runner
            .run_answered(request, now_ns, &case.response)
            .map_err(|error| self.broken(case.span, &error))?;
        let defined = Ran::by(program, request, decision, &case.response);
        if ran == defined {
            return Ok(());
        }
        let place = self.sources.location(case.span);
        Err(TestError::Broken(format!(
            "{place}: the module does not decide as the language is defined\n  \
             module:    {ran:?}\n  evaluator: {defined:?}"
        )))
    }

    fn not_as_defined(&self, case: &TestCase, error: &str) -> TestError {
        TestError::Broken(format!("{}: {error}", self.sources.location(case.span)))
    }

    fn broken(&self, span: Span, error: &RunError) -> TestError {
        TestError::Broken(format!("{}: {error}", self.sources.location(span)))
    }

    fn line_of(&self, span: Span) -> u32 {
        self.sources.get(span.file).map_or(0, |file| file.line_column(span.start).line)
    }
}

/// A host for the modules of tests.
///
/// # Errors
/// If it cannot be made on this machine.
pub fn host() -> Result<Host, HostError> {
    Host::new(Limits::default())
}

impl std::fmt::Debug for TestBench<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestBench").field("programs", &self.programs.len()).finish_non_exhaustive()
    }
}
