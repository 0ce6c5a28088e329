//! `chancery rollback`: puts the policies of an earlier revision in force again.

use super::apply::{print_response, print_warnings};
use super::wait::{WaitArguments, wait};
use crate::cli::context;
use crate::cli::exit::{CommandResult, Exit};
use crate::cli::global::Global;
use crate::cli::output::OutputArguments;
use crate::server::api::types::{ApplyResponse, RollbackRequest};
use clap::Args;

/// Arguments of `chancery rollback`.
#[derive(Args, Debug)]
#[command(
    after_help = "All policies become those of the revision: what changed since is changed back, what was\n\
    deleted is there again, what came later goes. It is checked as an apply is, tests are run, and it\n\
    makes a new revision; nothing leaves the history, so that going back can be taken back.\n\n\
    Examples:\n  chancery rollback 12 --dry-run\n  chancery rollback 12 --wait --timeout 30s"
)]
pub struct Arguments {
    /// The revision, as `chancery history` lists it
    #[arg(value_name = "REV")]
    revision: u64,
    /// Check everything, change nothing; say what would change, and for which sidecars
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    /// Do not run tests; the audit log says so
    #[arg(long)]
    no_tests: bool,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    wait: WaitArguments,
}

/// Goes back.
///
/// # Errors
/// Refused if there is no such revision, or if a sidecar refuses it (with `--wait`); bad input if a test fails.
pub async fn run(arguments: &Arguments, global: &Global) -> CommandResult {
    let client = context::find(global)?.client()?;
    let request = RollbackRequest {
        revision: arguments.revision,
        dry_run: arguments.dry_run,
        skip_tests: arguments.no_tests,
    };
    let response: ApplyResponse = client.post("/v1/rollback", &request).await?;
    print_warnings(&response.warnings);
    print_response(&response, arguments.output)?;
    if arguments.dry_run {
        return Ok(Exit::Well);
    }
    wait(&client, response.revision, &arguments.wait, arguments.output).await
}
