//! Operations on headers in a program, and which of several is done.

use crate::check::dump::change_text;
use crate::checked::{HeaderStatement, Message};
use crate::link::Specificity;
use crate::literals::expression_text;
use std::sync::Arc;

/// An operation on a header in a program.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkedHeader {
    /// The statement; `target.*` is folded in it as in rules.
    pub statement: Arc<HeaderStatement>,
    /// The narrowest scope of its policy that covers the workload.
    pub scope: Specificity,
    /// Whether its policy is in shadow mode.
    pub shadow: bool,
}

/// Which of the operations on one header is done: of those that match a request the one with the greatest rank.
/// Two of equal rank say the same; two of one scope that say different things never match one request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// The message and the header.
    pub place: (Message, Arc<str>),
    /// The narrower scope wins.
    pub scope: Specificity,
    /// What is done, in words.
    pub change: String,
}

impl LinkedHeader {
    /// Which header it changes.
    #[must_use]
    pub fn place(&self) -> (Message, Arc<str>) {
        (self.statement.message, self.statement.header.clone())
    }

    /// What must hold of the answer, in normal form.
    #[must_use]
    pub fn late_text(&self) -> Option<String> {
        self.statement.late.as_ref().map(|late| expression_text(late))
    }

    /// Its rank among all of a program.
    #[must_use]
    pub fn rank(&self) -> Rank {
        Rank { place: self.place(), scope: self.scope, change: change_text(&self.statement) }
    }
}
