//! Runs the language cases: `cases/<stage>/{ok,err}/<case>.writ`, each with its golden file `.out`.
//!
//! The first line of a case is a comment that says what it shows. An `ok` case must have no error, and
//! its golden file holds the stage's text form, behind the warnings if there are any; an `err` case must
//! have one, and its golden file holds the diagnostics as people see them. `UPDATE_CASES=1` rewrites the
//! golden files, to be reviewed as prose.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use chancery_policy_lang::budget::Budget;
use chancery_policy_lang::bug::CompileError;
use chancery_policy_lang::check::{self, CheckOptions};
use chancery_policy_lang::checked::Direction;
use chancery_policy_lang::checked::{CheckedPolicy, ServiceRef, TestCase};
use chancery_policy_lang::diagnostic::render;
use chancery_policy_lang::filters::{Granting, Pushed, Registry};
use chancery_policy_lang::linked::{LinkedProgram, Workload};
use chancery_policy_lang::source::SOURCE_BYTES_MAX;
use chancery_policy_lang::{
    Analysis, Diagnostic, FileId, SourceSet, analyse, classify, emit, filters, inhabitants, lex, link, lower,
    parse, print, routes, tabulate, testing, together,
};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What a stage made of a case: its text form and what it said.
type Made = (String, Vec<Diagnostic>);
/// Runs a stage on a case.
type Run = fn(FileId, &str) -> Made;

/// The stages, in order, and what is run for each. One line for a new stage.
const STAGES: &[(&str, Run)] = &[
    ("lex", run_lex),
    ("parse", run_parse),
    ("print", run_print),
    ("check", run_check),
    ("eval", run_eval),
    ("linked", run_linked),
    ("plan", run_plan),
    ("classes", run_classes),
    ("tables", run_tables),
    ("wasm", run_wasm),
    ("calls", run_calls),
    ("inhabitants", run_inhabitants),
    ("sinks", run_sinks),
    ("filters", run_filters),
    ("registry", run_registry),
];

/// The day of the cases, for warnings about days that are over.
const TODAY: &str = "2026-06-01";

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

fn run_check(_: FileId, text: &str) -> Made {
    let analysis = analyse_text(text);
    (check::dump(&analysis.policies, &analysis.tests), analysis.diagnostics)
}

fn orders() -> Workload {
    Workload {
        namespace: "shop".to_owned(),
        service: "orders".to_owned(),
        labels: [("version".to_owned(), "v2".to_owned())].into(),
        trust_domain: "chancery.local".to_owned(),
    }
}

/// Links the policies for the workload `shop/orders` with version `v2`, and shows what becomes of it.
fn run_link(text: &str, mut show: impl FnMut(&LinkedProgram) -> String) -> Made {
    let mut analysis = analyse_text(text);
    let made = match link::link(&analysis.policies, &orders(), Direction::Inbound) {
        Ok(program) => program.as_ref().map_or("no program\n".to_owned(), &mut show),
        Err(diagnostics) => {
            analysis.diagnostics.extend(diagnostics);
            String::new()
        }
    };
    (made, analysis.diagnostics)
}

fn run_linked(_: FileId, text: &str) -> Made {
    run_link(text, link::dump)
}

fn run_plan(_: FileId, text: &str) -> Made {
    run_link(text, |program| lower::dump(&lower::lower(program).unwrap()))
}

fn run_classes(_: FileId, text: &str) -> Made {
    run_link(text, |program| {
        let plan = lower::lower(program).unwrap();
        classify::dump(&plan, &classify::classify(&plan).unwrap())
    })
}

fn run_tables(_: FileId, text: &str) -> Made {
    run_link(text, |program| {
        let plan = lower::lower(program).unwrap();
        let classes = classify::classify(&plan).unwrap();
        tabulate::dump(&plan, &tabulate::tabulate(&plan, &classes).unwrap())
    })
}

