//! Writ, Chancery's policy language: from source text to a proxy-wasm module.
//!
//! The crate is pure: it knows no file, socket, clock or randomness. Data flows one way through
//! stages that each have one verb; the same word names the module, the function, the `--emit`
//! value and the folder of test cases:
//!
//! ```text
//! text --lex--> tokens --parse--> SyntaxTree --check--> CheckedPolicy --link--> LinkedProgram
//!                                                                                |       |
//!                                        Decision <--eval (the definition)-------+       | lower
//!                                                                                        v
//!             Module <--emit-- Tables <--tabulate-- Classes <--classify-- Plan <---------+
//! ```
//!
//! Up to `link` a stage never fails as a whole: what the author did wrong comes back as [`Diagnostic`]s
//! beside whatever could still be made. From `lower` on nothing is left to be wrong but the compiler
//! itself, which a stage says with a [`bug::Bug`], and limits, which `emit` keeps.

pub mod analyse;
pub mod budget;
pub mod bug;
pub mod check;
pub mod checked;
pub mod classify;
pub mod decision;
pub mod diagnostic;
pub mod editor;
pub mod emit;
pub mod eval;
pub mod explain;
pub mod filters;
#[cfg(test)]
mod generated;
pub mod inhabitants;
pub mod lex;
pub mod link;
pub mod linked;
pub(crate) mod literals;
pub mod log;
pub mod lower;
pub mod module;
pub mod parse;
pub mod path;
pub mod plan;
pub mod print;
pub(crate) mod regex;
pub mod request;
pub mod response;
pub mod routes;
pub mod sinks;
pub mod source;
pub mod syntax;
pub mod tabulate;
pub mod testing;
pub mod together;
pub(crate) mod walk;

pub use analyse::{Analysis, analyse};
pub use diagnostic::{Code, Diagnostic, Label, Severity};
pub use source::{FileId, SourceFile, SourceSet, Span};
