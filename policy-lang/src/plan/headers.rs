//! What the traffic policies make of headers, as a module does it.

use super::Kept;
use crate::checked::{Expr, HeaderChange, Message};
use std::sync::Arc;

/// The operations on headers: the strand `strand` picks those that match by their indexes in `operations`.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadersPlan {
    /// The place of the strand.
    pub strand: usize,
    /// The headers that are changed, sorted.
    pub places: Vec<HeaderPlace>,
    /// The operations by rank: of those on one header that match, the one with the greatest index is done.
    pub operations: Vec<HeaderOperation>,
    /// What is kept for what they ask about the answer.
    pub kept: Kept,
}

/// A header of a message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeaderPlace {
    /// The message.
    pub message: Message,
    /// The header.
    pub header: Arc<str>,
}

/// What is done to a header.
#[derive(Clone, Debug, PartialEq)]
pub struct HeaderOperation {
    /// The index of the header.
    pub place: u32,
    /// What is done.
    pub change: HeaderChange,
    /// What must hold of the answer.
    pub late: Option<Arc<Expr>>,
}

impl HeadersPlan {
    /// The values, computed or constant, what must hold of answers, and what is kept for that.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Arc<Expr>> {
        let operations = self.operations.iter();
        let stated =
            operations.flat_map(|operation| operation.change.value().into_iter().chain(&operation.late));
        stated.chain(&self.kept.values)
    }

    /// Whether something is asked about the answer.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.operations.iter().any(|operation| operation.late.is_some() || operation.change.is_late())
    }

    /// The operations of which something must hold of the answer, with their indexes.
    pub(crate) fn late(&self) -> impl Iterator<Item = (u32, &HeaderOperation)> {
        (0..).zip(&self.operations).filter(|(_, operation)| operation.late.is_some())
    }

    /// Whether a header of this message is changed.
    #[must_use]
    pub fn changes(&self, message: Message) -> bool {
        self.places.iter().any(|place| place.message == message)
    }
}