/// Compiles the policies; the text form is what the module names and reads.
fn run_wasm(_: FileId, text: &str) -> Made {
    let mut refused = Vec::new();
    let (shown, mut diagnostics) = run_link(text, |program| match emit::compile(program) {
        Ok(module) => {
            let manifest = module.manifest;
            format!("policies {}\nreads {}\n", manifest.policies.join(", "), manifest.reads.join(", "))
        }
        Err(CompileError::Refused(found)) => {
            refused.extend(found);
            String::new()
        }
        Err(CompileError::Bug(bug)) => unreachable!("{bug}"),
    });
    diagnostics.extend(refused);
    (shown, diagnostics)
}

/// Links what callers of `shop/orders` do, for `shop/web` and for any caller; shows the program, the plan and the table of
/// routes.
fn run_calls(_: FileId, text: &str) -> Made {
    let mut analysis = analyse_text(text);
    let target = Workload {
        namespace: "shop".to_owned(),
        service: "orders".to_owned(),
        labels: [].into(),
        trust_domain: "chancery.local".to_owned(),
    };
    let web = Workload { service: "web".to_owned(), ..target.clone() };
    let mut out = String::new();
    match link::link_settings(&analysis.policies, &target) {
        Ok(settings) => writeln!(out, "{settings:?}").unwrap(),
        Err(diagnostics) => analysis.diagnostics.extend(diagnostics),
    }
    for caller in [None, Some(&web)] {
        let linked = link::link_calls(&analysis.policies, &target, caller, &mut Budget::new());
        let program = match linked {
            Ok(Some(program)) => program,
            Ok(None) => continue,
            Err(diagnostics) => {
                analysis.diagnostics.extend(diagnostics);
                break;
            }
        };
        writeln!(out, "# {}", if caller.is_some() { "shop/web" } else { "any caller" }).unwrap();
        out.push_str(&link::dump(&program));
        out.push_str(&lower::dump(&lower::lower(&program).unwrap()));
        let table = routes::table(&program.calls).unwrap();
        writeln!(out, "timeout {:?}", table.timeout).unwrap();
        let default = std::iter::once(("default", &table.default));
        for (key, entry) in default.chain(table.entries.iter().map(|(key, entry)| (key.as_str(), entry))) {
            let to: Vec<String> = entry.to.iter().map(|weighted| weighted.to.to_string()).collect();
            writeln!(out, "{key}: to {} by {}", to.join(", "), entry.stated_by.join(", ")).unwrap();
        }
    }
    (out, analysis.diagnostics)
}

/// Runs the `test` blocks by the evaluator; the text form is a line for each request.
fn run_eval(_: FileId, text: &str) -> Made {
    let mut analysis = analyse_text(text);
    analysis.diagnostics.extend(testing::left_out(&analysis.tests, &analysis.policies));
    let mut out = String::new();
    for test in &analysis.tests {
        writeln!(out, "{}", test.name).unwrap();
        let program = match testing::link_test(test, &analysis.policies) {
            Ok(program) => program,
            Err(diagnostics) => {
                analysis.diagnostics.extend(diagnostics);
                continue;
            }
        };
        let course = |case: &TestCase| {
            let caller = testing::caller_of(case, &program.workload);
            let linked = testing::link_test_calls(test, &analysis.policies, caller.as_ref()).unwrap();
            testing::course_of(case, linked.as_ref())
        };
        for (case, decisions) in test.cases.iter().zip(testing::decisions(test, &program, course)) {
            let mut failures = testing::failures(case, &program, course(case).as_ref(), &decisions);
            let way = match case.ways.is_empty() {
                true => None,
                false => {
                    let course = course(case);
                    failures.extend(testing::way_failures(case, course.as_ref(), &program.workload));
                    course.map(|course| course.way.map(|way| way.id.to_string()).unwrap_or_default())
                }
            };
            assert!(failures.is_empty(), "{}: {}", test.name, failures.join(", "));
            let rates: Vec<_> = decisions
                .iter()
                .map(|decision| testing::rate(case, &program, course(case).as_ref(), decision))
                .collect();
            assert_eq!(testing::log_failure(case, &rates), None, "{}", test.name);
            let path = String::from_utf8_lossy(&case.request.path).into_owned();
            if let Some(way) = way {
                writeln!(out, "  {path}: goes by {way}").unwrap();
            }
            // Equal ones that follow each other stand as one.
            for same in decisions.chunk_by(|a, b| a == b) {
                let Some(decision) = same.first() else { continue };
                let count = if same.len() > 1 { format!("{} x ", same.len()) } else { String::new() };
                let respond = decision.respond.as_ref();
                let status = respond.map(|respond| format!(" {}", respond.status)).unwrap_or_default();
                let outcome = decision.outcome.as_str();
                let logged = match case.logged {
                    Some(_) => {
                        format!(", {} logged", testing::rate(case, &program, course(case).as_ref(), decision))
                    }
                    None => String::new(),
                };
                writeln!(out, "  {count}{path}: {outcome}{status} by {}{logged}", decision.rule).unwrap();
            }
        }
    }
    (out, analysis.diagnostics)
}

