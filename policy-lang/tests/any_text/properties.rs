//! What holds for any text, each function for a stage and those before it. Shared with the fuzz targets.

use chancery_policy_lang::budget::Budget;
use chancery_policy_lang::bug::CompileError;
use chancery_policy_lang::check::{self, CheckOptions};
use chancery_policy_lang::checked::{Direction, Target};
use chancery_policy_lang::diagnostic::render;
use chancery_policy_lang::link::link;
use chancery_policy_lang::linked::Workload;
use chancery_policy_lang::parse::Parsed;
use chancery_policy_lang::syntax::{SyntaxKind, SyntaxTree};
use chancery_policy_lang::together::check_together;
use chancery_policy_lang::{Diagnostic, FileId, SourceSet, analyse, emit, lex, parse, print};
use std::collections::{BTreeMap, BTreeSet};

/// Tokens are not empty, have no gap and cover the text.
pub(crate) fn lex(text: &str) {
    let mut end = 0;
    for token in &lex::lex(FileId(0), text).tokens {
        assert_eq!(token.start, end, "tokens have no gap");
        assert!(token.end > token.start, "tokens are not empty");
        end = token.end;
    }
    assert_eq!(end as usize, text.len(), "tokens cover the text");
}

/// A tree's text is the input; what is said can be shown; a right text prints as the same tokens.
pub(crate) fn parse(text: &str) -> (SourceSet, Parsed) {
    lex(text);
    let mut sources = SourceSet::new();
    let file = sources.add("any.writ", text);
    assert_eq!(parse::parse_request(file, text).tree.root().text(), text);
    assert_eq!(parse::parse_target(file, text).tree.root().text(), text);

    let parsed = parse::parse(file, text);
    assert_eq!(parsed.tree.root().text(), text, "the tree's text is the input");
    for diagnostic in &parsed.diagnostics {
        assert!(diagnostic.primary.span.end as usize <= text.len(), "places are in the text");
    }
    let lines = render::plain(&parsed.diagnostics, &sources).lines().count();
    assert_eq!(lines, parsed.diagnostics.len(), "one line for each diagnostic");
    let _ = render::human(&parsed.diagnostics, &sources, false);
    print(file, &parsed);
    (sources, parsed)
}

/// Each policy of a right text is checked; what is said can be shown.
pub(crate) fn check(text: &str) {
    let (sources, parsed) = parse(text);
    let trees = [parsed.tree];
    let checked = check::check(&sources, &trees, CheckOptions::default());
    let _ = render::human(&checked.diagnostics, &sources, false);
    if parsed.diagnostics.is_empty() && !checked.diagnostics.iter().any(Diagnostic::is_error) {
        let [tree] = trees;
        let policies = tree.root().children().filter(|node| node.kind() == SyntaxKind::Policy).count();
        assert_eq!(checked.policies.len(), policies, "each policy of a right text is checked");
        let is_rule = |kind| matches!(kind, SyntaxKind::Rule | SyntaxKind::Exempt);
        let statements = tree.root().descendants().filter(|node| is_rule(node.kind())).count();
        let rules: usize = checked.policies.iter().map(|policy| policy.rules().len()).sum();
        let said_twice = checked.diagnostics.iter().filter(|found| found.code.0 == "W106").count();
        assert!(rules + said_twice >= statements, "each rule of a right text is checked");
    }
}

fn print(file: FileId, parsed: &Parsed) {
    let printed = print::print(&parsed.tree);
    if parsed.is_ok() {
        let again = parse::parse(file, &printed);
        assert_eq!(again.diagnostics, [], "what is printed is right: {printed}");
        assert_eq!(words(&again.tree), words(&parsed.tree), "what is printed has the same tokens");
        assert_eq!(print::print(&again.tree), printed, "what is printed prints as itself");
    }
}

/// The tokens and comments of a tree.
fn words(tree: &SyntaxTree) -> Vec<(SyntaxKind, String)> {
    tree.root()
        .descendants_with_tokens()
        .filter_map(|element| element.into_token())
        .filter(|token| token.kind() != SyntaxKind::Whitespace)
        .map(|token| (token.kind(), token.text().trim_end().to_owned()))
        .collect()
}

/// A right text is linked and compiled for a workload of each of its scopes, or refused.
pub(crate) fn compile(text: &str) {
    let mut sources = SourceSet::new();
    sources.add("any.writ", text);
    let analysis = analyse(&sources, CheckOptions::default());
    if !analysis.is_ok() {
        return;
    }
    let targets: BTreeSet<&Target> =
        analysis.policies.iter().flat_map(|policy| &policy.targets).map(|scope| &scope.target).collect();
    let workloads: Vec<Workload> = targets.into_iter().map(workload_of).collect();
    let found = check_together(&analysis.policies, &workloads, &mut Budget::new());
    let found = found.unwrap();
    let _ = render::human(&found, &sources, false);
    for workload in workloads.iter().take(4) {
        let Ok(Some(program)) = link(&analysis.policies, workload, Direction::Inbound) else { continue };
        match emit::compile(&program) {
            Ok(module) => assert!(module.bytes.len() <= emit::MODULE_BYTES_MAX),
            Err(CompileError::Refused(found)) => assert!(!found.is_empty()),
            Err(CompileError::Bug(bug)) => unreachable!("{bug}"),
        }
    }
}

/// A workload that a scope covers.
fn workload_of(target: &Target) -> Workload {
    let (namespace, service, labels) = match target {
        Target::Mesh => ("any", "any", BTreeMap::new()),
        Target::Namespace(namespace) => (namespace.as_str(), "any", BTreeMap::new()),
        Target::Service(service) => (service.namespace.as_str(), service.name.as_str(), BTreeMap::new()),
        Target::Workload { namespace, labels } => (namespace.as_str(), "any", labels.clone()),
    };
    Workload {
        namespace: namespace.to_owned(),
        service: service.to_owned(),
        labels,
        trust_domain: "chancery.local".to_owned(),
    }
}
