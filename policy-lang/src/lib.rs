//! Writ, Chancery's policy language: from source text to a proxy-wasm module.
//!
//! The crate is pure: it knows no file, socket, clock or randomness. Data flows one way through
//! stages that each have one verb; the same word names the module, the function, the `--emit`
//! value and the folder of test cases:
//!
//! ```text
//! text --lex--> tokens --parse--> SyntaxTree --check--> CheckedPolicy --link--> LinkedProgram
//!                                                                                |       |
//!                                        Decision <--eval (the definition)-------+       | classify
//!                                                                                        v
//!                              Module <--emit-- Tables <--tabulate-- Classes <-----------+
//! ```
//!
//! A stage never fails as a whole: what the author did wrong comes back as [`Diagnostic`]s beside
//! whatever could still be made.

pub mod analyse;
pub mod check;
pub mod checked;
pub mod classify;
pub mod decision;
pub mod diagnostic;
pub mod emit;
pub mod eval;
pub mod explain;
pub mod lex;
pub mod link;
pub mod linked;
pub mod literals;
pub mod module;
pub mod parse;
pub mod path;
pub mod print;
pub mod regex;
pub mod request;
pub mod source;
pub mod syntax;
pub mod tabulate;
pub mod testing;

pub use analyse::{Analysis, analyse};
pub use diagnostic::{Code, Diagnostic, Label, Severity};
pub use source::{FileId, SourceFile, SourceSet, Span};
