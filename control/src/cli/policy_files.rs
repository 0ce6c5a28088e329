//! The compiler's stages over the files of a command line: what every policy tool begins with.

use crate::cli::exit::{Exit, Failure};
use crate::cli::report::{self, Counts, Format};
use crate::cli::terminal;
use crate::policies::sources;
use crate::policies::workloads::representatives;
use chancery_policy_lang::analyse::{Analysis, analyse};
use chancery_policy_lang::budget::Budget;
use chancery_policy_lang::bug::CompileError;
use chancery_policy_lang::check::CheckOptions;
use chancery_policy_lang::checked::Direction;
use chancery_policy_lang::emit::{ModuleOptions, compile_with};
use chancery_policy_lang::link::{dump_filters, link, link_filters};
use chancery_policy_lang::linked::{LinkedProgram, Workload};
use chancery_policy_lang::module::Module;
use chancery_policy_lang::together::check_together;
use chancery_policy_lang::{Diagnostic, SourceSet, testing};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::path::PathBuf;

/// A set of files, parsed and checked.
#[derive(Debug)]
pub struct PolicyFiles {
    /// The files.
    pub sources: SourceSet,
    /// What they say; to be used only if there is no error.
    pub analysis: Analysis,
}

impl PolicyFiles {
    /// Reads, parses and checks the files that arguments of the command line mean.
    ///
    /// # Errors
    /// As [`sources::read`].
    pub fn read(arguments: &[PathBuf]) -> Result<Self, Failure> {
        Ok(Self::of_today(sources::read(arguments)?))
    }

    /// Parses and checks files as of this day.
    #[must_use]
    pub fn of_today(sources: SourceSet) -> Self {
        Self::check(sources, Timestamp::now().to_zoned(TimeZone::UTC).date())
    }

    /// Parses and checks files; `today` is the day for shadow policies whose time may be over.
    #[must_use]
    pub fn check(sources: SourceSet, today: Date) -> Self {
        let today = today.to_string();
        let analysis = analyse(&sources, CheckOptions { today: Some(&today), ..CheckOptions::default() });
        Self { sources, analysis }
    }

    /// Adds what is wrong where policies meet, unless they are wrong already: links and compiles them
    /// for a workload of each scope, as the control plane does before it takes them; and warnings of tests
    /// that leave out a policy which turns an answer round.
    ///
    /// # Errors
    /// Failed if the compiler itself is broken.
    pub fn check_combinations(&mut self, trust_domain: &str) -> Result<(), Failure> {
        if !self.analysis.is_ok() {
            return Ok(());
        }
        let workloads = representatives(&self.analysis.policies, trust_domain);
        let found = check_together(&self.analysis.policies, &workloads, &mut Budget::new())?;
        self.analysis.diagnostics.extend(found);
        let left_out = testing::left_out(&self.analysis.tests, &self.analysis.policies);
        self.analysis.diagnostics.extend(left_out);
        Ok(())
    }

    /// Prints errors and warnings for people, on standard error.
    ///
    /// # Errors
    /// Silent bad input if there is an error.
    pub fn say_diagnostics(&self) -> Result<(), Failure> {
        say(&self.sources, &self.analysis.diagnostics)
    }

    /// The program of a workload; `None` if no policy concerns it.
    ///
    /// # Errors
    /// Silent bad input if policies that meet there conflict; the conflicts are said.
    pub fn link(&self, workload: &Workload) -> Result<Option<LinkedProgram>, Failure> {
        link(&self.analysis.policies, workload, Direction::Inbound)
            .or_else(|conflicts| say(&self.sources, &conflicts).map(|()| None))
    }

    /// The filters in the way of a workload's requests, those that come and those that leave, as text.
    ///
    /// # Errors
    /// Silent bad input if policies contradict each other, which is said.
    pub fn filters(&self, workload: &Workload) -> Result<String, Failure> {
        let mut text = String::new();
        for direction in [Direction::Inbound, Direction::Outbound] {
            match link_filters(&self.analysis.policies, workload, direction) {
                Ok(filters) => text.push_str(&dump_filters(&filters, direction)),
                Err(conflicts) => say(&self.sources, &conflicts)?,
            }
        }
        Ok(text)
    }

    /// The module of a program.
    ///
    /// # Errors
    /// Silent bad input if it asks for more than a limit allows, which is said; failed if the compiler
    /// itself is broken.
    pub fn compile(&self, program: &LinkedProgram, options: ModuleOptions) -> Result<Module, Failure> {
        match compile_with(program, options) {
            Ok(module) => Ok(module),
            Err(CompileError::Refused(found)) => {
                say(&self.sources, &found)?;
                Err(Failure::silent(Exit::BadInput))
            }
            Err(CompileError::Bug(bug)) => Err(bug.into()),
        }
    }

    /// How many errors and warnings were found.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts::of(&self.analysis.diagnostics)
    }

    /// `3 policies and 2 tests in 4 files`.
    #[must_use]
    pub fn summary(&self) -> String {
        format!(
            "{} and {} in {}",
            report::count(self.analysis.policies.len(), "policy", "policies"),
            report::count(self.analysis.tests.len(), "test", "tests"),
            report::count(self.sources.iter().count(), "file", "files")
        )
    }
}

/// Prints diagnostics for people, on standard error.
///
/// # Errors
/// Silent bad input if one of them is an error.
pub fn say(sources: &SourceSet, diagnostics: &[Diagnostic]) -> Result<(), Failure> {
    if !diagnostics.is_empty() {
        let text = report::render(sources, diagnostics, Format::Human, terminal::stderr_has_colours());
        terminal::print_error(text.trim_end());
    }
    if Counts::of(diagnostics).errors == 0 { Ok(()) } else { Err(Failure::silent(Exit::BadInput)) }
}
