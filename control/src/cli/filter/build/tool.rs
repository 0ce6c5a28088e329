//! A program of a toolchain, whose words go to standard error: standard output is the report's.

use super::errors;
use crate::cli::exit::Failure;
use std::path::Path;
use std::process::{Command, Stdio};

/// A program, with what to do where there is none.
#[derive(Debug)]
pub(super) struct Tool {
    command: Command,
    words: String,
    remedy: &'static str,
}

impl Tool {
    /// A program that is run in a folder.
    pub(super) fn new(name: &str, folder: &Path, remedy: &'static str) -> Self {
        let mut command = Command::new(name);
        command.current_dir(folder).stdin(Stdio::null());
        Self { command, words: name.to_owned(), remedy }
    }

    /// With these arguments.
    pub(super) fn args(mut self, arguments: &[&str]) -> Self {
        for argument in arguments {
            self.words.push(' ');
            self.words.push_str(argument);
        }
        self.command.args(arguments);
        self
    }

    /// With an argument that is a path.
    pub(super) fn path(mut self, path: &Path) -> Self {
        self.words.push_str(&format!(" {}", path.display()));
        self.command.arg(path);
        self
    }

    /// In this environment, beside that of this process.
    pub(super) fn env(mut self, variables: &[(&str, &str)]) -> Self {
        self.command.envs(variables.iter().copied());
        self
    }

    /// What it prints to standard output. What it says besides is shown meanwhile.
    ///
    /// # Errors
    /// If it cannot be run, or does not end well.
    pub(super) fn read(mut self) -> Result<String, Failure> {
        let child = self.command.stdout(Stdio::piped()).spawn();
        let child = child.map_err(|error| errors::no_tool(&self.words, &error, self.remedy))?;
        let output = child.wait_with_output()?;
        if !output.status.success() {
            return Err(errors::tool_failed(&self.words, output.status));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs it; what it prints is shown.
    ///
    /// # Errors
    /// As [`Tool::read`].
    pub(super) fn run(mut self) -> Result<(), Failure> {
        self.command.stdout(std::io::stderr());
        let status = self.command.status();
        let status = status.map_err(|error| errors::no_tool(&self.words, &error, self.remedy))?;
        if status.success() { Ok(()) } else { Err(errors::tool_failed(&self.words, status)) }
    }
}
