//! Figures of a run, as rows of a table: what the documentation quotes.

use std::fmt::Display;

/// Prints a row.
#[expect(clippy::print_stdout, reason = "who runs a test for its figures reads them there")]
pub fn print(what: &str, figure: impl Display) {
    println!("| {what} | {figure} |");
}
