//! What asks for more than a module may do.

use crate::diagnostic::{Code, Diagnostic};
use crate::module::{BYTES_SEEN_MAX, STEPS_MAX, STEPS_OF_ANY_POLICY};
use crate::source::Span;

const TOO_COSTLY: Code = Code("E510");

/// What costs the most of a decision.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Costliest {
    /// Where it is written.
    pub(super) span: Span,
    /// How many steps it takes.
    pub(super) share: u64,
    /// What it is.
    pub(super) what: Costly,
}

/// What can cost much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Costly {
    /// Something that conditions ask.
    #[default]
    Asked,
    /// All limits that count a request together.
    Limits,
    /// All that is logged of a request.
    Logs,
}

/// The decisions of a program can take too many steps, most of them for what stands at `costliest`.
pub(super) fn too_costly(costliest: Costliest, whole: u64) -> Diagnostic {
    let Costliest { span, share, what } = costliest;
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
    if what == Costly::Logs {
        let label = format!("all that a line shows costs the most: up to {} million", millions(share));
        return Diagnostic::error(TOO_COSTLY, span, message)
            .labelled(label)
            .help("list fewer fields, or statements that ask less of a request");
    }
    if what == Costly::Limits {
        let label =
            format!("all limits that can count one request cost the most: up to {} million", millions(share));
        return Diagnostic::error(TOO_COSTLY, span, message).labelled(label).help(
            "say by `for` which requests each limit counts, so that fewer of them count one request, or count by \
             shorter values",
        );
    }
    Diagnostic::error(TOO_COSTLY, span, message).labelled(label).help(
        "compare with `==`, `startsWith` or `in` where that says the same, ask one text fewer different \
         things, declare shorter lists, or put fewer quantifiers inside of each other; \
         `chancery check --cost` shows what policies cost",
    )
}
