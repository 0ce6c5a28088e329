//! What is kept of a request for questions about its answer.

use crate::checked::Expr;
use std::sync::Arc;

/// Values of the request that questions about its answer ask for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// The number of the first.
    pub first: u32,
    /// What is computed when the request is decided; no list is among them.
    pub values: Vec<Arc<Expr>>,
}

impl Kept {
    /// The values with their numbers.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (u32, &Arc<Expr>)> {
        (self.first..).zip(&self.values)
    }

    /// The number that comes behind those of its values.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.first.saturating_add(u32::try_from(self.values.len()).unwrap_or(u32::MAX))
    }
}
