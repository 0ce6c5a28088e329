//! Broken invariants of the compiler: reports that the stages return in the place of a wrong answer.
//!
//! What the author of a policy did wrong is a diagnostic. What the compiler itself did wrong must never
//! become a decision, so a stage whose invariant does not hold gives a [`Bug`] and no result.

use crate::diagnostic::Diagnostic;
use std::fmt;
use std::panic::Location;

/// A mistake in the compiler: an invariant that does not hold, and where that was noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bug {
    /// What should have been, as a sentence without a period.
    pub invariant: String,
    /// The file and line of the compiler.
    pub at: String,
}

/// Why a linked program has no module.
#[derive(Clone, Debug, PartialEq)]
pub enum CompileError {
    /// The policies ask for more than a limit allows.
    Refused(Vec<Diagnostic>),
    /// The compiler broke an invariant of its own: this is a mistake in Chancery.
    Bug(Bug),
}

impl fmt::Display for Bug {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({})", self.invariant, self.at)
    }
}

impl std::error::Error for Bug {}

impl fmt::Display for CompileError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(diagnostics) => {
                let messages: Vec<&str> = diagnostics.iter().map(|found| found.message.as_str()).collect();
                out.write_str(&messages.join("; "))
            }
            Self::Bug(bug) => write!(out, "the compiler broke an invariant of its own: {bug}"),
        }
    }
}

impl std::error::Error for CompileError {}

impl From<Bug> for CompileError {
    fn from(bug: Bug) -> Self {
        Self::Bug(bug)
    }
}

impl Bug {
    /// The report that an invariant does not hold here.
    #[track_caller]
    pub(crate) fn new(invariant: impl Into<String>) -> Self {
        Self { invariant: invariant.into(), at: Location::caller().to_string() }
    }
}

/// What holds as long as an invariant does.
pub(crate) trait OrBug<T> {
    /// The value.
    ///
    /// # Errors
    /// A report of the invariant if there is none.
    fn or_bug(self, invariant: &str) -> Result<T, Bug>;
}

impl<T> OrBug<T> for Option<T> {
    #[track_caller]
    fn or_bug(self, invariant: &str) -> Result<T, Bug> {
        match self {
            Some(value) => Ok(value),
            None => Err(Bug::new(invariant)),
        }
    }
}

/// A count or index in the 32 bits that tables and modules have for it.
#[track_caller]
pub(crate) fn number(value: usize) -> Result<u32, Bug> {
    match u32::try_from(value) {
        Ok(number) => Ok(number),
        Err(_) => Err(Bug::new("counts and indexes fit 32 bits")),
    }
}
