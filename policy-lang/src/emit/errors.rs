//! What asks for more than a module may do.

use crate::diagnostic::{Code, Diagnostic};
use crate::module::{BYTES_SEEN_MAX, STEPS_MAX, STEPS_OF_ANY_POLICY};
use crate::source::Span;

const TOO_COSTLY: Code = Code("E510");

/// The decisions of a program can take too many steps, most of them for what stands at `costliest`.
pub(super) fn too_costly(costliest: Span, share: u64, whole: u64) -> Diagnostic {
    let millions = |steps: u64| steps.div_ceil(1_000_000);
    let message = format!(
        "a decision can take {} million steps, {} million of which any policy takes; {} million is the most",
        millions(whole),
        millions(STEPS_OF_ANY_POLICY),
        millions(STEPS_MAX)
    );
    let label = format!(
        "this costs the most: up to {} million for a request of {BYTES_SEEN_MAX} bytes",
        millions(share)
    );
    Diagnostic::error(TOO_COSTLY, costliest, message).labelled(label).help(
        "compare with `==`, `startsWith` or `in` where that says the same, ask one text fewer different \
         things, declare shorter lists, or put fewer quantifiers inside of each other; \
         `chancery check --cost` shows what policies cost",
    )
}
