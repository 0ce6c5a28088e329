//! The form of source files.

use super::{Problems, files};

/// Files beyond this length hold two ideas, unless they are tables.
const LINES_MAX: usize = 700;
/// Tables, which may be long.
const LONG_TABLES: &[&str] = &[];

/// Spelt in two parts, so that this file does not find itself.
const FORBIDDEN: &[(&str, &str)] = &[
    (concat!("to", "do!("), "finish it, or answer with an error that says what is not supported"),
    (concat!("unimple", "mented!("), "finish it, or answer with an error that says what is not supported"),
    (concat!("d", "bg!("), "take it out"),
    (concat!("#[al", "low("), "write `#[expect(lint, reason = \"…\")]`"),
    (concat!("#![al", "low("), "write `#![expect(lint, reason = \"…\")]`"),
];

#[test]
fn each_rust_file_begins_with_its_purpose() {
    let mut problems = Problems::default();
    for file in files(&["rs"]) {
        let first = file.text.lines().next().unwrap_or_default();
        problems.add_if(
            !first.starts_with("//! ") || first.len() < 12,
            &file.path,
            "begins with `//!` and a sentence",
        );
    }
    problems.must_be_none();
}

#[test]
fn no_rust_file_is_overlong_or_called_mod() {
    let mut problems = Problems::default();
    for file in files(&["rs"]) {
        let lines = file.text.lines().count();
        let long = lines > LINES_MAX && !LONG_TABLES.contains(&file.path.as_str());
        problems.add_if(long, &file.path, format!("{lines} lines; more than {LINES_MAX} hold two ideas"));
        problems.add_if(file.path.ends_with("/mod.rs"), &file.path, "write `name.rs` beside `name/`");
    }
    for path in LONG_TABLES {
        problems.add_if(!files(&["rs"]).iter().any(|file| file.path == *path), path, "is not there any more");
    }
    problems.must_be_none();
}

#[test]
fn nothing_is_left_unfinished_or_silenced() {
    let mut problems = Problems::default();
    for file in files(&["rs"]) {
        for (number, line) in file.text.lines().enumerate() {
            for (forbidden, remedy) in FORBIDDEN {
                problems.add_if(
                    line.contains(forbidden),
                    format!("{}:{}", file.path, number + 1),
                    format!("`{forbidden}`: {remedy}"),
                );
            }
        }
    }
    problems.must_be_none();
}

#[test]
fn text_files_have_no_trailing_space_and_end_with_a_line_end() {
    let mut problems = Problems::default();
    for file in files(&["rs", "md", "toml", "writ", "yaml", "lua"]) {
        // Cases of the language show what an author may have typed.
        if file.path.contains("/cases/") {
            continue;
        }
        for (number, line) in file.text.lines().enumerate() {
            let place = format!("{}:{}", file.path, number + 1);
            problems.add_if(line.ends_with([' ', '\t']), place, "trailing space");
        }
        problems.add_if(!file.text.ends_with('\n'), &file.path, "the last line does not end");
        problems.add_if(file.text.ends_with("\n\n"), &file.path, "empty lines at the end");
    }
    problems.must_be_none();
}
