//! Records that grow: decisions, the changelog, the list of examples.

use super::{Problems, file, files, root};
use std::collections::BTreeMap;
use std::fs;

#[test]
fn each_decision_has_a_number_of_its_own() {
    let mut problems = Problems::default();
    let mut numbers: BTreeMap<String, String> = BTreeMap::new();
    for file in files(&["md"]).iter().filter(|file| file.path.starts_with("docs/decisions/")) {
        let name = file.path.rsplit('/').next().unwrap();
        let number: String = name.chars().take_while(char::is_ascii_digit).collect();
        let well_named = number.len() == 4 && name.get(4..5) == Some("-");
        problems.add_if(!well_named, &file.path, "is called `NNNN-title.md`");
        let heading = format!("# {number}: ");
        problems.add_if(!file.text.starts_with(&heading), &file.path, format!("begins with `{heading}`"));
        if let Some(other) = numbers.insert(number, file.path.clone()) {
            problems.add(&file.path, format!("has the number of {other}"));
        }
    }
    assert!(!numbers.is_empty(), "no decision was found");
    problems.must_be_none();
}

#[test]
fn the_changelog_has_a_place_for_the_next_line() {
    assert!(file("CHANGELOG.md").text.contains("\n## [Unreleased]\n"));
}

#[test]
fn each_example_is_listed_and_run_by_a_test() {
    let list = file("examples/README.md").text;
    let tests: Vec<_> = files(&["rs"]).into_iter().filter(|file| file.path.starts_with("tests/")).collect();
    let mut problems = Problems::default();
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_dir() {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        let example = format!("examples/{name}");
        problems.add_if(!path.join("README.md").is_file(), &example, "has no README.md");
        let listed = list.contains(&format!("]({name}/README.md)"));
        problems.add_if(!listed, &example, "is not listed in examples/README.md");
        let run = tests.iter().any(|file| file.text.contains(&example));
        problems.add_if(!run, &example, "is named by no test");
    }
    problems.must_be_none();
}
