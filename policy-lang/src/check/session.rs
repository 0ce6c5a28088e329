//! What is shared by all files of a set while they are checked: the budget, and the patterns that are
//! compiled already.

use crate::budget::{Budget, Overrun, Work};
use crate::checked::{Expr, Value};
use crate::diagnostic::Findings;
use crate::diagnostic::near::nearest;
use crate::eval;
use crate::regex::{Allowance, Regex, RegexError};
use crate::source::Span;
use std::collections::HashMap;
use std::sync::Arc;

/// The budget of a set of files and what was made with it.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// What has been spent.
    pub(super) budget: Budget,
    patterns: HashMap<String, Result<Arc<Regex>, RegexError>>,
}

/// Why a pattern is not compiled.
pub(super) enum PatternError {
    /// It is wrong or too large.
    Pattern(RegexError),
    /// All patterns together are too large.
    Budget(Overrun),
}

impl Session {
    /// A pattern, compiled once however often it is written.
    pub(super) fn pattern(&mut self, written: &str, span: Span) -> Result<Arc<Regex>, PatternError> {
        if let Some(known) = self.patterns.get(written) {
            return known.clone().map_err(PatternError::Pattern);
        }
        let budget = &mut self.budget;
        let whole =
            Allowance { steps: budget.left(Work::PatternSteps), states: budget.left(Work::PatternStates) };
        let mut left = whole;
        let made = Regex::within(written, &mut left).map(Arc::new);
        budget.settle(Work::PatternSteps, whole.steps - left.steps, span);
        let states = made.as_ref().map_or(0, |regex| regex.dfa().state_count());
        budget.settle(Work::PatternStates, states as u64, span);
        if made.as_ref().is_err_and(|error| error.is_shared) {
            let steps_are_out = left.steps == 0;
            let work = if steps_are_out { Work::PatternSteps } else { Work::PatternStates };
            return Err(PatternError::Budget(budget.overrun(work)));
        }
        self.patterns.insert(written.to_owned(), made.clone());
        made.map_err(PatternError::Pattern)
    }

    /// The nearest of so many words, unless too many have been compared.
    pub(super) fn nearest<'c>(
        &mut self,
        word: &str,
        count: usize,
        candidates: impl Iterator<Item = &'c str>,
    ) -> Option<&'c str> {
        if self.may_compare(count) { nearest(word, candidates) } else { None }
    }

    /// Whether a word may be compared with so many others, which is counted; for what helps, but is not needed.
    pub(super) fn may_compare(&mut self, count: usize) -> bool {
        let count = count as u64;
        let may = self.budget.left(Work::Suggestions) >= count;
        if may {
            self.budget.settle(Work::Suggestions, count, Span::default());
        }
        may
    }

    /// Spends an amount; says so when too much is spent.
    pub(super) fn spend(
        &mut self,
        work: Work,
        amount: u64,
        span: Span,
        findings: &mut Findings,
    ) -> Option<()> {
        self.budget.spend(work, amount, span).map_err(|overrun| tell(&overrun, findings)).ok()
    }

    /// The value of an expression that asks for nothing of a request, and `None` in it if it has none; `None`
    /// if that takes too much work, which is said.
    pub(super) fn constant(&mut self, expr: &Expr, findings: &mut Findings) -> Option<Option<Value>> {
        let folded = eval::constant(expr, self.budget.left(Work::FoldingSteps));
        self.budget.settle(Work::FoldingSteps, folded.steps, expr.span);
        match folded.value {
            Ok(value) => Some(value),
            Err(eval::StepsAreOut) => {
                tell(&self.budget.overrun(Work::FoldingSteps), findings);
                None
            }
        }
    }
}

/// Says once that a limit is reached.
pub(super) fn tell(overrun: &Overrun, findings: &mut Findings) {
    if !overrun.is_told {
        findings.push(overrun.diagnostic());
    }
}
