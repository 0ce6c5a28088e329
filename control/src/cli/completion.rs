//! `chancery completion`: completions for a shell, on standard output.

use crate::cli::exit::{CommandResult, Exit};
use crate::cli::terminal;
use clap::{Args, Command, ValueEnum};
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

/// Prints the completions of this command line.
///
/// # Errors
/// If standard output cannot be written.
pub fn run(arguments: &Arguments, mut command_line: Command) -> CommandResult {
    let shell = match arguments.shell {
        SupportedShell::Bash => Shell::Bash,
        SupportedShell::Zsh => Shell::Zsh,
        SupportedShell::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command_line, "chancery", &mut script);
    terminal::print_bytes(&script)?;
    Ok(Exit::Well)
}
