//! What the authors of several policies did wrong together.

use super::scope::Specificity;
use crate::check::dump::change_text;
use crate::checked::{CheckedPolicy, HeaderStatement, Otherwise};
use crate::diagnostic::{Code, Diagnostic};

const OTHERWISE_CONFLICT: Code = Code("E401");
const HEADER_CONFLICT: Code = Code("E404");

pub(super) fn otherwise_conflict(
    scope: Specificity,
    first: (&CheckedPolicy, &Otherwise),
    second: (&CheckedPolicy, &Otherwise),
) -> Diagnostic {
    let message = format!(
        "policies `{}` and `{}` state different `otherwise` at {} scope",
        first.0.name,
        second.0.name,
        scope.as_str()
    );
    Diagnostic::error(OTHERWISE_CONFLICT, second.1.span, message)
        .labelled(format!("`{}` says this", second.0.name))
        .with(first.1.span, format!("`{}` says this", first.0.name))
        .help("state `otherwise` in one of them only, or attach one of them to a narrower target")
}

/// Two statements of one scope that make different things of a header of one request, such as this one.
pub(super) fn header_conflict(
    scope: Specificity,
    first: &HeaderStatement,
    second: &HeaderStatement,
    witness: &str,
) -> Diagnostic {
    let (header, message) = (&second.header, second.message.as_str());
    let of_what = if witness.is_empty() { String::new() } else { format!(" of one request: {witness}") };
    let message = format!(
        "`{}` and `{}` at {} scope make different things of the {message} header `{header}`{of_what}",
        first.id,
        second.id,
        scope.as_str()
    );
    Diagnostic::error(HEADER_CONFLICT, second.span, message)
        .labelled(format!("`{}`", change_text(second)))
        .with(first.span, format!("`{}`", change_text(first)))
        .help(
            "say by `for`, `when` and `unless` which of them is for which requests (`when C` in one, `unless C` in the \
             other), or attach one of them to a narrower target: the narrowest that matches is done",
        )
}
