//! `chancery check`: says everything that is wrong with policies, and what they cost.

use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::policy_files::PolicyFiles;
use crate::cli::report::{self, Counts, Format, JsonDiagnostic};
use crate::cli::target::DEFAULT_TRUST_DOMAIN;
use crate::cli::terminal;
use crate::policies::workloads::{self, representatives};
use chancery_policy_lang::emit::ModuleOptions;
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;

/// Arguments of `chancery check`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  chancery check policies/\n  \
    chancery check --format json policies/ | jq .counts\n  chancery check --cost orders.writ")]
pub struct Arguments {
    /// Policy files, folders of them, or `-` for standard input
    #[arg(required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// The form of the report
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
    /// Also print the size and the cost bound of the module of each workload that a policy names
    #[arg(long, conflicts_with = "format")]
    cost: bool,
}

/// The report as JSON.
#[derive(Serialize)]
struct JsonReport {
    diagnostics: Vec<JsonDiagnostic>,
    counts: Counts,
}

/// Checks the files and prints the report.
///
/// # Errors
/// Bad input if a file cannot be read or a policy is wrong.
pub fn run(arguments: &Arguments) -> CommandResult {
    let mut files = PolicyFiles::read(&arguments.files)?;
    files.check_combinations(DEFAULT_TRUST_DOMAIN)?;
    let counts = files.counts();
    if arguments.format == Format::Json {
        let diagnostics = report::to_json(&files.sources, &files.analysis.diagnostics);
        terminal::print_json(&JsonReport { diagnostics, counts })?;
    } else {
        let colours = terminal::stdout_has_colours();
        terminal::print(&report::render(
            &files.sources,
            &files.analysis.diagnostics,
            arguments.format,
            colours,
        ))?;
        terminal::print_error(&format!("{}: {counts}", files.summary()));
    }
    if counts.errors != 0 {
        return Err(Failure::silent(Exit::BadInput));
    }
    if arguments.cost {
        terminal::print(&cost_table(&files)?)?;
    }
    Ok(Exit::Well)
}

/// What the module of each workload weighs.
fn cost_table(files: &PolicyFiles) -> Result<String, Failure> {
    let mut rows = Vec::new();
    for workload in representatives(&files.analysis.policies, DEFAULT_TRUST_DOMAIN) {
        let Some(program) = files.link(&workload)? else { continue };
        let module = files.compile(&program, ModuleOptions::default())?;
        rows.push(vec![
            workloads::shown(&workload),
            module.manifest.policies.join(" "),
            module.manifest.rules.len().to_string(),
            module.bytes.len().to_string(),
            module.manifest.cost.to_string(),
            module.manifest.cost.worst().to_string(),
        ]);
    }
    Ok(terminal::table(&["WORKLOAD", "POLICIES", "RULES", "BYTES", "COST", "WORST"], &rows))
}
