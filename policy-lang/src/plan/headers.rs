//! What the traffic policies make of headers, as a module does it.

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
}

impl HeadersPlan {
    /// The values that are computed, or constant.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Arc<Expr>> {
        self.operations.iter().filter_map(|operation| operation.change.value())
    }

    /// Whether a header of this message is changed.
    #[must_use]
    pub fn changes(&self, message: Message) -> bool {
        self.places.iter().any(|place| place.message == message)
    }
}
