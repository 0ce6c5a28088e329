//! `chancery filter catalogue`: the ready filters, and whether their modules are on this machine.

use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::output::OutputArguments;
use crate::cli::terminal;
use crate::policies::filters::ready::{self, ReadyFilter};
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;

/// Arguments of `chancery filter catalogue`.
#[derive(Args, Debug)]
#[command(after_help = "A ready filter is installed by its name: `chancery filter push --ready NAME`.\n\n\
    Examples:\n  chancery filter catalogue\n  chancery filter catalogue -o json")]
pub(super) struct Arguments {
    #[command(flatten)]
    output: OutputArguments,
}

/// A ready filter as it is listed.
#[derive(Debug, Serialize)]
struct Entry {
    #[serde(flatten)]
    filter: ReadyFilter,
    version: &'static str,
    /// Where its module is; none if it is not on this machine.
    module: Option<PathBuf>,
}

/// Lists them.
///
/// # Errors
/// Failed if the list cannot be printed.
pub(super) fn run(arguments: &Arguments) -> CommandResult {
    let folder = folder();
    let entry = |filter: ReadyFilter| {
        let module = filter.module(&folder);
        Entry { filter, version: ReadyFilter::version(), module }
    };
    let entries: Vec<Entry> = all()?.into_iter().map(entry).collect();
    terminal::print_words(&arguments.output.render(&entries, text)?)?;
    Ok(Exit::Well)
}

/// The module of a ready filter.
///
/// # Errors
/// Bad input if there is no such filter, failed if its module is not on this machine.
pub(super) fn module_of(name: &str) -> Result<PathBuf, Failure> {
    let filters = all()?;
    let Some(filter) = filters.iter().find(|filter| filter.name == name) else {
        let message = format!("there is no ready filter `{name}`");
        return Err(Failure::bad_input(message).help("`chancery filter catalogue` lists them"));
    };
    let folder = folder();
    filter.module(&folder).ok_or_else(|| {
        let message = format!("the module of `{name}` is not in {}", folder.display());
        Failure::failed(message).help(format!(
            "in the sources of Chancery `./dist` makes it, or `chancery filter build filters/{name}` alone; {} says where \
             modules are",
            ready::FOLDER_VARIABLE
        ))
    })
}

fn all() -> Result<Vec<ReadyFilter>, Failure> {
    ReadyFilter::all().map_err(Failure::failed)
}

fn folder() -> PathBuf {
    let stated = std::env::var_os(ready::FOLDER_VARIABLE).map(PathBuf::from);
    ready::folder(stated, std::env::current_exe().ok().as_deref())
}

#[expect(clippy::ptr_arg, reason = "it is what is rendered")]
fn text(entries: &Vec<Entry>) -> String {
    let row = |Entry { filter, version, module }: &Entry| {
        let is_here = if module.is_some() { "yes" } else { "no" };
        let may = filter.may.join(", ");
        vec![filter.name.clone(), (*version).to_owned(), is_here.to_owned(), may, filter.summary.clone()]
    };
    let rows: Vec<Vec<String>> = entries.iter().map(row).collect();
    terminal::table(&["NAME", "VERSION", "HERE", "MAY", "WHAT IT DOES"], &rows)
}
