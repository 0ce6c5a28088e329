//! `chancery filter versions`: the versions that a filter has and had, and who pushed or deleted each.

use crate::cli::context;
use crate::cli::exit::{CommandResult, Exit};
use crate::cli::global::Global;
use crate::cli::output::OutputArguments;
use crate::cli::terminal;
use crate::server::api::client::escape;
use crate::server::api::types::{FilterBody, FilterVersions, RetiredFilterBody};
use clap::Args;

/// How many digits of a digest are shown.
const DIGEST_DIGITS: usize = 12;

/// Arguments of `chancery filter versions`.
#[derive(Args, Debug)]
#[command(after_help = "Versions that were deleted stand below the others.\n\n\
    Examples:\n  chancery filter versions pii-guard\n  chancery filter versions pii-guard -o json")]
pub(super) struct Arguments {
    /// The name of the filter
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    output: OutputArguments,
}

/// Lists them.
///
/// # Errors
/// If there is no such filter, or the control plane does not answer.
pub(super) async fn run(arguments: &Arguments, global: &Global) -> CommandResult {
    let path = format!("/v1/filters/{}", escape(&arguments.name));
    let versions: FilterVersions = context::find(global)?.client()?.get(&path).await?;
    terminal::print_words(&arguments.output.render(&versions, text)?)?;
    Ok(Exit::Well)
}

fn text(versions: &FilterVersions) -> String {
    let digest = |digest: &str| digest.chars().take(DIGEST_DIGITS).collect::<String>();
    let present = |filter: &FilterBody| {
        vec![
            filter.version.clone(),
            digest(&filter.digest),
            filter.pushed_at.clone(),
            filter.pushed_by.clone(),
            match filter.used_by.len() {
                0 => "-".to_owned(),
                count => format!("used by {count}"),
            },
        ]
    };
    let deleted = |filter: &RetiredFilterBody| {
        vec![
            filter.version.clone(),
            digest(&filter.digest),
            filter.pushed_at.clone(),
            filter.pushed_by.clone(),
            format!("deleted {} by {}", filter.deleted_at, filter.deleted_by),
        ]
    };
    let rows: Vec<_> =
        versions.versions.iter().map(present).chain(versions.deleted.iter().map(deleted)).collect();
    terminal::table(&["VERSION", "SHA256", "PUSHED", "BY", "NOW"], &rows)
}
