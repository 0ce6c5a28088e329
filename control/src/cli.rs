//! The command line: global options, the list of subcommands, and how one is run.
//!
//! Each subcommand is a file below with a struct `Arguments` and a function `run`; here it has one line in
//! the list of modules, one in [`Command`] and one in `dispatch`. How a command ends is known only here
//! ([`exit`] and `failures`): the other wings have errors of their own.

// The subcommands.
pub mod apply;
pub mod check;
pub mod compile;
pub mod completion;
pub mod control_plane;
pub mod delete;
pub mod demo;
pub mod describe;
pub mod diff;
pub mod doctor;
pub mod envoy;
pub mod explain;
pub mod filter;
pub mod fmt;
pub mod get;
pub mod history;
pub mod import;
pub mod logs;
pub mod lsp;
pub mod proxies;
pub mod rollback;
pub mod rollout;
pub mod shadow;
pub mod sidecar;
mod signals;
pub mod snapshot;
pub mod status;
pub mod test;
pub mod token;

// What they share.
pub mod config_file;
pub mod context;
pub mod durations;
pub mod exit;
mod failures;
pub mod global;
pub mod listing;
pub mod logging;
pub mod output;
pub mod policy_files;
pub mod report;
pub mod stages;
pub mod target;
pub mod terminal;
pub mod wait;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use exit::{CommandResult, Exit, Failure};
use global::Global;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

/// How long threads may take to end after the command did.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// A control plane for Envoy sidecars whose policies are programs
#[derive(Debug, Parser)]
#[command(name = "chancery", version, max_term_width = 100, subcommand_required = true)]
#[command(after_help = "Exit codes: 0 well; 1 it failed, or a test did; 2 the policy or input is wrong;\n\
    3 refused by a proxy or by the control plane; 4 sidecars are away, or have not acknowledged it.")]
pub struct Cli {
    /// Options of every subcommand.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show a whole mesh at work on this machine
    Demo(demo::Arguments),
    /// Say everything that is wrong with policies
    Check(check::Arguments),
    /// Write policies in the one form that there is
    Fmt(fmt::Arguments),
    /// Run the `test` blocks of policies, on the bytes that sidecars run
    Test(test::Arguments),
    /// Say what would be decided of a request, by which rule, and why not by another
    Explain(explain::Arguments),
    /// Write in Writ what resources of Istio or Kuma say
    Import(import::Arguments),
    /// Serve editors: what is wrong as you write, what words mean, what can follow
    Lsp(lsp::Arguments),
    /// Write the module of a workload, or any stage on the way to it
    Compile(compile::Arguments),
    /// Look at a Wasm filter of your own, run it, or keep it in the mesh
    Filter(filter::Arguments),
    /// Run the control plane
    ControlPlane(control_plane::Arguments),
    /// Make a token with which a sidecar joins, or one for the API
    Token(token::Arguments),
    /// Run Envoy beside a replica of a service, as a member of the mesh
    Sidecar(Box<sidecar::Arguments>),
    /// Put policies in force
    Apply(apply::Arguments),
    /// List policies, sidecars, services, filters, tokens or the audit log
    Get(get::Arguments),
    /// Show everything that is known of one policy, sidecar, service or filter
    Describe(describe::Arguments),
    /// Take policies out of force
    Delete(delete::Arguments),
    /// List the revisions of the policies, and what each changed
    History(history::Arguments),
    /// Show how policies differ between revisions, or from files
    Diff(diff::Arguments),
    /// Put the policies of an earlier revision in force again
    Rollback(rollback::Arguments),
    /// Show, hold or take back the delivery of a revision in stages
    Rollout(rollout::Arguments),
    /// List the sidecars that joined
    Proxies(proxies::Arguments),
    /// Show what a policy in shadow mode would have decided otherwise
    Shadow(shadow::Arguments),
    /// Show lines of the sidecars' logs, as they come
    Logs(logs::Arguments),
    /// Say whether every sidecar is on a revision
    Status(status::Arguments),
    /// Look for what is wrong: with the mesh, or on the machine of a sidecar or a control plane
    Doctor(doctor::Arguments),
    /// Show what a sidecar is given, as YAML
    Snapshot(snapshot::Arguments),
    /// Find or install the Envoy that sidecars run
    Envoy(envoy::Arguments),
    /// Print completions for a shell
    Completion(completion::Arguments),
}

