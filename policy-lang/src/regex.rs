//! Regular expressions of policies: RE2 syntax, compiled to a DFA when the policy is compiled.
//!
//! A pattern matches **anywhere** in a string unless it is anchored. As in RE2, `\d \w \s \b` and
//! their negations speak of ASCII, `.` is one code point other than a line feed, and a byte that is
//! no UTF-8 is read as U+FFFD, so `.` and `[^a]` match it. Nothing backtracks at run time.
//!
//! ```text
//! pattern --syntax--> meaning --nfa--> nodes over sets of characters --alphabet--> classes of characters
//!         --determinise, minimise--> smallest DFA over classes --bytes--> tables over bytes
//! ```
//!
//! Each step is counted before it is made, so that a pattern is refused as soon as it is known to be too
//! large, and all patterns of a set together have an [`Allowance`].
//!
//! [`Regex`] holds two matchers of one pattern: the tables that a module carries, and another crate's
//! simulation of a nondeterministic automaton, which the evaluator uses. Each is the test of the other.

mod alphabet;
mod bytes;
mod determinise;
mod dfa;
mod meter;
mod minimise;
mod nfa;
mod syntax;
mod utf8;

pub(crate) use dfa::Dfa;

use meter::Meter;
use regex_automata::nfa::thompson::{self, pikevm::PikeVM};
use regex_syntax::hir::Hir;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::OnceLock;

/// The longest pattern, in bytes.
pub(crate) const PATTERN_BYTES_MAX: usize = 1_000;
/// The most states that the DFA of a pattern may have.
pub(crate) const DFA_STATES_MAX: usize = 2_000;
/// The most steps that compiling a pattern may take, so that it takes milliseconds.
pub(crate) const PATTERN_STEPS_MAX: u64 = 1_000_000;

/// A literal pattern of `matches`. Two are equal when their patterns are.
#[derive(Clone)]
pub struct Regex {
    pattern: String,
    dfa: Dfa,
    meaning: Hir,
    /// How many nodes and ranges the matcher has at most.
    size: usize,
    /// Made when it is first asked for: most patterns are only compiled.
    matcher: OnceLock<Option<PikeVM>>,
}

/// What patterns may still take, all of them together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Steps of compiling.
    pub steps: u64,
    /// States of automata.
    pub states: u64,
}

/// Why a pattern is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegexError {
    /// What is wrong, for people; a small first letter and no final period.
    pub message: String,
    /// The bytes of the pattern that it is about, where that is known.
    pub at: Option<Range<usize>>,
    /// Whether the pattern alone would be accepted, but not with all those before it.
    pub is_shared: bool,
}

impl Regex {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// When it is not RE2 syntax, or longer than [`PATTERN_BYTES_MAX`], or needs more states than
    /// [`DFA_STATES_MAX`], or more steps than [`PATTERN_STEPS_MAX`].
    pub fn new(pattern: &str) -> Result<Self, RegexError> {
        let unlimited = Allowance { steps: u64::MAX, states: u64::MAX };
        Self::within(pattern, &mut { unlimited })
    }

    /// Compiles a pattern and takes what it needs from an allowance, also when it is refused.
    ///
    /// # Errors
    /// As [`Regex::new`], and when the allowance does not suffice.
    pub fn within(pattern: &str, allowance: &mut Allowance) -> Result<Self, RegexError> {
        if pattern.len() > PATTERN_BYTES_MAX {
            let message =
                format!("the pattern has {} bytes; {PATTERN_BYTES_MAX} is the limit", pattern.len());
            return Err(RegexError::of(message));
        }
        let mut meter = Meter::new(allowance);
        let whole = meter.left();
        let compiled = compile(pattern, &mut meter);
        allowance.steps = allowance.steps.saturating_sub(whole - meter.left());
        let Compiled { meaning, size, dfa } = compiled?;
        match allowance.states.checked_sub(dfa.state_count() as u64) {
            Some(left) => allowance.states = left,
            None => {
                let message = "the patterns need too many states together".to_owned();
                return Err(RegexError { message, at: None, is_shared: true });
            }
        }
        Ok(Self { pattern: pattern.to_owned(), dfa, meaning, size, matcher: OnceLock::new() })
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

    /// How many bytes looked at one by one cost what matching a text of so many bytes costs.
    pub(crate) fn matching_steps(&self, bytes: usize) -> usize {
        // The matcher is made, and then each of its nodes may be visited for each byte.
        self.size.saturating_mul(16).saturating_add(self.size.saturating_mul(bytes))
    }

    /// Whether the pattern matches anywhere in the text. Does not use the DFA.
    #[must_use]
    pub fn is_match(&self, text: &[u8]) -> bool {
        let matcher = self.matcher.get_or_init(|| {
            let nfa = thompson::Compiler::new().build_from_hir(&self.meaning).ok()?;
            PikeVM::new_from_nfa(nfa).ok()
        });
        match matcher {
            Some(matcher) => {
                matcher.is_match(&mut matcher.create_cache(), utf8::replace_stray_bytes(text).as_str())
            }
            // The crate has limits of its own, far beyond those of a pattern.
            None => self.dfa.is_match(text),
        }
    }
}

/// What is made of a pattern.
struct Compiled {
    meaning: Hir,
    size: usize,
    dfa: Dfa,
}

fn compile(pattern: &str, meter: &mut Meter) -> Result<Compiled, RegexError> {
    let meaning = syntax::parse(pattern, meter)?;
    let before = meter.left();
    let nfa = nfa::Nfa::of(&meaning, meter)?;
    let size = usize::try_from(before - meter.left()).unwrap_or(usize::MAX);
    let alphabet = alphabet::Alphabet::of(&nfa.sets, meter)?;
    let explored = determinise::determinise(&nfa, &alphabet, meter)?;
    let smallest = minimise::minimise(&explored, meter)?;
    let dfa = bytes::expand(&smallest, &alphabet, meter)?;
    Ok(Compiled { meaning, size, dfa })
}

impl RegexError {
    fn of(message: impl Into<String>) -> Self {
        Self { message: message.into(), at: None, is_shared: false }
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
