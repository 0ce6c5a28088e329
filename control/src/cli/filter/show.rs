//! `chancery filter show`: all that is known of one version of a filter.

use crate::cli::context;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::global::Global;
use crate::cli::listing;
use crate::cli::output::OutputArguments;
use crate::cli::terminal;
use crate::server::api::client::{Client, escape};
use crate::server::api::types::{FilterBody, FilterSourceBody, FilterVersions};
use clap::Args;
use serde_json::Value;

/// Arguments of `chancery filter show`.
#[derive(Args, Debug)]
#[command(after_help = "Without a version the highest one is shown.\n\n\
    Examples:\n  chancery filter show pii-guard@1.2.0\n  chancery filter show pii-guard -o json")]
pub(super) struct Arguments {
    /// Which one
    #[arg(value_name = "NAME[@VERSION]")]
    filter: String,
    #[command(flatten)]
    output: OutputArguments,
}

/// Shows it.
///
/// # Errors
/// If there is no such filter, or the control plane does not answer.
pub(super) async fn run(arguments: &Arguments, global: &Global) -> CommandResult {
    let filter = find(&context::find(global)?.client()?, &arguments.filter).await?;
    terminal::print_words(&arguments.output.render(&filter, text)?)?;
    Ok(Exit::Well)
}

/// All that is known of a version of a filter, as text and as a tree.
///
/// # Errors
/// As [`run`].
pub(crate) async fn described(client: &Client, name: &str) -> Result<(String, Value), Failure> {
    let filter = find(client, name).await?;
    Ok((text(&filter), listing::tree(&filter)?))
}

async fn find(client: &Client, filter: &str) -> Result<FilterBody, Failure> {
    match filter.split_once('@') {
        Some((name, version)) => {
            Ok(client.get(&format!("/v1/filters/{}/{}", escape(name), escape(version))).await?)
        }
        None => highest(client, filter).await,
    }
}

async fn highest(client: &Client, name: &str) -> Result<FilterBody, Failure> {
    let versions: FilterVersions = client.get(&format!("/v1/filters/{}", escape(name))).await?;
    versions.versions.into_iter().next_back().ok_or_else(|| {
        Failure::refused(format!("every version of the filter `{name}` was deleted"))
            .help(format!("`chancery filter versions {name}` says by whom"))
    })
}

fn text(filter: &FilterBody) -> String {
    let list = |words: &[String]| match words {
        [] => "-".to_owned(),
        words => words.join(", "),
    };
    let source = match &filter.source {
        FilterSourceBody::File(name) => format!("the file {name}"),
        FilterSourceBody::Registry { reference, manifest } => format!("{reference} ({manifest})"),
    };
    let lines = [
        ("sha256", filter.digest.clone()),
        ("with bounds", filter.module_digest.clone()),
        ("size", format!("{} bytes, {} with bounds", filter.bytes, filter.module_bytes)),
        ("pushed", format!("{} by {}", filter.pushed_at, filter.pushed_by)),
        ("from", source),
        ("signed by", filter.signed_by.clone().unwrap_or_else(|| "-".to_owned())),
        ("envoy", filter.envoy.clone().map_or_else(|| "not tried".to_owned(), |it| format!("{it} loads it"))),
        ("uses", list(&filter.uses)),
        ("may", filter.may.as_deref().map_or_else(|| "what a policy says".to_owned(), list)),
        ("withheld", list(&filter.withheld)),
        ("policies", list(&filter.used_by)),
    ];
    let mut text = format!("{}@{}\n", filter.name, filter.version);
    text.extend(lines.iter().map(|(name, value)| format!("  {name:<12} {value}\n")));
    text
}
