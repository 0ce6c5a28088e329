//! What the authors of several policies did wrong together.

use super::scope::Specificity;
use crate::checked::{CheckedPolicy, Otherwise};
use crate::diagnostic::{Code, Diagnostic};

const OTHERWISE_CONFLICT: Code = Code("E401");

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