impl Command {
    /// What is logged unless `--log` says otherwise: servers tell what they do, commands only what
    /// went wrong.
    fn default_log(&self) -> &'static str {
        if self.is_server() { "info" } else { "warn" }
    }

    /// Whether it runs until it is told to stop.
    fn is_server(&self) -> bool {
        matches!(self, Self::ControlPlane(_) | Self::Sidecar(_))
    }
}

/// Runs the command line that these arguments are (the first is the program's name), prints what
/// there is to say, and gives the exit code of the process.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(exit) = completion::answered(Cli::command, &arguments) {
        return exit;
    }
    let command = match config_file::filled(Cli::command(), &arguments) {
        Ok(command) => command,
        Err(failure) => {
            terminal::print_error(&failure.to_string());
            return failure.exit.into();
        }
    };
    let cli = match parse(command, arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for, everything else is wrong input; clap prints both.
            let printed = terminal::forgive_closed_pipe(error.print()).is_ok();
            let exit = if error.use_stderr() { Exit::BadInput } else { Exit::Well };
            return if printed { exit.into() } else { Exit::Failed.into() };
        }
    };
    let is_server = cli.command.is_server();
    match start(cli) {
        Ok(exit) => {
            logging::finish(None);
            exit.into()
        }
        Err(failure) => {
            let said = (!failure.message.is_empty()).then(|| failure.to_string());
            // A server ends whether or not somebody reads; a person's pager may take its time.
            logging::finish(said.as_deref().filter(|_| is_server));
            said.filter(|_| !is_server).iter().for_each(|text| terminal::print_error(text));
            failure.exit.into()
        }
    }
}

fn parse(mut command: clap::Command, arguments: Vec<OsString>) -> Result<Cli, clap::Error> {
    let matches = command.try_get_matches_from_mut(arguments)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

fn start(cli: Cli) -> CommandResult {
    let filter = cli.global.log.as_deref().unwrap_or(cli.command.default_log());
    logging::start(filter, cli.global.log_format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("the threads of the runtime cannot be started: {error}")))?;
    let outcome = runtime.block_on(dispatch(cli));
    // What still computes on a thread of its own is not waited for.
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    outcome
}

/// One line a subcommand.
async fn dispatch(cli: Cli) -> CommandResult {
    match &cli.command {
        Command::Demo(arguments) => demo::run(arguments).await,
        Command::Check(arguments) => check::run(arguments),
        Command::Fmt(arguments) => fmt::run(arguments),
        Command::Test(arguments) => test::run(arguments),
        Command::Explain(arguments) => explain::run(arguments, &cli.global).await,
        Command::Import(arguments) => import::run(arguments),
        Command::Lsp(arguments) => lsp::run(arguments),
        Command::Compile(arguments) => compile::run(arguments),
        Command::Filter(arguments) => filter::run(arguments, &cli.global).await,
        Command::ControlPlane(arguments) => control_plane::run(arguments).await,
        Command::Token(arguments) => token::run(arguments, &cli.global).await,
        Command::Sidecar(arguments) => sidecar::run(arguments).await,
        Command::Apply(arguments) => apply::run(arguments, &cli.global).await,
        Command::Get(arguments) => get::run(arguments, &cli.global).await,
        Command::Describe(arguments) => describe::run(arguments, &cli.global).await,
        Command::Delete(arguments) => delete::run(arguments, &cli.global).await,
        Command::History(arguments) => history::run(arguments, &cli.global).await,
        Command::Diff(arguments) => diff::run(arguments, &cli.global).await,
        Command::Rollback(arguments) => rollback::run(arguments, &cli.global).await,
        Command::Rollout(arguments) => rollout::run(arguments, &cli.global).await,
        Command::Proxies(arguments) => proxies::run(arguments, &cli.global).await,
        Command::Shadow(arguments) => shadow::run(arguments, &cli.global).await,
        Command::Logs(arguments) => logs::run(arguments, &cli.global).await,
        Command::Status(arguments) => status::run(arguments, &cli.global).await,
        Command::Doctor(arguments) => doctor::run(arguments, &cli.global).await,
        Command::Snapshot(arguments) => snapshot::run(arguments, &cli.global).await,
        Command::Envoy(arguments) => envoy::run(arguments).await,
        Command::Completion(arguments) => completion::run(arguments),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_subcommand_has_a_description() {
        for subcommand in Cli::command().get_subcommands() {
            assert!(subcommand.get_about().is_some(), "{} has none", subcommand.get_name());
        }
    }
}
