//! Operations on headers that `traffic` policies state.

use super::{Expr, Guard};
use crate::literals::asks_answer;
use crate::source::Span;
use std::sync::Arc;

/// Which of the two messages of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Message {
    /// What the application gets.
    Request,
    /// What the caller gets.
    Response,
}

/// `set|add|remove request|response header NAME …`.
#[derive(Clone, Debug, PartialEq)]
pub struct HeaderStatement {
    /// `policy/name`, or for a statement without a name `policy/set-hhhhhh`, as of rules.
    pub id: Arc<str>,
    /// The requests that it is for; one about responses is for the answers to them.
    pub guard: Guard,
    /// What must hold of the answer: a bool expression that asks about nothing of the request. Only of responses.
    pub late: Option<Arc<Expr>>,
    /// Of which message the header is.
    pub message: Message,
    /// The header, in lower case.
    pub header: Arc<str>,
    /// What becomes of it.
    pub change: HeaderChange,
    /// The whole statement.
    pub span: Span,
}

/// What becomes of a header. Its value is a bool, an int or a string.
#[derive(Clone, Debug, PartialEq)]
pub enum HeaderChange {
    /// It has this value and no other; it is gone if the value is absent.
    Set(Arc<Expr>),
    /// It has this value too; nothing happens if the value is absent.
    Add(Arc<Expr>),
    /// It is gone.
    Remove,
}

impl HeaderStatement {
    /// Whether it asks about the answer.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.late.is_some() || self.change.is_late()
    }
}

impl Message {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
        }
    }
}

impl HeaderChange {
    /// Whether the value asks about the answer.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.value().is_some_and(|value| asks_answer(value))
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Set(_) => "set",
            Self::Add(_) => "add",
            Self::Remove => "remove",
        }
    }

    /// The value, if it has one.
    #[must_use]
    pub fn value(&self) -> Option<&Arc<Expr>> {
        match self {
            Self::Set(value) | Self::Add(value) => Some(value),
            Self::Remove => None,
        }
    }

    /// The same of another value.
    #[must_use]
    pub fn with_value(&self, value: Arc<Expr>) -> Self {
        match self {
            Self::Set(_) => Self::Set(value),
            Self::Add(_) => Self::Add(value),
            Self::Remove => Self::Remove,
        }
    }
}
