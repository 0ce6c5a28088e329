//! What the documents show is so: their policies check, their tests pass, their errors come.
//!
//! Fences: `writ` is right; `writ-error` and `writ-warning` give the code of the heading above.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use chancery_policy_lang::check::CheckOptions;
use chancery_policy_lang::checked::{CheckedPolicy, Direction, ServiceRef, TestCase};
use chancery_policy_lang::diagnostic::render;
use chancery_policy_lang::linked::Workload;
use chancery_policy_lang::{Diagnostic, SourceSet, analyse, inhabitants, link, sinks, testing};
use std::collections::BTreeSet;
use std::path::Path;

/// A fenced block.
struct Block {
    /// The first word of the heading before it; a code in the list of errors.
    code: String,
    fence: String,
    line: usize,
    text: String,
}

fn blocks(document: &str) -> Vec<Block> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(document);
    let text = std::fs::read_to_string(path).unwrap();
    let mut blocks = Vec::new();
    let mut code = String::new();
    let mut open: Option<Block> = None;
    for (number, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.text += &format!("{line}\n"),
            (None, Some(fence)) => {
                let (code, fence) = (code.clone(), fence.to_owned());
                open = Some(Block { code, fence, line: number + 1, text: String::new() });
            }
            (None, None) if line.starts_with('#') => {
                code = line.split([' ', ':']).nth(1).unwrap_or_default().to_owned();
            }
            (None, None) => {}
        }
    }
    blocks
}

/// All that is said of a text, its tests run, and the same for people.
fn said(text: &str) -> (Vec<Diagnostic>, String) {
    said_in_mesh(text, &BTreeSet::new())
}

/// The same in a mesh that knows these services.
fn said_in_mesh(text: &str, known: &BTreeSet<ServiceRef>) -> (Vec<Diagnostic>, String) {
    let mut sources = SourceSet::new();
    sources.add("document", text);
    let options = CheckOptions { today: Some("2026-06-01"), ..CheckOptions::default() };
    let mut analysis = analyse(&sources, options);
    let mut failures = String::new();
    if analysis.is_ok() {
        analysis.diagnostics.extend(testing::left_out(&analysis.tests, &analysis.policies));
        let policies = &analysis.policies;
        let known =
            policies.iter().filter(|policy| policy.sink().is_some()).map(|policy| policy.name.as_str());
        let unknown = sinks::unknown(policies, &known.collect());
        analysis.diagnostics.extend(unknown.into_iter().chain(sinks::unused(policies, policies)));
        for test in &analysis.tests {
            analysis
                .diagnostics
                .extend(testing::link_test_calls(test, &analysis.policies, None).err().into_iter().flatten());
            match testing::link_test(test, &analysis.policies) {
                Err(found) => analysis.diagnostics.extend(found),
                Ok(program) => {
                    let course = |case: &TestCase| {
                        let caller = testing::caller_of(case, &program.workload);
                        let calls = testing::link_test_calls(test, &analysis.policies, caller.as_ref());
                        calls.ok().and_then(|calls| testing::course_of(case, calls.as_ref()))
                    };
                    let decisions = testing::decisions(test, &program, course);
                    for (case, decisions) in test.cases.iter().zip(decisions) {
                        let course = course(case);
                        let ways = testing::way_failures(case, course.as_ref(), &program.workload);
                        for failure in testing::failures(case, &program, course.as_ref(), &decisions)
                            .into_iter()
                            .chain(ways)
                        {
                            failures += &format!("{}: {failure}\n", test.name);
                        }
                    }
                }
            }
        }
    }
    let policies: Vec<&CheckedPolicy> = analysis.policies.iter().collect();
    let orders = ServiceRef { namespace: "shop".into(), name: "orders".into() };
    let orders = Workload::of_service(&orders, "chancery.local");
    let filters = link::link_filters(policies.iter().copied(), &orders, Direction::Inbound);
    analysis.diagnostics.extend(filters.err().into_iter().flatten());
    let strangers = inhabitants::unknown_inhabitants(&policies, known, &sources);
    analysis.diagnostics.extend(strangers);
    let shown = render::human(&analysis.diagnostics, &sources, false) + &failures;
    (analysis.diagnostics, shown)
}

#[test]
fn policies_in_documents_are_right() {
    let mut count = 0;
    for document in ["language.md", "embedding.md", "command-line.md"] {
        for block in blocks(document).iter().filter(|block| block.fence == "writ") {
            count += 1;
            let (_, shown) = said(&block.text);
            assert!(shown.is_empty(), "{document}:{}\n{shown}", block.line);
        }
    }
    assert!(count >= 5, "only {count} policies were found");
}

/// That they are right and pass their tests is asked with all others.
#[test]
fn ten_everyday_tasks_are_whole_files_with_tests() {
    let document =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/language.md")).unwrap();
    let (_, section) = document.split_once("\n## Ten everyday tasks\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let files: Vec<&str> =
        section.split("```writ\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(files.len(), 10);
    assert!(files.iter().all(|file| file.contains("\ntest \"")), "each has a test");
}

#[test]
fn each_documented_error_comes_of_its_example() {
    let mut count = 0;
    for block in blocks("errors.md") {
        if !["writ-error", "writ-warning"].contains(&block.fence.as_str()) {
            continue;
        }
        count += 1;
        // What is said of services that a mesh does not know needs a mesh.
        let orders = ServiceRef { namespace: "shop".into(), name: "orders".into() };
        let known = BTreeSet::from_iter((block.code == "W121").then_some(orders));
        let (diagnostics, shown) = said_in_mesh(&block.text, &known);
        let place = format!("errors.md:{}: {}\n{shown}", block.line, block.code);
        assert!(diagnostics.iter().any(|found| found.code.0 == block.code), "{place}");
        let has_error = diagnostics.iter().any(Diagnostic::is_error);
        assert_eq!(has_error, block.fence == "writ-error", "{place}");
    }
    assert!(count >= 60, "only {count} examples were found");
}