/// Asks for the inhabitants of a mesh of `shop/orders`, `shop/frontend` and `pay/ledger`.
fn run_inhabitants(_: FileId, text: &str) -> Made {
    let mut sources = SourceSet::new();
    sources.add("case", text);
    let mut analysis = analyse(&sources, CheckOptions::default());
    let known = [("shop", "orders"), ("shop", "frontend"), ("pay", "ledger")];
    let known = known.map(|(namespace, name)| ServiceRef { namespace: namespace.into(), name: name.into() });
    let policies: Vec<&CheckedPolicy> = analysis.policies.iter().collect();
    let known = known.into();
    let found = inhabitants::unknown_inhabitants(&policies, &known, &sources);
    analysis.diagnostics.extend(found);
    let versions = |service: &ServiceRef| match known.contains(service) {
        true => [("v1", "orders"), ("v2", "orders")]
            .into_iter()
            .filter(|(_, of)| service.name == *of)
            .map(|(version, _)| version.to_owned())
            .collect(),
        false => BTreeSet::new(),
    };
    analysis.diagnostics.extend(inhabitants::unknown_versions(&policies, &known, versions, &sources));
    (String::new(), analysis.diagnostics)
}

/// What is wrong with policies and sinks together.
fn run_sinks(_: FileId, text: &str) -> Made {
    let mut analysis = analyse_text(text);
    let found = together::check_together(&analysis.policies, [], &mut Budget::new()).unwrap();
    analysis.diagnostics.extend(found);
    (String::new(), analysis.diagnostics)
}

/// The filters in the way of what comes to the workload `shop/orders` with version `v2`, and of what leaves it.
fn run_filters(_: FileId, text: &str) -> Made {
    let mut analysis = analyse_text(text);
    let mut shown = String::new();
    for direction in [Direction::Inbound, Direction::Outbound] {
        match link::link_filters(&analysis.policies, &orders(), direction) {
            Ok(filters) => shown.push_str(&link::dump_filters(&filters, direction)),
            Err(found) => analysis.diagnostics.extend(found),
        }
    }
    (shown, analysis.diagnostics)
}

