//! How a command ends: its exit code, and what is said when it did not end well.

use crate::mesh::words::visible_lines;
use std::fmt;
use std::process::ExitCode;

/// The exit codes of every subcommand, documented in `docs/operating.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked.
    Well = 0,
    /// It failed for a reason outside the input (network, disk, time), or a test failed.
    Failed = 1,
    /// The policy, the file or the arguments are wrong.
    BadInput = 2,
    /// A proxy or the control plane refused it.
    Refused = 3,
    /// Sidecars are away, or have not acknowledged it.
    Unacknowledged = 4,
}

/// A command that did not end well: what to say on standard error, and the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What happened and where; empty if everything is said already (diagnostics were printed).
    pub message: String,
    /// The next step for the person at the terminal.
    pub help: Option<String>,
    /// What was found, as it is shown: stands before the message, with an empty line behind each.
    pub findings: Vec<String>,
}

/// What every subcommand gives back.
pub type CommandResult = Result<Exit, Failure>;

impl Exit {
    /// The number that the shell sees.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl Failure {
    /// Something outside the input failed.
    #[must_use]
    pub fn failed(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, message: message.into(), help: None, findings: Vec::new() }
    }

    /// The input is wrong.
    #[must_use]
    pub fn bad_input(message: impl Into<String>) -> Self {
        Self { exit: Exit::BadInput, message: message.into(), help: None, findings: Vec::new() }
    }

    /// A proxy or the control plane said no.
    #[must_use]
    pub fn refused(message: impl Into<String>) -> Self {
        Self { exit: Exit::Refused, message: message.into(), help: None, findings: Vec::new() }
    }

    /// It is not known to be in force everywhere.
    #[must_use]
    pub fn unacknowledged(message: impl Into<String>) -> Self {
        Self { exit: Exit::Unacknowledged, message: message.into(), help: None, findings: Vec::new() }
    }

    /// Ends with this code and says nothing more: the diagnostics are printed already.
    #[must_use]
    pub fn silent(exit: Exit) -> Self {
        Self { exit, message: String::new(), help: None, findings: Vec::new() }
    }

    /// Names the next step.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        // They quote files, arguments and peers.
        write!(f, "error: {}", visible_lines(&self.message))?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {}", visible_lines(help)),
            None => Ok(()),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::failed(format!("{error:#}"))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_what_happened_and_the_next_step() {
        let failure =
            Failure::refused("proxy `a/b/c` is not known").help("list them with `chancery proxies`");
        assert_eq!(
            failure.to_string(),
            "error: proxy `a/b/c` is not known\n  help: list them with `chancery proxies`"
        );
        assert_eq!(failure.exit.code(), 3);
        let foreign = Failure::failed("it said \x1b[31mno");
        assert_eq!(foreign.to_string(), "error: it said \\u{1b}[31mno");
    }
}
