//! `chancery filter`: Wasm filters of one's own, looked at and run before any sidecar does.

mod check;
mod module_file;
mod run;

use crate::cli::exit::CommandResult;
use clap::{Args, Subcommand};

/// Arguments of `chancery filter`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say everything that is wrong with a module, try it, and write what sidecars would run
    Check(check::Arguments),
    /// Run a module on a request, as a sidecar would, and show what it does
    Run(Box<run::Arguments>),
}

/// Looks at a module or runs it.
///
/// # Errors
/// As the subcommands.
pub fn run(arguments: &Arguments) -> CommandResult {
    match &arguments.action {
        Action::Check(arguments) => check::run(arguments),
        Action::Run(arguments) => run::run(arguments),
    }
}
