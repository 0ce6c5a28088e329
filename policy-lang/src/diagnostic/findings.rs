//! Diagnostics as they are found: of very many, the first are kept.

use super::{Code, Diagnostic};
use crate::source::Span;

const MANY: Code = Code("E501");

/// How many errors, and how many warnings, are kept: who has more will not read them all.
pub const FINDINGS_MAX: usize = 500;

/// What has been found so far.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    kept: Vec<Diagnostic>,
    errors: usize,
    warnings: usize,
    /// Where the first error is that is not kept.
    more: Option<Span>,
}

impl Findings {
    /// Adds one, unless there are very many already.
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        let is_error = diagnostic.is_error();
        let count = if is_error { &mut self.errors } else { &mut self.warnings };
        *count += 1;
        if *count <= FINDINGS_MAX {
            self.kept.push(diagnostic);
        } else if is_error {
            self.more.get_or_insert(diagnostic.primary.span);
        }
    }

    /// Adds some.
    pub(crate) fn extend(&mut self, diagnostics: impl IntoIterator<Item = Diagnostic>) {
        diagnostics.into_iter().for_each(|diagnostic| self.push(diagnostic));
    }

    /// Whether no further error is kept, so that looking for more is in vain.
    pub(crate) fn is_full(&self) -> bool {
        self.errors > FINDINGS_MAX
    }

    /// Those that are kept.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.kept.iter()
    }

    /// Those that are kept in the order of files and places, and that there are more.
    pub(crate) fn into_vec(self) -> Vec<Diagnostic> {
        let mut all = self.kept;
        // A stable sort: what was found about one place stays in the order in which it was found.
        all.sort_by_key(|found| (found.primary.span.file, found.primary.span.start));
        all.extend(self.more.map(many));
        all
    }
}

fn many(span: Span) -> Diagnostic {
    Diagnostic::error(MANY, span, format!("there are more than {FINDINGS_MAX} mistakes"))
        .labelled("from here on they are not told")
        .help("correct the first ones and check again")
}
