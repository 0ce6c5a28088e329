//! Cases: a module in the text format, its first comment saying what it shows, and what is found as a golden file.
//!
//! A case that begins with `;; may: call, read body` is admitted on those terms. `UPDATE_CASES=1` writes what is found.

use chancery_sdk_admission::{Admission, Capability, Code, Terms, admit};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/admission/cases")
}

/// What each case gives, by the path of its golden file.
fn outputs() -> BTreeMap<PathBuf, String> {
    let mut outputs = BTreeMap::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "wat") {
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.starts_with(";; "), "{} begins with what it shows", path.display());
            let admission = admit(&wat::parse_str(&text).unwrap(), &terms_of(&text));
            outputs.insert(path.with_extension("out"), shown(&admission));
        }
    }
    assert!(outputs.len() > 20, "only {} cases were found", outputs.len());
    outputs
}

fn terms_of(text: &str) -> Terms {
    let declared = text.lines().next().and_then(|line| line.strip_prefix(";; may: "));
    let may = declared.map(|words| {
        let named = |word: &str| {
            let found = Capability::ALL.iter().find(|capability| capability.as_str() == word);
            *found.unwrap_or_else(|| panic!("`{word}` is no capability"))
        };
        words.split(", ").map(named).collect::<BTreeSet<_>>()
    });
    Terms { may, ..Terms::default() }
}

fn shown(admission: &Admission) -> String {
    let mut text: String = admission.findings.iter().map(|finding| format!("{finding}\n")).collect();
    let words = |capabilities: &BTreeSet<Capability>| {
        let words: Vec<&str> = capabilities.iter().map(|capability| capability.as_str()).collect();
        if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
    };
    text.push_str(&format!("uses: {}; withheld: {}\n", words(&admission.uses), words(&admission.withheld)));
    match &admission.module {
        Some(module) => {
            let allowed: Vec<&str> = module.allowed.iter().map(String::as_str).collect();
            text.push_str(&format!("admitted; allowed: {}\n", allowed.join(" ")));
        }
        None => text.push_str("refused\n"),
    }
    text
}

#[test]
fn each_module_gives_its_findings() {
    let update = std::env::var_os("UPDATE_CASES").is_some();
    let mut differing = Vec::new();
    for (path, output) in outputs() {
        if update {
            fs::write(&path, &output).unwrap();
        } else if fs::read_to_string(&path).unwrap_or_default() != output {
            differing.push(format!("{}:\n{output}", path.display()));
        }
    }
    assert!(differing.is_empty(), "other findings than in the golden files:\n{}", differing.join("\n"));
}

#[test]
fn each_code_is_shown_by_a_case_and_documented() {
    /// What no text of a reasonable length shows: a module that is too large, and our own fault.
    const WITHOUT_CASE: [&str; 2] = ["F102", "F901"];
    let outputs: String = outputs().into_values().collect();
    let document =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/filters.md")).unwrap();
    for code in Code::ALL {
        let shown = outputs.contains(&format!("[{}]", code.as_str()));
        // Trials are not made here.
        let is_of_a_trial = code.as_str().starts_with("F5") || code.as_str().starts_with("F6");
        let without_case = is_of_a_trial || WITHOUT_CASE.contains(&code.as_str());
        assert!(shown || without_case, "{code:?} is shown by no case");
        let heading = format!("### {}: ", code.as_str());
        assert!(document.contains(&heading), "docs/filters.md has no heading `{heading}…`");
    }
}
