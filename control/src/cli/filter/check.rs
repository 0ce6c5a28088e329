//! `chancery filter check`: says everything that is wrong with a module, and tries it.
//!
//! First what can be read of it, then a dry run in the wasmtime host, then a trial in an Envoy of this machine; each only
//! if the one before found nothing that refuses the module.

use super::may::capability;
use super::module_file;
use super::trial::LocalEnvoy;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::output::OutputArguments;
use crate::cli::terminal;
use crate::mesh::model::filter::FilterDigest;
use crate::policies::effort::Effort;
use crate::policies::filters::dry_run::DryRun;
use crate::policies::filters::look::{Candidate, Looked, ModuleTrial, look_at};
use chancery_sdk_admission::{AdmittedModule, Capability, Finding, Terms};
use clap::Args;
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// Arguments of `chancery filter check`.
#[derive(Args, Debug)]
#[command(after_help = "The exit code is 2 if a finding refuses the module; warnings do not change it.\n\n\
    Examples:\n  chancery filter check my.wasm\n  \
    chancery filter check my.wasm --config c.json --may 'change body' --may call\n  \
    chancery filter check my.wasm --write bounded.wasm -o json")]
pub(super) struct Arguments {
    /// The module
    #[arg(value_name = "MODULE")]
    module: PathBuf,
    /// Write the module with its bounds, as sidecars would run it, to this file
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    #[command(flatten)]
    trial: TrialArguments,
    #[command(flatten)]
    output: OutputArguments,
}

/// How a module is looked at and tried.
#[derive(Args, Debug)]
pub(super) struct TrialArguments {
    /// What the module is configured with when it is tried
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What the module may do: `call`, `read body`, `change body`, `share data`; from the rest it is cut off. All of
    /// them unless one is stated
    #[arg(long, value_name = "WORDS", value_parser = capability)]
    may: Vec<Capability>,
    /// Do not try the module in an Envoy of this machine
    #[arg(long)]
    no_envoy: bool,
}

/// What is printed.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    file: String,
    /// By which the module is known, whatever its name: the SHA-256 of its bytes.
    digest: String,
    admitted: bool,
    findings: Vec<JsonFinding>,
    uses: Vec<&'static str>,
    withheld: Vec<&'static str>,
    bytes: usize,
    /// Of the module with its bounds.
    bounded_bytes: Option<usize>,
    /// Host calls and callbacks, for Envoy's capability restriction.
    allowed: Vec<String>,
    dry_run: Option<String>,
    envoy: Option<String>,
    #[serde(skip)]
    text: String,
}

/// A finding as JSON.
#[derive(Debug, Serialize)]
struct JsonFinding {
    code: &'static str,
    severity: &'static str,
    reason: String,
    section: Option<&'static str>,
    offset: Option<u64>,
    name: Option<String>,
    remedy: String,
}

/// Checks and tries the module, and prints the report.
///
/// # Errors
/// Bad input if a file cannot be read or the module is refused; failed if the module with its bounds cannot be written.
pub(super) fn run(arguments: &Arguments) -> CommandResult {
    let (report, module) = look(&arguments.module, &arguments.trial)?;
    report.print(arguments.output)?;
    let Some(module) = module else { return Err(Failure::silent(Exit::BadInput)) };
    if let Some(path) = &arguments.write {
        std::fs::write(path, &module.bytes)
            .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))?;
    }
    Ok(Exit::Well)
}

/// What is to be said of a module, and the module with its bounds if it is admitted.
///
/// # Errors
/// Bad input if a file cannot be read.
pub(super) fn look(
    path: &Path,
    arguments: &TrialArguments,
) -> Result<(Report, Option<AdmittedModule>), Failure> {
    let bytes = module_file::read_module(path)?;
    let configuration = arguments.config.as_deref().map(module_file::read_text).transpose()?;
    let may = (!arguments.may.is_empty()).then(|| arguments.may.iter().copied().collect::<BTreeSet<_>>());
    let terms = Terms { may, ..Terms::default() };
    let candidate = Candidate { bytes: &bytes, configuration: configuration.as_deref(), terms: &terms };
    let trial: Option<&dyn ModuleTrial> = if arguments.no_envoy { None } else { Some(&LocalEnvoy) };
    let looked = look_at(candidate, trial, &Effort::unless(CancellationToken::new()))?;
    let Looked { findings, uses, withheld, module, dry_run, envoy } = looked;
    let words = |of: &BTreeSet<Capability>| of.iter().map(|capability| capability.as_str()).collect();
    let report = Report {
        file: path.display().to_string(),
        digest: FilterDigest::of(&bytes).to_string(),
        admitted: module.is_some(),
        text: module_file::shown(&findings),
        findings: findings.into_iter().map(JsonFinding::from).collect(),
        uses: words(&uses),
        withheld: words(&withheld),
        bytes: bytes.len(),
        bounded_bytes: module.as_ref().map(|module| module.bytes.len()),
        allowed: module.iter().flat_map(|module| module.allowed.iter().cloned()).collect(),
        dry_run: dry_run.map(DryRun::in_words),
        envoy: envoy.in_words(),
    };
    Ok((report, module))
}

impl Report {
    /// Prints it in the form that is wanted.
    ///
    /// # Errors
    /// Failed if it cannot be printed.
    pub(super) fn print(&self, output: OutputArguments) -> Result<(), Failure> {
        terminal::print_words(&output.render(self, text)?)?;
        Ok(())
    }
}

/// The report for people.
fn text(report: &Report) -> String {
    let mut text = report.text.clone();
    let verdict = if report.admitted { "admitted" } else { "refused" };
    text.push_str(&format!("{}: {verdict}\n", report.file));
    let bounded = report.bounded_bytes.map(|bytes| format!("{} bytes, {bytes} with bounds", report.bytes));
    let list = |words: &[&str]| (!words.is_empty()).then(|| words.join(", "));
    let lines = [
        ("uses", list(&report.uses)),
        ("withheld", list(&report.withheld)),
        ("size", bounded),
        ("digest", Some(report.digest.clone())),
        ("dry run", report.dry_run.clone()),
        ("envoy", report.envoy.clone()),
    ];
    for (name, value) in lines {
        text.extend(value.map(|value| format!("  {name:<8} {value}\n")));
    }
    text
}

impl From<Finding> for JsonFinding {
    fn from(finding: Finding) -> Self {
        let Finding { code, reason, place, remedy } = finding;
        Self {
            code: code.as_str(),
            severity: code.severity().as_str(),
            reason,
            section: place.section,
            offset: place.offset,
            name: place.name,
            remedy,
        }
    }
}
