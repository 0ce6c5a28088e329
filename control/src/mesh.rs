//! The mesh as its members state it: domain types, the store that keeps them, and who is who.
//!
//! The innermost wing: it knows none of the others.

pub mod identity;
pub mod model;
pub mod store;
pub mod words;
