//! `test` blocks.

use super::policy::OTHERWISE;
use super::{KnownPolicies, TEST_TRUST_DOMAIN, errors, request};
use crate::checked::{CheckedPolicy, CheckedTest, Expectation, TestCase};
use crate::decision::{BAD_PATH, DEFAULT_DENY, UNRESTRICTED};
use crate::diagnostic::Diagnostic;
use crate::diagnostic::near::nearest;
use crate::lex::literal;
use crate::source::Span;
use crate::syntax::ast::{AstNode, Expect, ExpectKind, Given, RuleName, Test};
use crate::syntax::{SyntaxToken, SyntaxTree};
use errors::{later, warnings};
use std::collections::BTreeMap;

/// How often a request may be repeated.
const REPEAT_MAX: i64 = 1_000;

/// What a test stands in.
struct Surroundings<'a> {
    tree: &'a SyntaxTree,
    /// The policies under test.
    tested: Vec<&'a CheckedPolicy>,
    diagnostics: &'a mut Vec<Diagnostic>,
}

/// The test, without what is wrong in it. `None` if none of its policies is known.
pub(super) fn check(
    node: &Test,
    tree: &SyntaxTree,
    policies: &KnownPolicies<'_>,
    names: &BTreeMap<String, Span>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<CheckedTest> {
    let mut tested: Vec<&CheckedPolicy> = Vec::new();
    for token in node.policies() {
        match policies.get(token.text()) {
            Some(policy) => tested.push(*policy),
            // A policy of another kind has been reported.
            None if names.contains_key(token.text()) => {}
            None => {
                let near = nearest(token.text(), policies.keys().copied());
                diagnostics.push(errors::unknown_policy(tree.span(token.text_range()), token.text(), near));
            }
        }
    }
    if tested.is_empty() {
        return None;
    }
    if node.cases().next().is_none() {
        diagnostics.push(warnings::nothing_tested(tree.span(node.range())));
    }
    let names = tested.iter().map(|policy| policy.name.clone()).collect();
    let mut around = Surroundings { tree, tested, diagnostics };
    let cases = node.cases().filter_map(|case| around.case(&case)).collect();
    Some(CheckedTest {
        name: node.title().map(|token| literal::string(token.text())).unwrap_or_default(),
        policies: names,
        cases,
        span: tree.span(node.range()),
    })
}

impl Surroundings<'_> {
    fn case(&mut self, node: &Given) -> Option<TestCase> {
        let repeat = match node.repeat() {
            Some(token) => self.repeat(&token)?,
            None => 1,
        };
        if let Some(token) = node.within() {
            self.diagnostics.push(later::test(self.tree.span(token.text_range()), "`within`"));
        }
        let request = request::check(&node.request()?, self.tree, TEST_TRUST_DOMAIN, self.diagnostics);
        let expect: Vec<Expectation> =
            node.expectations().filter_map(|expectation| self.expectation(&expectation)).collect();
        Some(TestCase { repeat, request: request?, expect, span: self.tree.span(node.range()) })
    }

    fn repeat(&mut self, token: &SyntaxToken) -> Option<u32> {
        let value = literal::int(token.text())?;
        if (1..=REPEAT_MAX).contains(&value) {
            return u32::try_from(value).ok();
        }
        self.diagnostics.push(errors::bad_repeat(self.tree.span(token.text_range()), REPEAT_MAX));
        None
    }

    fn expectation(&mut self, node: &Expect) -> Option<Expectation> {
        let span = self.tree.span(node.range());
        let what = match node.kind()? {
            ExpectKind::Allow | ExpectKind::Deny if node.count().is_some() => "a number of answers",
            ExpectKind::Allow => return self.verdict(node, true),
            ExpectKind::Deny => return self.verdict(node, false),
            ExpectKind::Limited => "`limited`",
            ExpectKind::To => "`to`",
            ExpectKind::Logged => "`logged`",
            ExpectKind::Header => "`header`",
        };
        self.diagnostics.push(later::test(span, what));
        None
    }

    fn verdict(&mut self, node: &Expect, allow: bool) -> Option<Expectation> {
        let mut status = None;
        if let Some(token) = node.status() {
            if allow {
                self.diagnostics.push(errors::status_of_allowed(self.tree.span(token.text_range())));
                return None;
            }
            status = Some(u16::try_from(literal::int(token.text())?).unwrap_or(u16::MAX));
        }
        let by = match node.by() {
            Some(name) => Some(self.rule_name(&name)?),
            None => None,
        };
        Some(Expectation { allow, status, by, span: self.tree.span(node.range()) })
    }

    /// A rule of the policies under test: `rule` or `policy/rule`.
    fn rule_name(&mut self, node: &RuleName) -> Option<String> {
        let written = node.text();
        let mut known: Vec<String> = [DEFAULT_DENY, BAD_PATH, UNRESTRICTED].map(str::to_owned).into();
        for policy in &self.tested {
            known.extend(policy.rules.iter().map(|rule| rule.id.to_string()));
            known.extend(policy.otherwise.iter().map(|_| format!("{}/{OTHERWISE}", policy.name)));
        }
        let short = known.iter().filter_map(|id| id.split_once('/')).map(|(_, name)| name.to_owned());
        let all: Vec<String> = short.chain(known.iter().cloned()).collect();
        // A rule that is wrong has been reported and is not among the policy's.
        let is_wrong = |policy: &&CheckedPolicy| {
            self.diagnostics.iter().any(|found| found.is_error() && policy.span.contains(found.primary.span))
        };
        if all.contains(&written) || self.tested.iter().any(is_wrong) {
            return Some(written);
        }
        let near = nearest(&written, all.iter().map(String::as_str));
        self.diagnostics.push(errors::unknown_rule(self.tree.span(node.range()), &written, near));
        None
    }
}
