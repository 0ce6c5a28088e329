//! What `log` policies say.

use super::{Attribute, Expr, Guard};
use crate::source::Span;
use std::sync::Arc;

/// The statements of a `log` policy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogBody {
    /// All `sample` statements.
    pub samples: Vec<Sample>,
    /// What `fields` statements list.
    pub fields: Vec<Field>,
    /// What `redact` statements name.
    pub redactions: Vec<Redaction>,
    /// The sinks that `send` statements name.
    pub sends: Vec<Sending>,
}

/// `send to NAME`: where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    /// The name of the sink.
    pub sink: Arc<str>,
    /// Its place.
    pub span: Span,
}

/// `sample RATE …`: which requests are logged.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// How many of the requests that it speaks of.
    pub rate: SampleRate,
    /// Of which of them; `None`: of both.
    pub passed: Option<bool>,
    /// The requests that it speaks of, as far as that is known when they are decided.
    pub guard: Guard,
    /// What must hold when the answer is over: a bool expression that asks about nothing of the request.
    pub later: Option<Arc<Expr>>,
    /// The whole statement.
    pub span: Span,
}

/// A share of requests, in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampleRate(pub u32);

/// An expression of `fields` and the key under which its value stands in a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// The key.
    pub name: Arc<str>,
    /// A bool, int, string or ip.
    pub value: Arc<Expr>,
    /// The expression, with its name.
    pub span: Span,
}

/// What must not be seen in lines, and what is seen instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redaction {
    /// What is kept from lines, wherever it is read.
    pub source: Attribute,
    /// What stands in its place.
    pub how: Redact,
    /// The expression.
    pub span: Span,
}

/// What stands in the place of a value. The order is from what tells the most to what tells the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Redact {
    /// A keyed hash: equal values are seen to be equal, and nobody without the key can try values.
    Hash,
    /// `***`: that there is a value is seen.
    Mask,
    /// Nothing: there is no such field.
    Drop,
}

impl SampleRate {
    /// Every request.
    pub const ALL: Self = Self(1_000_000);
    /// No request.
    pub const NONE: Self = Self(0);
}

impl std::fmt::Display for SampleRate {
    /// As it is written: `0.1%`.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, rest) = (self.0 / 10_000, self.0 % 10_000);
        match rest {
            0 => write!(out, "{whole}%"),
            _ => write!(out, "{whole}.{}%", format!("{rest:04}").trim_end_matches('0')),
        }
    }
}

impl Redact {
    /// The word of the language.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Mask => "mask",
            Self::Drop => "drop",
        }
    }
}

impl Sample {
    /// Whether it speaks of requests that passed, or of those that did not.
    #[must_use]
    pub fn is_of(&self, passed: bool) -> bool {
        self.passed.is_none_or(|of| of == passed)
    }

    /// Whether it asks about nothing but whether the request passed.
    #[must_use]
    pub fn asks_nothing(&self) -> bool {
        self.later.is_none() && self.guard == Guard::default()
    }
}
