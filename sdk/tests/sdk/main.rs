//! The SDK, seen through filters: what they are shown, what is held meanwhile, and what went on.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod bodies;
mod calls;
mod connections;
mod parts;
mod recordings;
