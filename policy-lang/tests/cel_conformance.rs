//! CEL's own conformance tests, as far as they are about the part of CEL that Writ has.
//!
//! The tests are data of the CEL specification, in textproto files of a folder beside the workspace
//! (`../shared/conformance/cel-spec`). Without that folder nothing is checked, and the test says so. With `CEL_SKIPPED` set it shows what was skipped. A
//! case counts if its expression is without variables, gives a bool, int or string, and Writ's checker
//! accepts it; all others are counted by reason.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test says what is wrong by panicking")]

#[path = "cel_conformance/textproto.rs"]
mod textproto;

use chancery_policy_lang::checked::Direction;
use chancery_policy_lang::linked::Workload;
use chancery_policy_lang::request::Request;
use chancery_policy_lang::{Diagnostic, SourceSet, analyse, eval, link};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use textproto::{Field, Message};

/// The files with cases of the language's part.
const FILES: &[&str] = &[
    "basic",
    "comparisons",
    "conversions",
    "integer_math",
    "lists",
    "logic",
    "macros",
    "network_ext",
    "parse",
    "string",
    "string_ext",
];
/// At least so many cases must run where the folder is there.
const RUN_MIN: usize = 200;

/// Cases in which Writ differs on purpose, with why: the expression as CEL's test has it.
const DIFFERENCES: &[(&str, &str)] = &[
    (r"'\u0085\u00a0\u1680text'.trim() == 'text'", TRIM),
    (r"'text\u2000\u2001\u2002\u2003\u2004\u2004\u2006\u2007\u2008\u2009'.trim() == 'text'", TRIM),
    (r"'\u200atext\u2028\u2029\u202F\u205F\u3000'.trim() == 'text'", TRIM),
];

const TRIM: &str = "`trim` removes ASCII white space only";

/// What became of a case.
enum Fate {
    Passed,
    /// Why it does not count.
    Skipped(String),
    Failed(String),
}

#[test]
fn cel_conformance_tests_of_the_common_part_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance/cel-spec");
    if !folder.is_dir() {
        // Written past the capture of the test runner, so that it is seen also when nothing fails.
        writeln!(std::io::stderr(), "NOT RUN: {} is not there", folder.display()).unwrap();
        return;
    }
    let mut skipped: BTreeMap<String, usize> = BTreeMap::new();
    let (mut passed, mut failures) = (0, Vec::new());
    for file in FILES {
        let text = std::fs::read_to_string(folder.join(format!("{file}.textproto"))).unwrap();
        let root = textproto::parse(&text);
        for section in root.messages("section") {
            for case in section.messages("test") {
                let name = format!("{file}/{}/{}", section.text("name"), case.text("name"));
                match run(case) {
                    Fate::Passed => passed += 1,
                    Fate::Skipped(why) => *skipped.entry(why).or_default() += 1,
                    Fate::Failed(what) => failures.push(format!("{name}: {what}")),
                }
            }
        }
    }
    println!("{passed} conformance tests of CEL pass; not counted:");
    for (why, count) in &skipped {
        println!("  {count:4} {why}");
    }
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n"));
    assert!(passed >= RUN_MIN, "only {passed} cases were run");
}

fn run(case: &Message) -> Fate {
    let expression = case.text("expr");
    if let Some((_, why)) = DIFFERENCES.iter().find(|(known, _)| *known == expression) {
        return Fate::Skipped(format!("differs on purpose: {why}"));
    }
    for part in
        ["bindings", "type_env", "container", "eval_error", "any_eval_errors", "typed_result", "unknown"]
    {
        if case.field(part).is_some() {
            return Fate::Skipped(format!("has `{part}`"));
        }
    }
    let comparison = match case.field("value") {
        None => format!("({expression}) == true"),
        Some(Field::Message(value)) => match value.fields.first() {
            Some((kind, Field::Text(text))) => match kind.as_str() {
                "bool_value" | "int64_value" => format!("({expression}) == {text}"),
                "string_value" => format!("({expression}) == {}", quoted(text)),
                _ => return Fate::Skipped(format!("gives a {kind}")),
            },
            Some((kind, Field::Message(_))) => return Fate::Skipped(format!("gives a {kind}")),
            None => return Fate::Skipped("gives nothing".to_owned()),
        },
        Some(Field::Text(_)) => return Fate::Skipped("gives no value".to_owned()),
    };
    decide(&comparison)
}

/// Whether a comparison holds.
fn decide(comparison: &str) -> Fate {
    let mut sources = SourceSet::new();
    sources.add("case", format!("auth p on mesh {{ allow when {comparison}\n}}"));
    let analysis = analyse(&sources, Default::default());
    if let Some(error) = analysis.diagnostics.iter().find(|found| found.is_error()) {
        if std::env::var_os("CEL_SKIPPED").is_some() {
            println!("{} {comparison}", error.code.0);
        }
        return Fate::Skipped(reason(error));
    }
    let target = Workload {
        namespace: "a".into(),
        service: "b".into(),
        labels: BTreeMap::new(),
        trust_domain: "mesh".into(),
    };
    let program = link::link(&analysis.policies, &target, Direction::Inbound).unwrap().unwrap();
    if eval::evaluate(&program, &Request::default()).outcome.allows() {
        Fate::Passed
    } else {
        Fate::Failed(format!("`{comparison}` is false"))
    }
}

fn reason(error: &Diagnostic) -> String {
    let what = match error.code.0.get(..2).unwrap() {
        "E1" => "is not of the grammar",
        "E3" => "is refused by the checker",
        _ => "is not supported yet",
    };
    format!("{what} ({})", error.code.0)
}

/// A string literal of Writ.
fn quoted(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|character| match character {
            '"' | '\\' => format!("\\{character}"),
            _ if character.is_control() => format!("\\U{:08X}", u32::from(character)),
            _ => character.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}
