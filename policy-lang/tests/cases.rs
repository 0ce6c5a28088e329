//! Runs the language cases: `cases/<stage>/{ok,err}/<case>.writ`, each with its golden file `.out`.
//!
//! The first line of a case is a comment that says what it shows. An `ok` case must have no error, and
//! its golden file holds the stage's text form, behind the warnings if there are any; an `err` case must
//! have one, and its golden file holds the diagnostics as people see them. `UPDATE_CASES=1` rewrites the
//! golden files, to be reviewed as prose.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use chancery_policy_lang::diagnostic::render;
use chancery_policy_lang::{Diagnostic, FileId, SourceSet, lex, parse, print};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What a stage made of a case: its text form and what it said.
type Made = (String, Vec<Diagnostic>);
/// Runs a stage on a case.
type Run = fn(FileId, &str) -> Made;

/// The stages, in order, and what is run for each. One line for a new stage.
const STAGES: &[(&str, Run)] = &[("lex", run_lex), ("parse", run_parse), ("print", run_print)];

fn run_lex(file: FileId, text: &str) -> Made {
    let lexed = lex::lex(file, text);
    (lex::dump(text, &lexed.tokens), lexed.diagnostics)
}

fn run_parse(file: FileId, text: &str) -> Made {
    let parsed = parse::parse(file, text);
    assert_eq!(parsed.tree.root().text(), text, "the tree's text is the input");
    (parsed.tree.dump(), parsed.diagnostics)
}

fn run_print(file: FileId, text: &str) -> Made {
    let parsed = parse::parse(file, text);
    let printed = print::print(&parsed.tree);
    let again = print::print(&parse::parse(file, &printed).tree);
    assert_eq!(printed, again, "what is printed stays as it is when printed again");
    (printed, parsed.diagnostics)
}

#[test]
fn every_case_gives_what_its_golden_file_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut failures = Vec::new();
    let mut count = 0;
    for (stage, run) in STAGES {
        for outcome in ["ok", "err"] {
            for path in cases(&root.join(stage).join(outcome)) {
                count += 1;
                if let Err(failure) = check(&path, outcome, *run) {
                    failures.push(format!("{}:\n{failure}", path.display()));
                }
            }
        }
    }
    assert!(count > 0, "there are cases");
    assert!(failures.is_empty(), "{} of {count} cases fail:\n\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_folder_of_cases_is_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    for entry in std::fs::read_dir(root).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(STAGES.iter().any(|(stage, _)| *stage == name), "no stage runs the folder `{name}`");
    }
}

fn cases(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "writ"))
        .collect();
    paths.sort();
    paths
}

fn check(path: &Path, outcome: &str, run: Run) -> Result<(), String> {
    let text = std::fs::read_to_string(path).unwrap();
    if !text.starts_with("# ") {
        return Err("the first line is no comment that says what the case shows".to_owned());
    }
    let mut sources = SourceSet::new();
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let file = sources.add(name, text.as_str());
    let (output, diagnostics) = run(file, &text);
    let has_error = diagnostics.iter().any(Diagnostic::is_error);
    let said = render::human(&diagnostics, &sources, false);
    let actual = match (outcome, has_error) {
        ("ok", false) => said + &output,
        ("ok", true) => return Err(format!("it must be right, but:\n{said}")),
        (_, true) => said,
        (_, false) => return Err("it must be wrong, but nothing was said".to_owned()),
    };
    compare(&path.with_extension("out"), &actual)
}

fn compare(golden: &Path, actual: &str) -> Result<(), String> {
    if std::env::var_os("UPDATE_CASES").is_some() {
        std::fs::write(golden, actual).unwrap();
        return Ok(());
    }
    let expected = std::fs::read_to_string(golden).unwrap_or_default();
    if expected == actual {
        return Ok(());
    }
    let mut difference = String::new();
    let at = expected.lines().zip(actual.lines()).take_while(|(a, b)| a == b).count();
    let _ = writeln!(difference, "from line {} on the golden file says", at + 1);
    difference.extend(expected.lines().skip(at).take(12).map(|line| format!("  - {line}\n")));
    let _ = writeln!(difference, "but it is");
    difference.extend(actual.lines().skip(at).take(12).map(|line| format!("  + {line}\n")));
    Err(difference)
}
