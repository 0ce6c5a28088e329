//! Each code that the API answers with stands in `docs/operating.md`, and each one there is real.

use super::{Problems, file, files};
use std::collections::BTreeSet;

#[test]
fn each_code_of_the_api_is_documented_and_real() {
    let mut used = BTreeSet::new();
    let is_api = |path: &str| path.starts_with("control/src/server/api") && !path.ends_with("health.rs");
    for source in files(&["rs"]).iter().filter(|source| is_api(&source.path)) {
        used.extend(source.text.split("StatusCode::").filter_map(code_behind_status).map(str::to_owned));
    }
    used.extend(token_codes(&file("control/src/mesh/identity.rs").text).map(str::to_owned));
    // Made by a constructor of its own, without a status beside it.
    used.insert("bad-request".to_owned());

    let guide = file("docs/operating.md").text.clone();
    let table = guide.split("| code | status | what to do |").nth(1).unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let documented: BTreeSet<String> =
        rows.flat_map(|cell| cell.split("`, `")).map(|code| code.trim_matches('`').to_owned()).collect();

    assert!(used.len() > 15, "only {} codes were found in the sources", used.len());
    let mut problems = Problems::default();
    for code in used.difference(&documented) {
        problems.add("docs/operating.md", format!("does not have the code `{code}`"));
    }
    for code in documented.difference(&used) {
        problems.add("docs/operating.md", format!("has the code `{code}`, which nothing answers with"));
    }
    problems.must_be_none();
}

/// `NAME, "code"` gives the code.
fn code_behind_status(text: &str) -> Option<&str> {
    let rest = text.trim_start_matches(|character: char| character.is_ascii_uppercase() || character == '_');
    rest.strip_prefix(',')?.trim_start().strip_prefix('"')?.split('"').next()
}

/// The words in the function that names the codes of refused tokens.
fn token_codes(text: &str) -> impl Iterator<Item = &str> {
    text.split("=> \"").skip(1).filter_map(|rest| rest.split('"').next())
}
