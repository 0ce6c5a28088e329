//! `chancery diff`: how policies differ between revisions, or from what files say.

use super::apply::{bodies, note_tests_left_out, print_warnings};
use crate::cli::context;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::global::Global;
use crate::cli::output::OutputArguments;
use crate::cli::terminal;
use crate::server::api::client::Client;
use crate::server::api::types::{ApplyRequest, ApplyResponse, DiffResponse};
use clap::Args;
use std::path::PathBuf;

/// Arguments of `chancery diff`.
#[derive(Args, Debug)]
#[command(
    after_help = "Without a revision or files: what the newest revision changed. With a revision: what changed\n\
    since. With two: what changed from one to the other. With files: what applying them would change\n\
    of what is in force, or of a revision; they are checked, but their tests are not run. A file whose\n\
    name is a number is written `./7`.\n\n\
    The differences are those of whole documents, as a unified diff. The exit code is 0 whether or\n\
    not there are any.\n\n\
    Examples:\n  chancery diff\n  chancery diff 12\n  chancery diff 12 14\n  chancery diff policies/\n  \
    chancery diff 12 policies/ -o json"
)]
pub struct Arguments {
    /// A revision, or two; files of policies, folders of `*.writ` files, or `-`
    #[arg(value_name = "REV|FILE|DIR")]
    what: Vec<String>,
    #[command(flatten)]
    output: OutputArguments,
}

/// Prints the differences.
///
/// # Errors
/// Bad input if a file or policy is wrong; refused if there is no such revision.
pub async fn run(arguments: &Arguments, global: &Global) -> CommandResult {
    let (revisions, files) = split(&arguments.what)?;
    let client = context::find(global)?.client()?;
    let difference = if files.is_empty() {
        between(&client, &revisions).await?
    } else {
        from_files(&client, revisions.first().copied(), &files).await?
    };
    terminal::print_words(&arguments.output.render(&difference, text)?)?;
    Ok(Exit::Well)
}

/// Numbers are revisions, and come first.
fn split(what: &[String]) -> Result<(Vec<u64>, Vec<PathBuf>), Failure> {
    let revisions: Vec<u64> = what.iter().map_while(|word| word.parse().ok()).collect();
    let files: Vec<PathBuf> = what.iter().skip(revisions.len()).map(PathBuf::from).collect();
    let revisions_max = if files.is_empty() { 2 } else { 1 };
    if revisions.len() > revisions_max {
        return Err(Failure::bad_input("there are too many revisions")
            .help("write one or two, or one before files; a file whose name is a number is `./7`"));
    }
    Ok((revisions, files))
}

async fn between(client: &Client, revisions: &[u64]) -> Result<DiffResponse, Failure> {
    let path = match revisions {
        [] => "/v1/diff".to_owned(),
        [from] => format!("/v1/diff?from={from}"),
        [from, to, ..] => format!("/v1/diff?from={from}&to={to}"),
    };
    Ok(client.get(&path).await?)
}

async fn from_files(client: &Client, from: Option<u64>, files: &[PathBuf]) -> Result<DiffResponse, Failure> {
    let request =
        ApplyRequest { dry_run: true, skip_tests: true, since: from, ..ApplyRequest::of(bodies(files)?) };
    let response: ApplyResponse = client.post("/v1/policies", &request).await?;
    print_warnings(&response.warnings);
    note_tests_left_out(&response.left_out);
    let from = from.unwrap_or(response.revision);
    Ok(DiffResponse { from, to: response.revision, documents: response.documents })
}

fn text(difference: &DiffResponse) -> String {
    difference.documents.iter().map(|document| document.unified.as_str()).collect()
}
