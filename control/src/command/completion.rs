//! `chancery completion`: completions for a shell, on standard output.

use crate::cli::Cli;
use crate::exit::{CommandResult, Exit};
use crate::terminal;
use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::Shell;

/// Arguments of `chancery completion`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  source <(chancery completion bash)\n  \
    chancery completion zsh > ~/.zfunc/_chancery\n  \
    chancery completion fish > ~/.config/fish/completions/chancery.fish")]
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

/// Prints the completions.
///
/// # Errors
/// If standard output cannot be written.
pub fn run(arguments: &Arguments) -> CommandResult {
    let shell = match arguments.shell {
        SupportedShell::Bash => Shell::Bash,
        SupportedShell::Zsh => Shell::Zsh,
        SupportedShell::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "chancery", &mut script);
    terminal::print_bytes(&script)?;
    Ok(Exit::Well)
}
