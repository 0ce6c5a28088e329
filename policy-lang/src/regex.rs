//! Regular expressions of policies: RE2 syntax, compiled to a DFA when the policy is compiled.
//!
//! A pattern matches **anywhere** in a string unless it is anchored. As in RE2, `\d \w \s \b` and
//! their negations speak of ASCII, `.` is one code point other than a line feed, and a byte that is
//! no UTF-8 is read as U+FFFD, so `.` and `[^a]` match it. Nothing backtracks at run time.
//!
//! [`Regex`] holds two matchers of one pattern: the tables that a module carries, and the simulation
//! of the nondeterministic automaton that the evaluator uses. Each is the test of the other.

mod compose;
mod dfa;
mod syntax;
mod utf8;

pub use dfa::Dfa;

use regex_automata::nfa::thompson::{self, pikevm::PikeVM};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;

/// The longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 1_000;
/// The most states that the DFA of a pattern may have.
pub const DFA_STATES_MAX: usize = 2_000;

/// A literal pattern of `matches`. Two are equal when their patterns are.
#[derive(Clone)]
pub struct Regex {
    pattern: String,
    dfa: Dfa,
    matcher: PikeVM,
}

/// Why a pattern is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegexError {
    /// What is wrong, for people; a small first letter and no final period.
    pub message: String,
    /// The bytes of the pattern that it is about, where that is known.
    pub at: Option<Range<usize>>,
}

impl Regex {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// When it is not RE2 syntax, or longer than [`PATTERN_BYTES_MAX`], or needs more states than
    /// [`DFA_STATES_MAX`].
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        if pattern.len() > PATTERN_BYTES_MAX {
            let message =
                format!("the pattern has {} bytes; {PATTERN_BYTES_MAX} is the limit", pattern.len());
            return Err(RegexError { message, at: None });
        }
        let hir = syntax::parse(pattern)?;
        let dfa = compose::dfa_of(&hir)?;
        let nfa = thompson::Compiler::new().build_from_hir(&hir).map_err(|error| RegexError::of(&error))?;
        let matcher = PikeVM::new_from_nfa(nfa).map_err(|error| RegexError::of(&error))?;
        Ok(Self { pattern: pattern.to_owned(), dfa, matcher })
    }

    /// The pattern as written.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// The tables for a module.
    #[must_use]
    pub fn dfa(&self) -> &Dfa {
        &self.dfa
    }

    /// Whether the pattern matches anywhere in the text. Does not use the DFA.
    #[must_use]
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.matcher.is_match(&mut self.matcher.create_cache(), utf8::replace_stray_bytes(text).as_str())
    }
}

impl RegexError {
    fn of(error: &dyn std::error::Error) -> Self {
        Self { message: error.to_string(), at: None }
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Regex").field(&self.pattern).finish()
    }
}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.pattern == other.pattern
    }
}

impl Eq for Regex {}

impl Hash for Regex {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.pattern.hash(state);
    }
}

#[cfg(test)]
mod tests;
