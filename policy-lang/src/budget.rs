//! How much work the compiler does for one set of sources, counted before it is done.
//!
//! A file of a few kilobytes can say things that take hours to work out: patterns with millions of
//! states, lists in lists, names for expressions that double at each step. There is no clock here, so
//! each stage counts what it is about to do, in small steps, and stops where a limit is reached; the
//! author is told what was the costliest. One [`Budget`] goes through all stages of a set, so that a
//! thousand medium things cost no more than one large thing may.
//!
//! The limits are chosen so that 1 MiB of any source is checked or refused within two seconds and
//! 256 MiB. Policies that people write are far from them: `docs/language.md` has the table.

mod errors;

use crate::diagnostic::Diagnostic;
use crate::source::Span;

/// The most bytes that the files of one set have together.
pub const SOURCES_BYTES_MAX: usize = 8 << 20;

/// A kind of work. Each has an account of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// Steps of compiling patterns of `matches`.
    PatternSteps,
    /// States of the automata of patterns.
    PatternStates,
    /// Steps of computing constants.
    FoldingSteps,
    /// Parts of the conditions of rules, `let`s and the constants in them written out.
    ConditionParts,
    /// Parts of the rules that are linked, for each workload anew.
    LinkedParts,
    /// Steps of running tests: each request counts, as often as it is made, and the rules that are asked.
    TestSteps,
    /// Words that are compared with a misspelt one. Beyond the limit nothing is suggested; that is no error.
    Suggestions,
    /// Steps of looking whether a request can have a value. Beyond the limit nothing is said; that is no error.
    Values,
}

/// All kinds, in the order of their numbers.
const WORKS: [Work; 8] = [
    Work::PatternSteps,
    Work::PatternStates,
    Work::FoldingSteps,
    Work::ConditionParts,
    Work::LinkedParts,
    Work::TestSteps,
    Work::Suggestions,
    Work::Values,
];

impl Work {
    /// The most of it for one set of sources.
    #[must_use]
    pub const fn limit(self) -> u64 {
        match self {
            Self::PatternSteps => 30_000_000,
            Self::PatternStates => 100_000,
            Self::FoldingSteps => 1_000_000,
            Self::ConditionParts => 500_000,
            Self::LinkedParts => 500_000,
            Self::TestSteps => 30_000_000,
            Self::Suggestions => 200_000,
            Self::Values => 2_000_000,
        }
    }
}

/// What has been spent of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    spent: u64,
    /// The most that one thing has cost, and where it stands.
    costliest: Option<(u64, Span)>,
    /// Whether the author has been told that the limit is reached.
    is_told: bool,
}

/// What has been spent of each kind of work, for one set of sources.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    accounts: [Account; WORKS.len()],
}

/// A limit that was reached, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overrun {
    /// The kind of work.
    pub work: Work,
    /// The costliest thing.
    pub span: Span,
    /// How much of the limit that alone needs, in percent; 100 also if it needs more.
    pub percent: u64,
    /// Whether it has been told before.
    pub is_told: bool,
}

impl Budget {
    /// With nothing spent.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How much of a kind may still be spent.
    #[must_use]
    pub fn left(&self, work: Work) -> u64 {
        work.limit().saturating_sub(self.account(work).spent)
    }

    /// Spends an amount for the thing at `span`.
    ///
    /// # Errors
    /// When less is left; then nothing is left any more.
    pub fn spend(&mut self, work: Work, amount: u64, span: Span) -> Result<(), Overrun> {
        let left = self.left(work);
        self.settle(work, amount, span);
        if amount <= left { Ok(()) } else { Err(self.overrun(work)) }
    }

    /// Books what the thing at `span` has cost, which was bounded by [`Budget::left`].
    pub fn settle(&mut self, work: Work, amount: u64, span: Span) {
        let Some(account) = self.accounts.get_mut(work as usize) else { return };
        account.spent = account.spent.saturating_add(amount);
        if account.costliest.is_none_or(|(most, _)| most < amount) {
            account.costliest = Some((amount, span));
        }
    }

    /// What is to be said when a limit has been reached.
    pub fn overrun(&mut self, work: Work) -> Overrun {
        let Some(account) = self.accounts.get_mut(work as usize) else {
            return Overrun { work, span: Span::default(), percent: 0, is_told: true };
        };
        let is_told = std::mem::replace(&mut account.is_told, true);
        account.spent = u64::MAX;
        let (most, span) = account.costliest.unwrap_or_default();
        let percent = (most.saturating_mul(100) / work.limit()).clamp(1, 100);
        Overrun { work, span, percent, is_told }
    }

    fn account(&self, work: Work) -> Account {
        self.accounts.get(work as usize).copied().unwrap_or_default()
    }
}

impl Overrun {
    /// The error for the author.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        errors::overrun(self)
    }
}

/// The error of a set whose files are too large together; `span` is in the file that is too much.
pub(crate) fn sources_too_large(span: Span, bytes: usize) -> Diagnostic {
    errors::sources_too_large(span, bytes)
}

/// The errors of modules that would be too large, or take too long to make.
pub(crate) use errors::{ModuleShare, classes_overlap, module_too_large, too_many_depths};

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on shall say so")]
mod tests {
    use super::*;
    use crate::source::FileId;

    fn at(start: u32) -> Span {
        Span { file: FileId(0), start, end: start + 1 }
    }

    #[test]
    fn the_costliest_thing_is_named_and_only_once() {
        let mut budget = Budget::new();
        let limit = Work::FoldingSteps.limit();
        assert_eq!(budget.spend(Work::FoldingSteps, limit / 2, at(1)), Ok(()));
        assert_eq!(budget.spend(Work::FoldingSteps, limit / 4, at(2)), Ok(()));
        let overrun = budget.spend(Work::FoldingSteps, limit / 3, at(3)).unwrap_err();
        assert_eq!((overrun.span, overrun.percent, overrun.is_told), (at(1), 50, false));
        let again = budget.spend(Work::FoldingSteps, 1, at(4)).unwrap_err();
        assert!(again.is_told);
        assert_eq!(budget.left(Work::PatternSteps), Work::PatternSteps.limit(), "accounts are apart");
    }

    #[test]
    fn every_kind_has_its_own_account() {
        for (number, work) in WORKS.into_iter().enumerate() {
            assert_eq!(work as usize, number);
        }
    }
}
