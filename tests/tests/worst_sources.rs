//! Whatever is written, the compiler ends: sources of every kind that make it work.
//!
//! The sources are small here; the benchmark `worst_sources` makes them as large as files may be, and
//! holds them to their budget.

use chancery_control::cli::policy_files::PolicyFiles;
use chancery_policy_lang::diagnostic::render;
use chancery_policy_lang::print::print;
use chancery_policy_lang::{Diagnostic, SourceSet};
use chancery_tests::worst_sources::FAMILIES;

/// How large the sources are; enough for most of them to reach a limit.
const BYTES: usize = 8 << 10;

#[test]
fn every_family_of_sources_is_checked_or_refused() {
    let mut refused = 0;
    for family in FAMILIES {
        let text = (family.source)(BYTES);
        assert!((BYTES / 4..=BYTES).contains(&text.len()), "{}: {} bytes", family.name, text.len());
        let mut sources = SourceSet::new();
        sources.add("worst.writ", text);
        let today = "2026-06-01".parse().unwrap();
        let mut files = PolicyFiles::check(sources, today);
        files.check_combinations("chancery.local").unwrap();
        let found = &files.analysis.diagnostics;
        refused += usize::from(found.iter().any(Diagnostic::is_error));
        assert!(found.len() <= 2_000, "{}: {} findings", family.name, found.len());
        let shown = render::human(found, &files.sources, false);
        assert!(shown.len() < 1 << 20, "{}: {} bytes of findings", family.name, shown.len());
        let printed: String = files.analysis.trees.iter().map(print).collect();
        assert!(printed.len() < 16 * BYTES, "{}: {} bytes printed", family.name, printed.len());
    }
    assert!(refused > 0 && refused < FAMILIES.len(), "{refused} of {} are refused", FAMILIES.len());
}
