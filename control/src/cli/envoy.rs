//! `chancery envoy`: which Envoy the sidecars run, and getting one.

use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::terminal;
use crate::sidecar::envoy_binary::{EnvoyBinary, EnvoyError, Search};
use clap::{Args, Subcommand};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

/// Arguments of `chancery envoy`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Download the official Envoy into the user's cache, unless it is there already
    Install,
    /// Print the path of the Envoy that sidecars on this machine will run
    Path,
    /// Become Envoy, and die together with the process that started this one
    #[command(hide = true)]
    Exec {
        /// The process to die with
        #[arg(long)]
        parent: i32,
        /// The program and its arguments
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

/// Prints the path of the Envoy that was found or installed.
///
/// # Errors
/// When there is none, or it cannot be got.
pub async fn run(arguments: &Arguments) -> CommandResult {
    let found = match &arguments.action {
        Action::Install => {
            blocking(|search| search.install(&mut terminal::print_error).map(Some), None).await?
        }
        Action::Path => blocking(|search| search.find(), None).await?,
        Action::Exec { parent, command } => return Err(exec(*parent, command)),
    };
    let Some(envoy) = found else {
        return Err(Failure::failed("there is no Envoy on this machine")
            .help("get one with `chancery envoy install`"));
    };
    terminal::print_line(&envoy.path.display().to_string())?;
    Ok(Exit::Well)
}

/// The Envoy for a command that is about to run it; says on standard error what is going on.
///
/// # Errors
/// When there is none and none can be got.
pub(super) async fn find_or_install(explicit: Option<PathBuf>) -> Result<EnvoyBinary, Failure> {
    blocking(|search| search.find_or_install(&mut terminal::print_error), explicit).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce(&Search) -> Result<T, EnvoyError> + Send + 'static,
    explicit: Option<PathBuf>,
) -> Result<T, Failure> {
    let outcome = tokio::task::spawn_blocking(move || work(&Search::from_environment(explicit))).await;
    outcome.map_err(|error| Failure::failed(error.to_string()))?.map_err(Failure::from)
}

/// Comes back only when it fails. The wish to be killed when the parent dies outlives the change
/// into another program; it is bound to this thread, so it is uttered right before.
fn exec(parent: i32, command: &[OsString]) -> Failure {
    let Some((program, arguments)) = command.split_first() else {
        return Failure::bad_input("there is no program to run");
    };
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return Failure::failed(format!("the kernel does not tell when a parent dies: {error}"));
    }
    // If the parent died before, nothing will be said about it any more.
    if getppid().map(|pid| pid.as_raw_nonzero().get()) != Some(parent) {
        return Failure::failed("the process that started this one is gone");
    }
    let error = std::process::Command::new(program).args(arguments).exec();
    Failure::failed(format!("{} cannot be run: {error}", program.display()))
}
