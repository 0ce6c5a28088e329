//! The front of the compiler for those who use it: all files of a mesh, parsed and checked.

use crate::budget::{SOURCES_BYTES_MAX, sources_too_large};
use crate::check::{CheckOptions, Checked, check};
use crate::checked::{CheckedPolicy, CheckedTest};
use crate::diagnostic::{Diagnostic, Findings};
use crate::parse::{Parsed, parse};
use crate::source::{SourceSet, Span};
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

/// Parses and checks all files of a set together. Files that are too large together are not read.
#[must_use]
pub fn analyse(sources: &SourceSet, options: CheckOptions<'_>) -> Analysis {
    if let Some(diagnostic) = too_large(sources) {
        let nothing = sources.iter().map(|(id, _)| parse(id, "").tree).collect();
        return Analysis {
            trees: nothing,
            policies: Vec::new(),
            tests: Vec::new(),
            diagnostics: vec![diagnostic],
        };
    }
    let parsed: Vec<Parsed> = sources.iter().map(|(id, file)| parse(id, &file.text)).collect();
    let (trees, found): (Vec<SyntaxTree>, Vec<Vec<Diagnostic>>) =
        parsed.into_iter().map(|parsed| (parsed.tree, parsed.diagnostics)).unzip();
    let Checked { policies, tests, diagnostics } = check(sources, &trees, options);
    let mut of_parser = Findings::default();
    of_parser.extend(found.into_iter().flatten());
    let mut diagnostics: Vec<Diagnostic> = of_parser.into_vec().into_iter().chain(diagnostics).collect();
    diagnostics.sort_by_key(|found| (found.primary.span.file, found.primary.span.start));
    Analysis { trees, policies, tests, diagnostics }
}

/// The error of a set whose files are too large together, at the beginning of the one that is too much.
fn too_large(sources: &SourceSet) -> Option<Diagnostic> {
    let bytes = sources.iter().map(|(_, file)| file.text.len()).sum::<usize>();
    if bytes <= SOURCES_BYTES_MAX {
        return None;
    }
    let mut sum = 0;
    let (file, _) = sources.iter().find(|(_, file)| {
        sum += file.text.len();
        sum > SOURCES_BYTES_MAX
    })?;
    Some(sources_too_large(Span { file, start: 0, end: 0 }, bytes))
}
