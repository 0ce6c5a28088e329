//! `chancery delete`: takes something out of force.

use super::apply::note_tests_left_out;
use super::wait::{WaitArguments, wait};
use crate::cli::context;
use crate::cli::exit::CommandResult;
use crate::cli::global::Global;
use crate::cli::terminal;
use crate::server::api::client::escape;
use crate::server::api::types::DeleteResponse;
use clap::{Args, Subcommand};

/// Arguments of `chancery delete`.
#[derive(Args, Debug)]
#[command(
    after_help = "When the last policy of a service goes, every request to it is allowed again: write\n\
    `otherwise deny` in a policy of the mesh to keep it shut. Tests that name the policy do not\n\
    count any more; those in files that stay are named.\n\nExample:\n  chancery delete policy orders --wait"
)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Take a policy out of force
    Policy {
        /// Its name
        name: String,
        #[command(flatten)]
        wait: WaitArguments,
    },
}

/// Deletes it.
///
/// # Errors
/// If there is none, if the others do not fit together without it, or if a sidecar refuses what is
/// left (with `--wait`).
pub async fn run(arguments: &Arguments, global: &Global) -> CommandResult {
    let What::Policy { name, wait: waiting } = &arguments.what;
    let client = context::find(global)?.client()?;
    let response: DeleteResponse = client.delete(&format!("/v1/policies/{}", escape(name))).await?;
    note_tests_left_out(&response.left_out);
    terminal::print_line(&format!("policy {name} deleted\nrevision {}", response.revision))?;
    wait(&client, response.revision, waiting).await
}
