//! `chancery filter delete`: takes a version of a filter away that no policy uses.

use crate::cli::context;
use crate::cli::exit::{CommandResult, Exit};
use crate::cli::global::Global;
use crate::cli::output::OutputArguments;
use crate::cli::terminal;
use crate::server::api::client::escape;
use crate::server::api::types::RetiredFilterBody;
use clap::Args;

/// Arguments of `chancery filter delete`.
#[derive(Args, Debug)]
#[command(after_help = "The version never gets other bytes; the same ones can be pushed again.\n\n\
    Example:\n  chancery filter delete pii-guard 1.2.0")]
pub(super) struct Arguments {
    /// The name of the filter
    #[arg(value_name = "NAME")]
    name: String,
    /// The version
    #[arg(value_name = "VERSION")]
    version: String,
    #[command(flatten)]
    output: OutputArguments,
}

/// Deletes it.
///
/// # Errors
/// If there is no such version, or policies use it.
pub(super) async fn run(arguments: &Arguments, global: &Global) -> CommandResult {
    let Arguments { name, version, output } = arguments;
    let path = format!("/v1/filters/{}/{}", escape(name), escape(version));
    let deleted: RetiredFilterBody = context::find(global)?.client()?.delete(&path).await?;
    terminal::print_words(
        &output.render(&deleted, |deleted| format!("filter {name}@{} deleted\n", deleted.version))?,
    )?;
    Ok(Exit::Well)
}
