//! The front of the compiler for those who use it: all files of a mesh, parsed and checked.

use crate::check::{CheckOptions, Checked, check};
use crate::checked::{CheckedPolicy, CheckedTest};
use crate::diagnostic::Diagnostic;
use crate::parse::{Parsed, parse};
use crate::source::SourceSet;
use crate::syntax::SyntaxTree;

/// What is known of the files after parsing and checking.
#[derive(Clone, Debug)]
pub struct Analysis {
    /// The trees of the files, in the order of their ids.
    pub trees: Vec<SyntaxTree>,
    /// The policies of all files; complete only if [`Analysis::is_ok`].
    pub policies: Vec<CheckedPolicy>,
    /// The `test` blocks of all files; complete only if [`Analysis::is_ok`].
    pub tests: Vec<CheckedTest>,
    /// Errors and warnings, by file and place.
    pub diagnostics: Vec<Diagnostic>,
}

impl Analysis {
    /// Whether nothing is wrong; there may be warnings.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        !self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Parses and checks all files of a set together.
#[must_use]
pub fn analyse(sources: &SourceSet, options: CheckOptions<'_>) -> Analysis {
    let parsed: Vec<Parsed> = sources.iter().map(|(id, file)| parse(id, &file.text)).collect();
    let (trees, found): (Vec<SyntaxTree>, Vec<Vec<Diagnostic>>) =
        parsed.into_iter().map(|parsed| (parsed.tree, parsed.diagnostics)).unzip();
    let Checked { policies, tests, diagnostics } = check(sources, &trees, options);
    let mut diagnostics: Vec<Diagnostic> = found.into_iter().flatten().chain(diagnostics).collect();
    diagnostics.sort_by_key(|found| (found.primary.span.file, found.primary.span.start));
    Analysis { trees, policies, tests, diagnostics }
}
