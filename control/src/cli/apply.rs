//! `chancery apply`: puts policies in force.

use super::wait::{WaitArguments, wait};
use crate::cli::context;
use crate::cli::exit::{CommandResult, Exit};
use crate::cli::global::Global;
use crate::cli::report::count;
use crate::cli::terminal;
use crate::policies::sources;
use crate::server::api::types::{ApplyOutcome, ApplyRequest, ApplyResponse, FileBody, LeftOutBody};
use clap::Args;
use std::path::PathBuf;

/// Arguments of `chancery apply`.
#[derive(Args, Debug)]
#[command(
    after_help = "All files are checked together with the policies in force, linked and compiled before\n\
    anything changes; then all are in force, or none. A policy is replaced by its name; policies that\n\
    are in no file stay (`chancery delete policy` takes them out).\n\n\
    The tests of the files are run, and those of other files in force that name a policy which\n\
    changes. If one fails, nothing is changed, and the exit code is 2.\n\n\
    Examples:\n  chancery apply -f policies/\n  chancery apply -f orders.writ cart.writ --wait --timeout 30s\n  \
    chancery apply -f policies/ --dry-run\n  chancery apply -f policies/ --no-tests"
)]
pub struct Arguments {
    /// Files of policies, folders of `*.writ` files, or `-` for standard input
    #[arg(short, long = "file", value_name = "DIR|FILE", required = true, num_args = 1..)]
    file: Vec<PathBuf>,
    /// Check everything, change nothing
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    /// Do not run tests; the audit log says so
    #[arg(long)]
    no_tests: bool,
    #[command(flatten)]
    wait: WaitArguments,
}

/// Applies the files.
///
/// # Errors
/// Bad input if a file or policy is wrong; refused if a sidecar refuses it (with `--wait`).
pub async fn run(arguments: &Arguments, global: &Global) -> CommandResult {
    let sources = sources::read(&arguments.file)?;
    let files = sources
        .iter()
        .map(|(_, file)| FileBody { name: file.name.clone(), text: file.text.to_string() })
        .collect();
    let client = context::find(global)?.client()?;
    let request = ApplyRequest { files, dry_run: arguments.dry_run, skip_tests: arguments.no_tests };
    let response: ApplyResponse = client.post("/v1/policies", &request).await?;
    for warning in &response.warnings {
        terminal::print_error(&format!("{}\n", warning.rendered.trim_end()));
    }
    note_tests_left_out(&response.left_out);
    terminal::print(&render(&response))?;
    if arguments.dry_run {
        return Ok(Exit::Well);
    }
    wait(&client, response.revision, &arguments.wait).await
}

/// Says which tests were left behind.
pub(super) fn note_tests_left_out(left_out: &[LeftOutBody]) {
    for LeftOutBody { kind, name, file, line, reason } in left_out {
        terminal::print_error(&format!(
            "note: the {kind} `{name}` ({file}:{line}) does not count any more: it {reason}"
        ));
    }
}

fn render(response: &ApplyResponse) -> String {
    let mut text = String::new();
    for policy in &response.policies {
        let outcome = match policy.outcome {
            ApplyOutcome::Created => "created",
            ApplyOutcome::Changed => "changed",
            ApplyOutcome::Unchanged => "unchanged",
        };
        text.push_str(&format!("policy {} {outcome}\n", policy.name));
    }
    match response.tests {
        Some(0) => {}
        Some(passed) => text.push_str(&format!("{} passed\n", count(passed, "test", "tests"))),
        None => text.push_str("tests not run\n"),
    }
    if response.dry_run {
        text.push_str(&format!("dry run: revision {} stays in force\n", response.revision));
    } else {
        text.push_str(&format!("revision {}\n", response.revision));
    }
    text
}
