//! `chancery envoy`: which Envoy the sidecars run, and getting one.

use crate::envoy_binary::{EnvoyError, Search};
use crate::exit::{CommandResult, Exit, Failure};
use crate::terminal;
use clap::{Args, Subcommand};

/// Arguments of `chancery envoy`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Action {
    /// Download the official Envoy into the user's cache, unless it is there already
    Install,
    /// Print the path of the Envoy that sidecars on this machine will run
    Path,
}

/// Prints the path of the Envoy that was found or installed.
///
/// # Errors
/// When there is none, or it cannot be got.
pub async fn run(arguments: &Arguments) -> CommandResult {
    let action = arguments.action;
    let found = blocking(move || {
        let search = Search::from_environment(None);
        match action {
            Action::Install => search.install(&mut |line| terminal::print_error(line)).map(Some),
            Action::Path => search.find(),
        }
    })
    .await?;
    let Some(envoy) = found else {
        return Err(Failure::failed("there is no Envoy on this machine")
            .help("get one with `chancery envoy install`"));
    };
    terminal::print_line(&envoy.path.display().to_string())?;
    Ok(Exit::Well)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EnvoyError> + Send + 'static,
) -> Result<T, Failure> {
    let outcome = tokio::task::spawn_blocking(work).await;
    outcome.map_err(|error| Failure::failed(error.to_string()))?.map_err(Failure::from)
}

impl From<EnvoyError> for Failure {
    fn from(error: EnvoyError) -> Self {
        match &error {
            EnvoyError::Unusable { .. } => Self::bad_input(error.to_string()),
            _ => Self::failed(error.to_string()),
        }
    }
}
