//! `chancery filter list`: the filters that the mesh has.

use crate::cli::context;
use crate::cli::exit::{CommandResult, Exit};
use crate::cli::global::Global;
use crate::cli::output::OutputArguments;
use crate::cli::terminal;
use crate::server::api::types::{FilterBody, FilterList};
use clap::Args;
use std::collections::{BTreeMap, BTreeSet};

/// Arguments of `chancery filter list`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  chancery filter list\n  chancery filter list -o json")]
pub(super) struct Arguments {
    #[command(flatten)]
    output: OutputArguments,
}

/// Lists them.
///
/// # Errors
/// If the control plane does not answer, or refuses.
pub(super) async fn run(arguments: &Arguments, global: &Global) -> CommandResult {
    let list: FilterList = context::find(global)?.client()?.get("/v1/filters").await?;
    terminal::print_words(&arguments.output.render(&list, text)?)?;
    Ok(Exit::Well)
}

fn text(list: &FilterList) -> String {
    let mut by_name: BTreeMap<&str, Vec<&FilterBody>> = BTreeMap::new();
    for filter in &list.filters {
        by_name.entry(&filter.name).or_default().push(filter);
    }
    if by_name.is_empty() {
        return "there is no filter; push one with `chancery filter push`\n".to_owned();
    }
    let row = |(name, versions): (&&str, &Vec<&FilterBody>)| {
        let newest = versions.last().map(|newest| newest.version.clone());
        let users: BTreeSet<&String> = versions.iter().flat_map(|version| &version.used_by).collect();
        vec![
            (*name).to_owned(),
            newest.unwrap_or_default(),
            versions.len().to_string(),
            users.len().to_string(),
        ]
    };
    let rows: Vec<_> = by_name.iter().map(row).collect();
    terminal::table(&["FILTER", "HIGHEST", "VERSIONS", "POLICIES"], &rows)
}