/// What is wrong with filters where two are there: `guard`, which may be granted everything, in eight versions, and `shy`,
/// which may be granted to read bodies. A configuration with `refuse` in it is accepted by none, and none bears one with `fail`.
fn run_registry(_: FileId, text: &str) -> Made {
    let mut analysis = analyse_text(text);
    let pushed = |minor: u32, grants| Pushed {
        number: format!("1.{minor}.0").into(),
        digest: format!("{minor:064}").into(),
        grants,
    };
    let shy = Granting { call: false, read_body: true, change_body: false, share_data: false };
    let registry: Registry = [
        ("guard".into(), (0..8).map(|minor| pushed(minor, Granting::ALL)).collect()),
        ("shy".into(), vec![pushed(0, shy)]),
    ]
    .into();
    analysis.diagnostics.extend(filters::unusable(&analysis.policies, &registry));
    for body in analysis.policies.iter().filter_map(CheckedPolicy::filter) {
        if body.config.as_ref().is_none_or(|config| config.contains("refuse")) {
            analysis.diagnostics.push(filters::refused(body, "missing field `mask` at line 1"));
        }
        if body.config.as_ref().is_some_and(|config| config.contains("fail")) {
            analysis.diagnostics.push(filters::fails(body, "the module fails for `GET /`: out of\nbounds"));
        }
    }
    (String::new(), analysis.diagnostics)
}

fn analyse_text(text: &str) -> Analysis {
    let mut sources = SourceSet::new();
    sources.add("case", text);
    analyse(&sources, CheckOptions { today: Some(TODAY), ..CheckOptions::default() })
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
                if let Err(failure) = check_case(&path, outcome, *run) {
                    failures.push(format!("{}:\n{failure}", path.display()));
                }
            }
        }
    }
    assert!(count > 0, "there are cases");
    assert!(failures.is_empty(), "{} of {count} cases fail:\n\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn a_file_that_is_too_large_is_refused_with_one_error() {
    let text = "let a = 1\n".repeat(SOURCE_BYTES_MAX / 10 + 1);
    let mut sources = SourceSet::new();
    let parsed = parse::parse(sources.add("too-large.writ", text.as_str()), &text);
    assert_eq!(parsed.tree.root().text(), text.as_str());
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/lex/err/too-large.out");
    compare(&golden, &render::human(&parsed.diagnostics, &sources, false)).unwrap();
}

/// A source that is too much work, and the file that says what is said of it.
fn costly() -> Vec<(&'static str, String)> {
    let policy = |rules: String| format!("auth a on mesh {{\n{rules}}}\n");
    let rules = |count: usize, rule: &dyn Fn(usize) -> String| policy((0..count).map(rule).collect());
    let list = |name: &str| {
        let elements: Vec<String> = (0..150).map(|number| format!("\"{name}{number}\"")).collect();
        format!("let {name} = [{}]\n", elements.join(", "))
    };
    let doubled = |step: usize| format!("let d{} = d{step} || d{step}\n", step + 1);
    let lists = "a.exists(x, b.exists(y, c.exists(z, x == y && y == z)))";
    vec![
        ("many-mistakes", rules(600, &|number| format!("  allow when unknown{number}\n"))),
        (
            "patterns",
            rules(80, &|number| format!("  allow when request.path.matches(\".{{150}}{number}\")\n")),
        ),
        ("constants", ["a", "b", "c"].map(list).concat() + &policy(format!("  allow when {lists}\n"))),
        (
            "conditions",
            "let d0 = source.mtls\n".to_owned()
                + &(0..12).map(doubled).collect::<String>()
                + &rules(80, &|number| format!("  r{number}: allow when d12 && request.size > {number}\n")),
        ),
        (
            "tests",
            policy("  allow\n".to_owned())
                + &format!("test \"t\" for a {{\n{}}}\n", "  given 1000 x GET / expect allow\n".repeat(150)),
        ),
    ]
}

#[test]
fn what_is_too_much_work_is_refused_with_the_costliest_named() {
    for (name, text) in costly() {
        let mut sources = SourceSet::new();
        sources.add(format!("{name}.writ"), text);
        let diagnostics = analyse(&sources, CheckOptions::default()).diagnostics;
        let golden =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/cases/check/err/costly/{name}.out"));
        let last = diagnostics.last().unwrap();
        compare(&golden, &render::human(std::slice::from_ref(last), &sources, false)).unwrap();
    }
}

