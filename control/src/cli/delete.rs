//! `chancery delete`: takes policies out of force.

use super::apply::{bodies, note_tests_left_out};
use super::wait::{WaitArguments, wait};
use crate::cli::context;
use crate::cli::exit::{CommandResult, Failure};
use crate::cli::global::Global;
use crate::cli::output::OutputArguments;
use crate::cli::terminal;
use crate::policies::documents::stated;
use crate::server::api::types::{DeleteRequest, DeleteResponse, FileBody};
use chancery_policy_lang::FileId;
use chancery_policy_lang::parse::parse;
use clap::{Args, Subcommand};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Arguments of `chancery delete`.
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "When the last policy of a service goes, every request to it is allowed again: write\n\
    `otherwise deny` in a policy of the mesh to keep it shut. Tests that name the policy do not\n\
    count any more; those in files that stay are named.\n\n\
    With `-f` all policies go that the files state, whatever they say in them: all of them, or, if one\n\
    is not in force, none.\n\n\
    Examples:\n  chancery delete policy orders --wait\n  chancery delete -f policies/orders.writ"
)]
pub struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// Files that state the policies, folders of `*.writ` files, or `-` for standard input
    #[arg(short, long = "file", value_name = "DIR|FILE", required = true, num_args = 1..)]
    file: Vec<PathBuf>,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    wait: WaitArguments,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Take a policy out of force, or a sink that no policy sends to
    #[command(visible_alias = "sink")]
    Policy {
        /// Its name
        name: String,
        #[command(flatten)]
        output: OutputArguments,
        #[command(flatten)]
        wait: WaitArguments,
    },
}

/// Deletes them.
///
/// # Errors
/// If one is not in force, if the others do not fit together without them, or if a sidecar refuses what is left
/// (with `--wait`).
pub async fn run(arguments: &Arguments, global: &Global) -> CommandResult {
    let (names, output, waiting) = match &arguments.what {
        Some(What::Policy { name, output, wait }) => (vec![name.clone()], *output, wait),
        None => (names_in(&bodies(&arguments.file)?)?, arguments.output, &arguments.wait),
    };
    let client = context::find(global)?.client()?;
    let request = DeleteRequest { policies: names.clone() };
    let response: DeleteResponse = client.post("/v1/deletions", &request).await?;
    note_tests_left_out(&response.left_out);
    terminal::print_words(&output.render(&response, |response| {
        let deleted: String = names.iter().map(|name| format!("policy {name} deleted\n")).collect();
        format!("{deleted}revision {}\n", response.revision)
    })?)?;
    wait(&client, response.revision, waiting, output).await
}

/// The names of the policies that files state.
fn names_in(files: &[FileBody]) -> Result<Vec<String>, Failure> {
    let trees = files.iter().map(|file| parse(FileId::default(), &file.text).tree);
    let names: BTreeSet<String> =
        trees.flat_map(|tree| tree.file().map(|file| stated(&file))).flatten().collect();
    if names.is_empty() {
        return Err(Failure::bad_input("there is no policy in the files")
            .help("name files that state policies, or one policy: `chancery delete policy NAME`"));
    }
    Ok(names.into_iter().collect())
}
