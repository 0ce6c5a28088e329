//! `chancery history`: which revisions of the policies there were.

use crate::cli::context;
use crate::cli::exit::{CommandResult, Exit};
use crate::cli::global::Global;
use crate::cli::output::OutputArguments;
use crate::cli::terminal;
use crate::server::api::types::{RevisionBody, RevisionList, RevisionStep};
use clap::Args;

/// Arguments of `chancery history`.
#[derive(Args, Debug)]
#[command(
    after_help = "Each accepted change of policies makes a revision. The newest 1,000 are kept with their\n\
    documents; `chancery diff REV` shows what changed since one, `chancery rollback REV` goes back\n\
    to it. A policy that only moved to another file, or into a set, is marked so.\n\n\
    Examples:\n  chancery history\n  chancery history --count 3\n  chancery history -o json"
)]
pub struct Arguments {
    /// How many revisions, newest first
    #[arg(long, value_name = "N", default_value_t = 20)]
    count: usize,
    #[command(flatten)]
    output: OutputArguments,
}

/// Lists them.
///
/// # Errors
/// If the control plane does not answer, or refuses.
pub async fn run(arguments: &Arguments, global: &Global) -> CommandResult {
    let client = context::find(global)?.client()?;
    let list: RevisionList = client.get(&format!("/v1/revisions?count={}", arguments.count)).await?;
    terminal::print_words(&arguments.output.render(&list, table)?)?;
    Ok(Exit::Well)
}

fn table(list: &RevisionList) -> String {
    if list.revisions.is_empty() {
        return "no policy was ever in force; put some in force with `chancery apply`\n".to_owned();
    }
    let rows: Vec<_> = list.revisions.iter().map(row).collect();
    terminal::table(&["REVISION", "AT", "BY", "CHANGED"], &rows)
}

fn row(revision: &RevisionBody) -> Vec<String> {
    let sign = |step| match step {
        RevisionStep::Created => '+',
        RevisionStep::Deleted => '-',
        RevisionStep::Changed => '~',
        RevisionStep::Moved => '>',
    };
    let policies = revision.policies.iter().map(|policy| format!("{}{}", sign(policy.step), policy.name));
    let changed = policies.collect::<Vec<_>>().join(" ");
    vec![revision.revision.to_string(), revision.at.clone(), revision.actor.clone(), changed]
}
