//! What an editor asks of a text while it is written: what can stand here, what this word means, where that name is
//! given its meaning, and what a file has.
//!
//! All of it is read from the trees, which exist for any text, so it works while something is wrong. What can follow
//! is what the parser looks for ([`crate::parse::wishes`]); attributes and functions are those of the checker.

mod complete;
mod define;
mod hover;
mod outline;
mod symbol;
#[cfg(test)]
mod tests;
mod words;

pub use complete::{Completion, CompletionKind, completions};
pub use define::definition;
pub use hover::{Hover, hover};
pub use outline::{Entry, EntryKind, outline};
