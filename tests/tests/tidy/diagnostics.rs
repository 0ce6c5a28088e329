//! Every diagnostic code is one constant, is documented, and is shown by a case.

use super::{Problems, TextFile, file, files};
use std::collections::BTreeMap;

/// How a code is defined: `const NAME: Code = Code("E101");`, in the `errors.rs` of a stage.
const DEFINITION: &str = ": Code = Code(\"";

/// The codes that the language's sources define, with where.
fn codes() -> BTreeMap<String, Vec<String>> {
    let mut codes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in files(&["rs"]).iter().filter(|source| source.path.starts_with("policy-lang/src/")) {
        for (number, line) in source.text.lines().enumerate() {
            let Some((_, rest)) = line.split_once(DEFINITION) else { continue };
            let code = rest.split('"').next().unwrap();
            codes.entry(code.to_owned()).or_default().push(format!("{}:{}", source.path, number + 1));
        }
    }
    assert!(codes.len() > 20, "only {} diagnostic codes were found in the sources", codes.len());
    codes
}

/// Cases of the language, and transcripts of the command line.
fn goldens() -> Vec<TextFile> {
    files(&["out", "txt"]).into_iter().filter(|file| file.path.contains("tests/cases/")).collect()
}

#[test]
fn each_diagnostic_code_is_one_constant_of_the_form_e101() {
    let mut problems = Problems::default();
    for (code, places) in codes() {
        let (kind, number) = code.split_at(1);
        let well_formed = ["E", "W"].contains(&kind) && number.len() == 3 && number.parse::<u16>().is_ok();
        problems.add_if(!well_formed, &code, "is not of the form E101 or W201");
        problems.add_if(places.len() > 1, &code, format!("is defined several times: {}", places.join(", ")));
    }
    problems.must_be_none();
}

#[test]
fn each_diagnostic_code_is_documented() {
    let documentation = file("docs/errors.md").text;
    let documented = |code: &str| {
        documentation
            .lines()
            .any(|line| line.starts_with('#') && line.split([' ', ':', '`']).any(|word| word == code))
    };
    let codes = codes();
    let mut problems = Problems::default();
    for (code, places) in &codes {
        let place = places.join(", ");
        problems.add_if(!documented(code), place, format!("{code} has no heading in docs/errors.md"));
    }
    for line in documentation.lines().filter(|line| line.starts_with('#')) {
        for word in line.split([' ', ':', '`']).filter(|word| is_code(word)) {
            problems.add_if(!codes.contains_key(word), "docs/errors.md", format!("{word} is no code"));
        }
    }
    problems.must_be_none();
}

#[test]
fn each_diagnostic_code_is_shown_by_a_case() {
    let goldens = goldens();
    let mut problems = Problems::default();
    for (code, places) in codes() {
        let shown = goldens.iter().any(|golden| golden.text.contains(&format!("[{code}]")));
        problems.add_if(!shown, places.join(", "), format!("{code} is shown by no case"));
    }
    problems.must_be_none();
}

fn is_code(word: &str) -> bool {
    word.len() == 4 && word.starts_with(['E', 'W']) && word.bytes().skip(1).all(|byte| byte.is_ascii_digit())
}
