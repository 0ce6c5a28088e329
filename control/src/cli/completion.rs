//! `chancery completion`: completions for a shell, on standard output.
//!
//! The shell asks this command what could stand at the cursor, by a variable of the environment: so names of the mesh are
//! offered too, and an older script knows what a newer command can do.

mod names;

use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::terminal;
use clap::{Args, Command, ValueEnum};
use clap_complete::CompleteEnv;
use clap_complete::env::{Bash, EnvCompleter, Fish, Shells, Zsh};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// The variable by which a shell asks; its value is the shell's name.
const ASKED_BY: &str = "CHANCERY_COMPLETE";
/// The command, as shells know it.
const NAME: &str = "chancery";

/// Arguments of `chancery completion`.
#[derive(Args, Debug)]
#[command(
    after_help = "Names of policies, sidecars, services and filters are asked of the control plane that --context or\n\
    CHANCERY_CONTEXT names, for a second at most; without an answer none are offered.\n\n\
    Examples:\n  source <(chancery completion bash)\n  \
    chancery completion zsh > ~/.zfunc/_chancery\n  \
    chancery completion fish > ~/.config/fish/completions/chancery.fish"
)]
pub struct Arguments {
    /// The shell
    shell: SupportedShell,
}

/// Shells that completions are made for.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum SupportedShell {
    Bash,
    Zsh,
    Fish,
}

/// Prints the script by which a shell asks.
///
/// # Errors
/// If standard output cannot be written.
pub fn run(arguments: &Arguments) -> CommandResult {
    let shell: &dyn EnvCompleter = match arguments.shell {
        SupportedShell::Bash => &Bash,
        SupportedShell::Zsh => &Zsh,
        SupportedShell::Fish => &Fish,
    };
    let mut script = Vec::new();
    shell
        .write_registration(ASKED_BY, NAME, NAME, NAME, &mut script)
        .map_err(|error| Failure::failed(format!("the script cannot be written: {error}")))?;
    terminal::print_bytes(&script)?;
    Ok(Exit::Well)
}

/// Answers a shell, if it is one that asks; whoever runs the command otherwise gets `None`.
pub fn answered(command_line: fn() -> Command, arguments: &[OsString]) -> Option<ExitCode> {
    std::env::var_os(ASKED_BY)?;
    let context = names::context(arguments);
    let with_names = || names::known(command_line(), context.as_deref().map(Path::to_owned));
    let shells: [&dyn EnvCompleter; 3] = [&Bash, &Zsh, &Fish];
    let here = std::env::current_dir().ok();
    let asked = CompleteEnv::with_factory(with_names)
        .var(ASKED_BY)
        .bin(NAME)
        .shells(Shells(&shells))
        .try_complete(arguments.iter().cloned(), here.as_deref());
    match asked {
        Ok(true) => Some(ExitCode::SUCCESS),
        Ok(false) => None,
        Err(error) => {
            // A shell shows it beside what is being written, if at all.
            let _unsaid = error.print();
            Some(Exit::Failed.into())
        }
    }
}
