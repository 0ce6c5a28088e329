//! `chancery test`: runs the `test` blocks of policies on the bytes that sidecars run.

use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::policy_files::{self, PolicyFiles};
use crate::cli::report::Format;
use crate::cli::target::DEFAULT_TRUST_DOMAIN;
use crate::cli::terminal;
use crate::policies::test_run::{self, TestBench, TestError, TestRun};
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;

/// Arguments of `chancery test`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  chancery test policies/\n  chancery test --format json policies/ | jq .failed"
)]
pub struct Arguments {
    /// Policy files, folders of them, or `-` for standard input
    #[arg(required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// The form of the report
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

/// The report as JSON.
#[derive(Serialize)]
struct JsonReport<'a> {
    tests: &'a [TestRun],
    passed: usize,
    failed: usize,
}

/// Runs the tests and prints their results.
///
/// # Errors
/// Bad input if a file cannot be read or a policy is wrong; failed if a test fails.
pub fn run(arguments: &Arguments) -> CommandResult {
    let mut files = PolicyFiles::read(&arguments.files)?;
    files.check_combinations(DEFAULT_TRUST_DOMAIN)?;
    files.say_diagnostics()?;
    let runs = run_all(&files)?;
    let failed = runs.iter().filter(|run| !run.passed).count();
    let passed = runs.len() - failed;
    if arguments.format == Format::Json {
        terminal::print_json(&JsonReport { tests: &runs, passed, failed })?;
    } else {
        terminal::print(&table(&runs))?;
        terminal::print_error(&format!("{passed} passed, {failed} failed"));
    }
    if failed == 0 { Ok(Exit::Well) } else { Err(Failure::silent(Exit::Failed)) }
}

/// Runs all tests of the files.
fn run_all(files: &PolicyFiles) -> Result<Vec<TestRun>, Failure> {
    let host = test_run::host().map_err(|error| Failure::failed(error.to_string()))?;
    let mut bench = TestBench::new(&files.sources, &files.analysis.policies, &host);
    let runs: Result<Vec<TestRun>, TestError> =
        files.analysis.tests.iter().map(|test| bench.run(test)).collect();
    runs.map_err(|error| match error {
        TestError::Apart(found) => policy_files::say(&files.sources, &found)
            .err()
            .unwrap_or_else(|| Failure::bad_input("the policies of a test do not go together")),
        other => Failure::failed(other.to_string())
            .help("this is a mistake in Chancery: please report it with the policy"),
    })
}

/// A line a test, and below it a line for each expectation that was not met.
fn table(runs: &[TestRun]) -> String {
    let rows: Vec<Vec<String>> = runs
        .iter()
        .map(|run| {
            let result = if run.passed { "passed" } else { "FAILED" };
            let cases = run.cases.len().to_string();
            vec![
                result.to_owned(),
                cases,
                run.target.clone(),
                format!("{}:{}", run.file, run.line),
                run.name.clone(),
            ]
        })
        .collect();
    let table = terminal::table(&["RESULT", "CASES", "WORKLOAD", "AT", "TEST"], &rows);
    let mut lines = table.lines();
    let mut text = String::new();
    text.extend(lines.next().map(|header| format!("{header}\n")));
    for (line, run) in lines.zip(runs) {
        text.push_str(&format!("{line}\n"));
        for case in &run.cases {
            text.extend(
                case.failures.iter().map(|failure| format!("    {}:{}: {failure}\n", run.file, case.line)),
            );
        }
    }
    text
}
