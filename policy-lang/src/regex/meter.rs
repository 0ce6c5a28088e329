//! What compiling a pattern costs, counted before it is done.

use super::{Allowance, DFA_STATES_MAX, PATTERN_STEPS_MAX, RegexError};

/// Counts the steps of one pattern.
#[derive(Debug)]
pub(super) struct Meter {
    left: u64,
    /// Whether it is not the pattern alone that is too large, but all of them together.
    is_shared: bool,
}

impl Meter {
    /// For one pattern, which may use what it may have alone, and no more than what is left for all.
    pub(super) fn new(allowance: &Allowance) -> Self {
        Self { left: allowance.steps.min(PATTERN_STEPS_MAX), is_shared: allowance.steps < PATTERN_STEPS_MAX }
    }

    /// Counts steps that are about to be made.
    pub(super) fn steps(&mut self, count: u64) -> Result<(), RegexError> {
        match self.left.checked_sub(count) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(self.too_dear()),
        }
    }

    /// How many steps are left.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// The error of a pattern that takes too much work.
    fn too_dear(&mut self) -> RegexError {
        self.left = 0;
        let message = format!("the pattern takes more than {PATTERN_STEPS_MAX} steps to compile");
        RegexError { message, at: None, is_shared: self.is_shared }
    }

    /// The error of a pattern whose automaton is too large.
    pub(super) fn too_large(&self) -> RegexError {
        let message = format!("the pattern needs more than {DFA_STATES_MAX} states");
        RegexError { message, at: None, is_shared: false }
    }
}
