//! Runs `test` blocks: on the module's bytes, in a proxy-wasm host, and on the evaluator beside it.
//!
//! The evaluator defines the language: where the module differs from it, the module is wrong, and
//! that is neither the author's mistake nor a failed test.

use crate::command::explain::as_envoy_shows_it;
use crate::exit::Failure;
use crate::policy_files::{self, PolicyFiles};
use crate::policy_runner::{PolicyRunner, Ran, RunError};
use crate::workloads;
use chancery_policy_lang::checked::{CheckedTest, TestCase};
use chancery_policy_lang::decision::Decision;
use chancery_policy_lang::linked::LinkedProgram;
use chancery_policy_lang::request::Request;
use chancery_policy_lang::{Span, emit, eval, testing};
use serde::Serialize;

/// What became of a test.
#[derive(Debug, Serialize)]
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
#[derive(Debug, Serialize)]
pub struct CaseRun {
    /// The line.
    pub line: u32,
    /// Whether every expectation was met.
    pub passed: bool,
    /// What was expected and what came instead.
    pub failures: Vec<String>,
}

/// Runs all tests of the files.
///
/// # Errors
/// Bad input if the policies of a test cannot be tested together; failed if a module does not decide
/// as the evaluator does.
pub fn run_all(files: &PolicyFiles) -> Result<Vec<TestRun>, Failure> {
    files.analysis.tests.iter().map(|test| run(files, test)).collect()
}

fn run(files: &PolicyFiles, test: &CheckedTest) -> Result<TestRun, Failure> {
    let program = match testing::link_test(test, &files.analysis.policies) {
        Ok(program) => program,
        Err(diagnostics) => {
            policy_files::say(&files.sources, &diagnostics)?;
            return Err(Failure::failed(format!("the test `{}` cannot be linked", test.name)));
        }
    };
    let mut runner =
        PolicyRunner::new(&emit::compile(&program)).map_err(|error| broken(files, test.span, &error))?;
    let mut cases = Vec::new();
    for case in &test.cases {
        cases.push(run_case(files, &program, &mut runner, case)?);
    }
    Ok(TestRun {
        name: test.name.clone(),
        file: files.sources.get(test.span.file).map(|file| file.name.clone()).unwrap_or_default(),
        line: line_of(files, test.span),
        target: workloads::shown(&program.target),
        passed: cases.iter().all(|case| case.passed),
        cases,
    })
}

fn run_case(
    files: &PolicyFiles,
    program: &LinkedProgram,
    runner: &mut PolicyRunner,
    case: &TestCase,
) -> Result<CaseRun, Failure> {
    let request = as_envoy_shows_it(case.request.clone());
    let decision = eval::evaluate(program, &request);
    for _ in 0..case.repeat.max(1) {
        must_agree(files, case, runner, &request, &decision)?;
    }
    let failures: Vec<String> =
        case.expect.iter().filter_map(|expected| testing::failure(expected, &decision)).collect();
    Ok(CaseRun { line: line_of(files, case.span), passed: failures.is_empty(), failures })
}

/// Decides the request by the module, which must say what the evaluator says.
fn must_agree(
    files: &PolicyFiles,
    case: &TestCase,
    runner: &mut PolicyRunner,
    request: &Request,
    decision: &Decision,
) -> Result<(), Failure> {
    let ran = runner.run(request).map_err(|error| broken(files, case.span, &error))?;
    let defined = Ran::of(decision);
    if ran == defined {
        return Ok(());
    }
    let place = files.sources.location(case.span);
    let message = format!(
        "{place}: the module does not decide as the language is defined\n  \
         module:    {ran:?}\n  evaluator: {defined:?}"
    );
    Err(Failure::failed(message).help("this is a mistake in Chancery: please report it with the policy"))
}

fn broken(files: &PolicyFiles, span: Span, error: &RunError) -> Failure {
    Failure::failed(format!("{}: {error}", files.sources.location(span)))
        .help("this is a mistake in Chancery: please report it with the policy")
}

fn line_of(files: &PolicyFiles, span: Span) -> u32 {
    files.sources.get(span.file).map_or(0, |file| file.line_column(span.start).line)
}
