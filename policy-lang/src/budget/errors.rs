//! What is said when the compiler would have too much to do, or would make too much.

use super::{Overrun, SOURCES_BYTES_MAX, Work};
use crate::diagnostic::{Code, Diagnostic};
use crate::emit::MODULE_BYTES_MAX;
use crate::source::Span;

const PATTERNS: Code = Code("E502");
const FOLDING: Code = Code("E503");
const CONDITIONS: Code = Code("E504");
const MODULE: Code = Code("E505");
const WORKLOADS: Code = Code("E506");
const CLASSES: Code = Code("E507");
const SOURCES: Code = Code("E508");
const TESTS: Code = Code("E509");

pub(super) fn overrun(overrun: &Overrun) -> Diagnostic {
    let limit = overrun.work.limit();
    let (code, message, help) = match overrun.work {
        Work::PatternSteps => (
            PATTERNS,
            format!("the patterns take more than {limit} steps to compile together"),
            "counts such as `.{100}` and classes such as `\\pL` cost most; equal patterns cost once: write fewer",
        ),
        Work::PatternStates => (
            PATTERNS,
            format!("the patterns need more than {limit} states together"),
            "counts such as `.{100}` and classes such as `\\pL` need most; equal patterns count once: write fewer",
        ),
        Work::FoldingSteps => (
            FOLDING,
            format!("the constants take more than {limit} steps to compute together"),
            "a list in a list is looked at once for each element of the other: write what comes out",
        ),
        Work::ConditionParts => (
            CONDITIONS,
            format!("the conditions have more than {limit} parts together, each `let` written out"),
            "a `let` costs what it stands for wherever it is used: ask it in one rule, such as a `deny`",
        ),
        Work::LinkedParts => (
            WORKLOADS,
            format!("the rules have more than {limit} parts, counted for each workload that differs"),
            "attach rules to the services that they speak of, not to the whole mesh",
        ),
        Work::TestSteps => (
            TESTS,
            format!("the tests take more than {limit} steps to run together"),
            "each request counts 300 as often as it is made, and what its policies ask: repeat fewer times, or \
             name fewer policies in a test",
        ),
        Work::Suggestions => (FOLDING, "too many words are misspelt".to_owned(), "correct the first ones"),
        Work::Values => (FOLDING, "too many values are compared".to_owned(), "compare fewer values"),
    };
    Diagnostic::error(code, overrun.span, message)
        .labelled(format!("the costliest: {} % of it", overrun.percent))
        .help(help)
}

/// What takes most room in a module.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ModuleShare {
    /// The automaton of a pattern.
    Pattern {
        /// How much of the module.
        percent: usize,
    },
    /// The statements of a file.
    File {
        /// How many it has.
        statements: usize,
        /// How many all files have.
        all: usize,
    },
}

pub(crate) fn module_too_large(bytes: usize, span: Span, share: ModuleShare) -> Diagnostic {
    let over = if bytes == MODULE_BYTES_MAX + 1 { "more than " } else { "" };
    let bytes = if over.is_empty() { bytes } else { MODULE_BYTES_MAX };
    let message = format!("a module has {over}{bytes} bytes; {MODULE_BYTES_MAX} is the limit");
    let (label, help) = match share {
        ModuleShare::Pattern { percent } => (
            format!("the costliest: {percent} % of it"),
            "patterns with counts such as `.{100}` take most room: write fewer, or smaller ones",
        ),
        ModuleShare::File { statements, all } => (
            format!("this file has {statements} of its {all} statements"),
            "attach rules to the services that they speak of: each gets a module of its own",
        ),
    };
    Diagnostic::error(MODULE, span, message).labelled(label).help(help)
}

pub(crate) fn classes_overlap(span: Span, members_max: usize) -> Diagnostic {
    let message = format!("statements overlap at more than {members_max} places");
    Diagnostic::error(CLASSES, span, message)
        .labelled("this one does most of it")
        .help("where many hold for one path, text, caller or address, and many differ behind it, join them into one")
}

pub(crate) fn too_many_depths(span: Span, depths_max: usize) -> Diagnostic {
    let message = format!("paths have `*` at more than {depths_max} different sets of depths");
    Diagnostic::error(CLASSES, span, message)
        .labelled("this is one too many")
        .help("paths of one service have `*` at few depths: say more by text, or end a path with `/**`")
}

pub(super) fn sources_too_large(span: Span, bytes: usize) -> Diagnostic {
    let message = format!("the files have {bytes} bytes together; {SOURCES_BYTES_MAX} is the limit");
    Diagnostic::error(SOURCES, span, message).help("check and apply them in several parts")
}
