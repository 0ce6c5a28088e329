//! `chancery apply`: puts policies in force.

use super::stages::StageArguments;
use super::wait::{WaitArguments, wait};
use crate::cli::context;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::global::Global;
use crate::cli::output::OutputArguments;
use crate::cli::report::count;
use crate::cli::terminal;
use crate::mesh::words::{visible, visible_lines};
use crate::policies::sources;
use crate::server::api::types::{
    ApplyOutcome, ApplyRequest, ApplyResponse, DiagnosticBody, FileBody, LeftOutBody,
};
use chancery_policy_lang::source::SourceFile;
use clap::Args;
use std::path::PathBuf;

/// How many sidecars are named; programs get all.
const SIDECARS_SHOWN_MAX: usize = 10;

/// Arguments of `chancery apply`.
#[derive(Args, Debug)]
#[command(
    after_help = "All files are checked together with the policies in force, linked and compiled before\n\
    anything changes; then all are in force, or none. A policy is replaced by its name; policies that\n\
    are in no file stay (`chancery delete policy` takes them out).\n\n\
    With `--set NAME` the policies become members of that set; `--prune` then takes its other members\n\
    out of force, so that a policy that was renamed or whose file is gone leaves nothing behind.\n\n\
    `--dry-run` says what would change: a diff of the documents, the findings, and the sidecars\n\
    concerned. A reader's token is enough for it.\n\n\
    With `--stages` it reaches the sidecars that it changes one stage after the other, and is taken\n\
    back by itself if something is wrong: `chancery rollout status`. `--wait` waits for its end.\n\n\
    The tests of the files are run, and those of other files in force that name a policy which\n\
    changes. If one fails, nothing is changed, and the exit code is 2.\n\n\
    Examples:\n  chancery apply -f policies/\n  chancery apply -f orders.writ cart.writ --wait --timeout 30s\n  \
    chancery apply -f policies/ --dry-run\n  chancery apply -f policies/ --stages 5%,50%,100% --soak 60s\n  chancery apply -f policies/ --set shop --prune\n  chancery apply -f policies/ --no-tests"
)]
pub struct Arguments {
    /// Files of policies, folders of `*.writ` files, or `-` for standard input
    #[arg(short, long = "file", value_name = "DIR|FILE", required = true, num_args = 1..)]
    file: Vec<PathBuf>,
    /// Check everything, change nothing; say what would change, and for which sidecars
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    /// Do not run tests; the audit log says so
    #[arg(long)]
    no_tests: bool,
    /// The set that the policies are in from now on
    #[arg(long, value_name = "NAME")]
    set: Option<String>,
    /// Take policies of the set out of force that are in none of the files
    #[arg(long, requires = "set")]
    prune: bool,
    #[command(flatten)]
    stages: StageArguments,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    wait: WaitArguments,
}

/// Applies the files.
///
/// # Errors
/// Bad input if a file or policy is wrong; refused if a sidecar refuses it (with `--wait`).
pub async fn run(arguments: &Arguments, global: &Global) -> CommandResult {
    let request = ApplyRequest {
        dry_run: arguments.dry_run,
        skip_tests: arguments.no_tests,
        set: arguments.set.clone(),
        prune: arguments.prune,
        rollout: arguments.stages.plan(),
        at_once: arguments.stages.at_once,
        ..ApplyRequest::of(bodies(&arguments.file)?)
    };
    let client = context::find(global)?.client()?;
    let response: ApplyResponse = client.post("/v1/policies", &request).await?;
    print_warnings(&response.warnings);
    print_response(&response, arguments.output)?;
    if arguments.dry_run {
        return Ok(Exit::Well);
    }
    wait(&client, response.revision, &arguments.wait, arguments.output).await
}

/// The files that arguments mean, as they are sent.
pub(super) fn bodies(arguments: &[PathBuf]) -> Result<Vec<FileBody>, Failure> {
    let sources = sources::read(arguments)?;
    let body = |file: &SourceFile| FileBody { name: file.name.clone(), text: file.text.to_string() };
    Ok(sources.iter().map(|(_, file)| body(file)).collect())
}

/// Says what the checker warns of.
pub(super) fn print_warnings(warnings: &[DiagnosticBody]) {
    for warning in warnings {
        terminal::print_error(&visible_lines(&format!("{}\n", warning.rendered.trim_end())));
    }
}

/// Says what became of policies, or would.
pub(super) fn print_response(response: &ApplyResponse, output: OutputArguments) -> Result<(), Failure> {
    note_tests_left_out(&response.left_out);
    terminal::print_words(&output.render(response, render)?)?;
    Ok(())
}

/// Says which tests were left behind.
pub(super) fn note_tests_left_out(left_out: &[LeftOutBody]) {
    for LeftOutBody { kind, name, file, line, reason } in left_out {
        let note = format!("note: the {kind} `{name}` ({file}:{line}) does not count any more: it {reason}");
        terminal::print_error(&visible(&note));
    }
}

fn render(response: &ApplyResponse) -> String {
    let mut text: String = response.documents.iter().map(|document| document.unified.as_str()).collect();
    for policy in &response.policies {
        let outcome = match policy.outcome {
            ApplyOutcome::Created => "created",
            ApplyOutcome::Changed => "changed",
            ApplyOutcome::Unchanged => "unchanged",
            ApplyOutcome::Deleted => "deleted",
        };
        text.push_str(&format!("policy {} {outcome}\n", policy.name));
    }
    match response.tests {
        Some(0) => {}
        Some(passed) => text.push_str(&format!("{} passed\n", count(passed, "test", "tests"))),
        None => text.push_str("tests not run\n"),
    }
    if response.dry_run {
        text.push_str(&sidecars(&response.sidecars));
        text.push_str(&format!("dry run: revision {} stays in force\n", response.revision));
    } else {
        text.push_str(&format!("revision {}\n", response.revision));
        if !response.stages.is_empty() {
            text.push_str(&format!("in stages: {}\n", response.stages.join(", ")));
        }
    }
    text
}

/// Who is concerned, if anybody is.
fn sidecars(names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let shown: Vec<&str> = names.iter().take(SIDECARS_SHOWN_MAX).map(String::as_str).collect();
    let more = names.len() - shown.len();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("concerns {}: {}{more}\n", count(names.len(), "sidecar", "sidecars"), shown.join(", "))
}
