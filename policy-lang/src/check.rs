//! The checker: from syntax trees to policies whose names, types and phases are resolved.
//!
//! ```text
//! file ── schema, lets ──┐
//!   policy ── lets ──────┤ scope
//!     rule ── captures ──┴──> expr: a typed expression, or an error that is reported once
//! ```
//!
//! A part that is wrong is left out of what is made, and nothing that depends on it is complained
//! about; so each diagnostic has a cause of its own. Whoever gets an error among the diagnostics
//! must not use the policies.

mod calls;
mod condition;
mod contradiction;
mod cors;
mod cover;
pub(crate) mod dump;
mod errors;
mod expr;
mod filter;
mod header_name;
mod headers;
mod leaving;
mod lets;
mod log;
mod outbound;
mod pattern;
mod peer;
mod phases;
mod plaintext;
mod policy;
mod redacted;
mod redirect;
mod repeated;
mod request;
mod rule;
mod schema;
mod scope;
mod session;
mod settings;
mod sink;
mod target;
mod test_block;
mod traffic;
mod values;
mod weight;

pub(crate) use expr::names as expression_names;
pub(crate) use pattern::SEGMENTS_MAX;
pub(crate) use schema::LIST_ELEMENTS_MAX;
pub(crate) use weight::steps_of_asking;

pub use dump::{dump, fault_text, mirror_text, retry_text, share_text};
pub use request::{request_of, target_of};

use crate::checked::{CheckedPolicy, CheckedTest};
use crate::diagnostic::{Diagnostic, Findings};
use crate::source::SourceSet;
use crate::syntax::SyntaxTree;
use crate::syntax::ast::{Item, Test};
use scope::FileScope;
use session::Session;
use std::collections::{BTreeMap, BTreeSet};

/// The trust domain of callers in `test` blocks.
pub const TEST_TRUST_DOMAIN: &str = "chancery.local";

/// What was found in the files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checked {
    /// The policies, in the order of the files and in them.
    pub policies: Vec<CheckedPolicy>,
    /// The `test` blocks, in the same order.
    pub tests: Vec<CheckedTest>,
    /// What is wrong or doubtful, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// What the checker is told beside the files.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckOptions<'a> {
    /// The day, `YYYY-MM-DD`, for warnings about shadow policies whose time is over.
    pub today: Option<&'a str>,
    /// Policies that stand in no file of the set, and that its tests may name all the same. One that has the
    /// name of a policy of the set is that policy's older text, and does not count.
    pub beside: &'a [&'a CheckedPolicy],
}

/// Checks the trees of all files of a set together: policies are unique over all of them, and all share
/// one [`Budget`](crate::budget::Budget).
#[must_use]
pub fn check(sources: &SourceSet, trees: &[SyntaxTree], options: CheckOptions<'_>) -> Checked {
    let mut policies: Vec<CheckedPolicy> = Vec::new();
    let mut findings = Findings::default();
    let mut tests: Vec<(&SyntaxTree, Test)> = Vec::new();
    let mut names = BTreeMap::new();
    let mut incomplete = BTreeSet::new();
    let mut session = Session::default();
    for tree in trees {
        let Some(file) = tree.file() else { continue };
        let mut scope = FileScope::of(tree, &file, session, &mut findings);
        for item in file.items() {
            match item {
                Item::Policy(node) => {
                    let place =
                        policy::Place { tree, options, names: &mut names, incomplete: &mut incomplete };
                    policies.extend(policy::check(&node, place, &mut scope, &mut findings));
                }
                Item::Test(node) => tests.push((tree, node)),
                Item::Use(node) => findings.push(errors::later::item(tree, &node, "use")),
                Item::Prove(node) => findings.push(errors::later::item(tree, &node, "prove")),
                Item::Schema(_) | Item::Let(_) => {}
            }
        }
        session = scope.session;
    }
    let beside = options.beside.iter().copied().filter(|policy| !names.contains_key(&policy.name));
    let beside: Vec<&CheckedPolicy> = beside.collect();
    let of_tests = policies.iter().chain(beside.iter().copied());
    let known = test_block::Known::new(of_tests, &names, &incomplete, &findings);
    let mut checked_tests = Vec::new();
    for (tree, node) in tests {
        checked_tests.extend(known.check(&node, tree, &mut session, &mut findings));
    }
    cover::warn(&policies, &beside, &mut findings);
    redacted::warn(&policies, &beside, &mut findings);
    debug_assert!(trees.len() <= sources.iter().count(), "each tree is of a file of the set");
    Checked { policies, tests: checked_tests, diagnostics: findings.into_vec() }
}

/// Checks some of the tests of a file that was checked before, on the policies as they are now.
#[must_use]
pub fn check_tests(
    tree: &SyntaxTree,
    policies: &[CheckedPolicy],
    is_wanted: impl Fn(&Test) -> bool,
) -> (Vec<CheckedTest>, Vec<Diagnostic>) {
    let mut findings = Findings::default();
    let names = BTreeMap::new();
    let known = test_block::Known::new(policies, &names, &BTreeSet::new(), &findings);
    let mut session = Session::default();
    let items = tree.file().into_iter().flat_map(|file| file.items());
    let wanted = items.filter_map(|item| match item {
        Item::Test(node) => is_wanted(&node).then_some(node),
        _ => None,
    });
    let tests = wanted.filter_map(|node| known.check(&node, tree, &mut session, &mut findings)).collect();
    (tests, findings.into_vec())
}