#[test]
fn files_that_are_too_large_together_are_not_read() {
    let mut sources = SourceSet::new();
    let text: std::sync::Arc<str> = "let a = 1\n".repeat(SOURCE_BYTES_MAX / 10).into();
    for number in 0..9 {
        sources.add(format!("{number}.writ"), text.clone());
    }
    let analysis = analyse(&sources, CheckOptions::default());
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/check/err/costly/files.out");
    compare(&golden, &render::human(&analysis.diagnostics, &sources, false)).unwrap();
}

/// Sources that are right until policies are linked and compiled.
fn large() -> Vec<(&'static str, String)> {
    let rules = |count: usize, rule: &dyn Fn(usize) -> String| {
        format!("auth a on mesh {{\n{}}}\n", (0..count).map(rule).collect::<String>())
    };
    let letter = |number: usize| char::from(b'A' + number as u8);
    let methods = (0..520).map(|number| format!("X{}{}", letter(number / 26), letter(number % 26)));
    let stars =
        |stars: usize| (0..11).map(|bit| if stars >> bit & 1 == 1 { "/*" } else { "/a" }).collect::<String>();
    let paths: Vec<String> = (0..2_048).map(stars).collect();
    vec![
        (
            "entries",
            format!(
                "auth a on mesh {{\n  allow {}\n    {}\n}}\n",
                methods.collect::<Vec<_>>().join(", "),
                paths.join(",\n    ")
            ),
        ),
        (
            "module",
            rules(150, &|number| format!("  allow when request.path.matches(r\"\\pL{{1,20}}z{number}\")\n")),
        ),
        ("ways", {
            let ways = (0..260).map(|number| format!("  route /w/{number} -> service shop/w{number}\n"));
            let retries =
                (0..260).map(|number| format!("  retry 1 on 5xx backoff {}ms for /r/{number}\n", number + 1));
            format!("traffic a on mesh {{\n{}}}\n", ways.chain(retries).collect::<String>())
        }),
        ("ways-of-long-names", {
            let (policy, name) = ("p".repeat(100), "n".repeat(60));
            let service = |number: usize| format!("service {name}/{}{number}", "s".repeat(56));
            let ways = (0..250).map(|number| {
                let to: Vec<_> = (0..4).map(|part| format!("{} 25%", service(4 * number + part))).collect();
                format!("  w{number}-{name}: route /w/{number} -> {}\n", to.join(", "))
            });
            let retries =
                (0..250).map(|number| format!("  retry 1 on 5xx backoff {}ms for /r/{number}\n", number + 1));
            format!("traffic {policy} on mesh {{\n{}}}\n", ways.chain(retries).collect::<String>())
        }),
        (
            "depths",
            rules(1_400, &|number| {
                let path: String =
                    (0..11).map(|bit| if number >> bit & 1 == 1 { "/*" } else { "/a" }).collect();
                format!("  allow {path}/e{number}\n")
            }),
        ),
        (
            "overlaps",
            rules(4_000, &|number| match number % 2 {
                0 => format!("  allow /a/**, /q{number}\n"),
                _ => format!("  allow /a/x{number}\n"),
            }),
        ),
    ]
}

#[test]
fn what_is_too_large_where_policies_meet_is_refused() {
    for (name, text) in large() {
        let mut sources = SourceSet::new();
        sources.add(format!("{name}.writ"), text);
        let analysis = analyse(&sources, CheckOptions::default());
        assert!(analysis.is_ok(), "{:?}", analysis.diagnostics.iter().find(|found| found.is_error()));
        let workload = Workload {
            namespace: "shop".to_owned(),
            service: "orders".to_owned(),
            labels: [].into(),
            trust_domain: "chancery.local".to_owned(),
        };
        let found = together::check_together(&analysis.policies, [&workload], &mut Budget::new()).unwrap();
        let golden =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/cases/check/err/costly/{name}.out"));
        compare(&golden, &render::human(&found, &sources, false)).unwrap();
    }
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

fn check_case(path: &Path, outcome: &str, run: Run) -> Result<(), String> {
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
