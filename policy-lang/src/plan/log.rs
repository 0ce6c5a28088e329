//! What a module does about logs.

use super::Kept;
use crate::checked::{Expr, Redact, SampleRate};
use crate::literals::{asks_answer, asks_kept};
use crate::source::Span;
use std::sync::Arc;

/// Which requests are logged and what is said of them.
#[derive(Clone, Debug, PartialEq)]
pub struct LogPlan {
    /// Which are; `None`: every one.
    pub samples: Option<SamplesPlan>,
    /// What a line says, in this order.
    pub fields: Vec<FieldPlan>,
    /// What it says behind that when the answer is over.
    pub late: Vec<FieldPlan>,
    /// What is kept for what is asked about the answer.
    pub kept: Kept,
    /// What is written in front of a line: the sinks that it goes to; nothing for the log of the sidecar alone.
    pub directions: String,
    /// What is said to cost much if logging does.
    pub span: Span,
}

/// Samples.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplesPlan {
    /// The place of the strand of the samples of requests that pass and ask nothing of the answer: it picks the
    /// highest rate by its index in `rates`.
    pub passed: usize,
    /// The same of requests that do not pass.
    pub refused: usize,
    /// Rates.
    pub rates: Vec<SampleRate>,
    /// The rate of requests of which no statement can ask anything.
    pub unjudged: SampleRate,
    /// Samples that ask about the answer.
    pub later: Vec<LaterPlan>,
}

/// A sample that asks about the answer: its strand, which picks 0, says whether it speaks of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct LaterPlan {
    /// The place of the strand.
    pub strand: usize,
    /// How many of the requests.
    pub rate: SampleRate,
    /// Of those that passed, of those that did not, or of both.
    pub passed: Option<bool>,
    /// What must hold of the answer.
    pub condition: Arc<Expr>,
}

/// A field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldPlan {
    /// Its key.
    pub name: Arc<str>,
    /// Its value.
    pub value: FieldValue,
    /// What stands in the place of the value; never [`Redact::Drop`].
    pub redact: Option<Redact>,
}

/// What a field shows.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValue {
    /// An expression; nothing where the request was refused before any rule.
    Computed(Arc<Expr>),
    /// The path, as rules see it or, where the request was refused before, as it was sent, without its query.
    Path,
    /// The id of what decided.
    Rule,
    /// How it was decided.
    Decision,
    /// A text of the request that is known in any case.
    Text(crate::checked::Attribute),
}

impl FieldPlan {
    /// Whether it asks about the answer.
    #[must_use]
    pub fn is_late(&self) -> bool {
        matches!(&self.value, FieldValue::Computed(value) if asks_answer(value))
    }

    /// Whether it asks about what was kept of the request, too.
    #[must_use]
    pub fn asks_kept(&self) -> bool {
        matches!(&self.value, FieldValue::Computed(value) if asks_kept(value))
    }
}

impl LogPlan {
    /// All expressions.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Arc<Expr>> {
        let later = self.samples.iter().flat_map(|samples| &samples.later).map(|later| &later.condition);
        let fields = self.fields.iter().chain(&self.late).filter_map(|field| match &field.value {
            FieldValue::Computed(expr) => Some(expr),
            FieldValue::Path | FieldValue::Text(_) | FieldValue::Rule | FieldValue::Decision => None,
        });
        later.chain(fields).chain(&self.kept.values)
    }

    /// Whether something is asked when the answer is over.
    #[must_use]
    pub fn waits(&self) -> bool {
        !self.late.is_empty() || self.samples.as_ref().is_some_and(|samples| !samples.later.is_empty())
    }

    /// Whether some rate takes neither all requests nor none.
    #[must_use]
    pub fn draws(&self) -> bool {
        let is_share = |rate: &SampleRate| ![SampleRate::ALL, SampleRate::NONE].contains(rate);
        self.samples.as_ref().is_some_and(|samples| {
            samples.rates.iter().chain([&samples.unjudged]).any(is_share)
                || samples.later.iter().any(|later| is_share(&later.rate))
        })
    }

    /// Whether a value is hashed.
    #[must_use]
    pub fn hashes(&self) -> bool {
        self.fields.iter().chain(&self.late).any(|field| field.redact == Some(Redact::Hash))
    }
}
