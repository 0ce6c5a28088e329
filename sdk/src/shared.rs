//! Values that all workers of a proxy share.

/// A shared value, and which version of it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// The bytes.
    pub value: Vec<u8>,
    pub(crate) version: u32,
}

/// Another worker changed the value since it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another worker changed the shared value")]
pub struct Conflict;
