//! What is wrong with expressions that ask about a request and about its answer.

use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;

const TWO_PHASES: Code = Code("E253");

/// What to write in the place of a condition of a sample.
pub(in crate::check) const SAMPLES: &str = "join the two by `&&`, or write two conditions; for `a || b` write two \
     statements, of which the higher rate counts";
/// The same of an operation on a header.
pub(in crate::check) const OPERATIONS: &str =
    "join the two by `&&`, or write two conditions; for `a || b` write two statements";
/// The same of a header's value.
pub(in crate::check) const VALUES: &str = "write two statements, each with its value, and say by `when` and `unless` which of them is for which answers";
/// The same of a field.
pub(in crate::check) const FIELDS: &str = "list two fields, one of the request and one of the answer";

pub(in crate::check) fn two_phases(span: Span, instead: &str) -> Diagnostic {
    Diagnostic::error(TWO_PHASES, span, "this asks about the request and about its answer at once")
        .help(instead)
}
