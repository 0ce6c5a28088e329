//! `test` blocks.

use super::policy::OTHERWISE;
use super::session::Session;
use super::target::service_ref;
use super::weight::steps_of_asking;
use super::{TEST_TRUST_DOMAIN, errors, leaving, request};
use crate::budget::Work;
use crate::checked::{
    CheckedPolicy, CheckedTest, Destination, Expectation, ExpectedWay, ExpectedWayKind, HeaderExpectation,
    Message, TestCase, Verdict,
};
use crate::decision::{DEFAULT_DENY, REFUSALS, UNRESTRICTED};
use crate::diagnostic::{Diagnostic, Findings};
use crate::lex::literal;
use crate::source::Span;
use crate::syntax::ast::{AstNode, Expect, ExpectKind, Given, RuleName, Test};
use crate::syntax::{SyntaxKind, SyntaxToken, SyntaxTree};
use errors::warnings;
use std::collections::{BTreeMap, BTreeSet};

/// How often a request may be repeated.
const REPEAT_MAX: i64 = 1_000;

/// How long the requests of a case may take: a year, in which every bucket fills.
const WITHIN_MS_MAX: u64 = 366 * 86_400_000;

/// What asking a module about a request counts among the steps of tests.
const STEPS_PER_REQUEST: u64 = 300;

/// The policies of all files, as tests speak of them.
pub(super) struct Known<'a> {
    policies: Vec<&'a CheckedPolicy>,
    /// What asking each of them about a request counts.
    weights: Vec<u64>,
    /// The numbers of the policies by name.
    numbers: BTreeMap<&'a str, usize>,
    /// The names of policies of all kinds, also of those that are wrong.
    names: &'a BTreeMap<String, Span>,
    /// Policies in which something is wrong.
    wrong: BTreeSet<usize>,
    /// By name without the policy's and by whole name, in which policies a rule is.
    rules: BTreeMap<String, Vec<usize>>,
}

impl<'a> Known<'a> {
    /// The policies, with what has been found in them.
    pub(super) fn new(
        policies: impl IntoIterator<Item = &'a CheckedPolicy>,
        names: &'a BTreeMap<String, Span>,
        incomplete: &BTreeSet<String>,
        findings: &Findings,
    ) -> Self {
        let policies: Vec<&CheckedPolicy> = policies.into_iter().collect();
        let mut numbers = BTreeMap::new();
        let mut rules: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut wrong = BTreeSet::new();
        for (number, policy) in policies.iter().enumerate() {
            numbers.entry(policy.name.as_str()).or_insert(number);
            for id in policy.ids() {
                if let Some((_, short)) = id.split_once('/') {
                    rules.entry(short.to_owned()).or_default().push(number);
                }
                rules.entry(id.to_string()).or_default().push(number);
            }
            let is_in = |found: &Diagnostic| found.is_error() && policy.span.contains(found.primary.span);
            if incomplete.contains(&policy.name) || findings.is_full() || findings.iter().any(is_in) {
                wrong.insert(number);
            }
        }
        let weights = policies.iter().map(|policy| steps_of_asking(policy)).collect();
        Self { policies, weights, numbers, names, wrong, rules }
    }

    /// The test, without what is wrong in it. `None` if none of its policies is known.
    pub(super) fn check(
        &self,
        node: &Test,
        tree: &SyntaxTree,
        session: &mut Session,
        diagnostics: &mut Findings,
    ) -> Option<CheckedTest> {
        let mut tested: Vec<usize> = Vec::new();
        for token in node.policies() {
            match self.numbers.get(token.text()) {
                Some(number) => {
                    let is_filter = |policy: &&CheckedPolicy| policy.filter().is_some();
                    if self.policies.get(*number).is_some_and(is_filter) {
                        diagnostics.push(errors::filter::tested(tree.span(token.text_range()), token.text()));
                    }
                    tested.push(*number);
                }
                // A policy of another kind has been reported.
                None if self.names.contains_key(token.text()) => {}
                None => {
                    let known = self.policies.iter().map(|policy| policy.name.as_str());
                    let near = session.nearest(token.text(), self.policies.len(), known);
                    let place = tree.span(token.text_range());
                    diagnostics.push(errors::unknown_policy(place, token.text(), near));
                }
            }
        }
        if tested.is_empty() {
            return None;
        }
        if node.cases().next().is_none() {
            diagnostics.push(warnings::nothing_tested(tree.span(node.range())));
        }
        let named = tested.iter().filter_map(|number| self.policies.get(*number));
        let names = named.map(|policy| policy.name.clone()).collect();
        let first = tested.first().and_then(|number| self.policies.get(*number));
        let scope = first.and_then(|policy| leaving::scope_of(policy));
        let tested: BTreeSet<usize> = tested.into_iter().collect();
        let is_wrong = tested.iter().any(|number| self.wrong.contains(number));
        let weights = tested.iter().filter_map(|number| self.weights.get(*number));
        let weight = weights.fold(0_u64, |sum, weight| sum.saturating_add(*weight));
        let mut policies = tested.iter().filter_map(|number| self.policies.get(*number));
        let has_limits = policies.any(|policy| !policy.limits().is_empty());
        let mut around =
            Surroundings { tree, known: self, tested, is_wrong, weight, has_limits, session, diagnostics };
        let mut cases: Vec<TestCase> = node.cases().filter_map(|case| around.case(&case)).collect();
        let leaving = scope.map(|scope| leaving::check(node, scope, tree, around.diagnostics));
        match &leaving {
            Some(leaving) => cases.iter_mut().for_each(|case| leaving::send(case, leaving)),
            None => leaving::none(node, tree, around.diagnostics),
        }
        Some(CheckedTest {
            name: node.title().map(|token| literal::string(token.text())).unwrap_or_default(),
            policies: names,
            leaving,
            cases,
            span: tree.span(node.range()),
        })
    }

    /// Whether one of these policies has a rule of this name.
    fn has_rule(&self, name: &str, tested: &BTreeSet<usize>) -> bool {
        let having = self.rules.get(name).map(Vec::as_slice).unwrap_or_default();
        match having.len() < tested.len() {
            true => having.iter().any(|number| tested.contains(number)),
            // They are in the order of the policies.
            false => tested.iter().any(|number| having.binary_search(number).is_ok()),
        }
    }
}

/// What a test stands in.
struct Surroundings<'a> {
    tree: &'a SyntaxTree,
    known: &'a Known<'a>,
    /// The policies under test.
    tested: BTreeSet<usize>,
    /// Whether something is wrong in one of them: a rule that is wrong is not among the policy's.
    is_wrong: bool,
    /// What asking all of them about a request counts.
    weight: u64,
    /// Whether one of them has limits, so that one request can be decided in two ways.
    has_limits: bool,
    session: &'a mut Session,
    diagnostics: &'a mut Findings,
}

impl Surroundings<'_> {
    fn case(&mut self, node: &Given) -> Option<TestCase> {
        let repeat = match node.repeat() {
            Some(token) => self.repeat(&token)?,
            None => 1,
        };
        let within_ms = match node.within() {
            Some(token) => self.within(&token)?,
            None => 0,
        };
        // Without limits the evaluator, which asks every rule, is asked once; the module is asked each time.
        let evaluated = if self.has_limits { u64::from(repeat) } else { 1 };
        let steps = u64::from(repeat) * STEPS_PER_REQUEST;
        let steps = steps.saturating_add(self.weight.saturating_mul(evaluated));
        self.session.spend(Work::TestSteps, steps, self.tree.span(node.range()), self.diagnostics)?;
        let request = request::check(&node.request()?, self.tree, TEST_TRUST_DOMAIN, self.diagnostics);
        let response = request::response(&node.request()?, self.tree, self.diagnostics);
        let is = |kind: ExpectKind| move |node: &Expect| node.kind() == Some(kind);
        let (of_headers, others): (Vec<Expect>, Vec<Expect>) =
            node.expectations().partition(is(ExpectKind::Header));
        let (of_logs, others): (Vec<Expect>, Vec<Expect>) =
            others.into_iter().partition(is(ExpectKind::Logged));
        let headers = of_headers.iter().filter_map(|expectation| self.header(expectation)).collect();
        let expect: Vec<Expectation> =
            others.iter().filter_map(|expectation| self.expectation(expectation)).collect();
        self.counts_fit(&expect, repeat);
        let mut logged = None;
        for expectation in of_logs {
            if let Some(token) = expectation.count() {
                self.diagnostics.push(errors::counted_log(self.tree.span(token.text_range())));
            }
            logged = Some(expectation.negation().is_none());
        }
        let ways = others.iter().filter_map(|expectation| self.way(expectation)).collect();
        let (request, response, span) = (request?, response?, self.tree.span(node.range()));
        Some(TestCase { repeat, within_ms, request, response, expect, headers, ways, logged, span })
    }

    fn within(&mut self, token: &SyntaxToken) -> Option<u64> {
        let within = literal::duration_ms(token.text()).and_then(|ms| u64::try_from(ms).ok());
        let fitting = within.filter(|ms| *ms <= WITHIN_MS_MAX);
        if fitting.is_none() {
            self.diagnostics.push(errors::long_within(self.tree.span(token.text_range())));
        }
        fitting
    }

    fn repeat(&mut self, token: &SyntaxToken) -> Option<u32> {
        let value = literal::int(token.text())?;
        if (1..=REPEAT_MAX).contains(&value) {
            return u32::try_from(value).ok();
        }
        self.diagnostics.push(errors::bad_repeat(self.tree.span(token.text_range()), REPEAT_MAX));
        None
    }

    /// Says if counts cannot be: all that are stated together are no more than there are requests.
    fn counts_fit(&mut self, expect: &[Expectation], repeat: u32) {
        let mut counted =
            expect.iter().filter_map(|expectation| expectation.count.zip(Some(expectation.span)));
        let Some((first, place)) = counted.next() else { return };
        let (sum, place) = counted.fold((first, place), |(sum, place), (count, span)| {
            let end = Span { end: span.end, ..place };
            (sum.saturating_add(count), end)
        });
        let all_counted = expect.iter().all(|expectation| expectation.count.is_some());
        if sum > repeat || (all_counted && sum < repeat) {
            self.diagnostics.push(errors::other_number_of_answers(place, sum, repeat));
        }
        let same = |one: &Expectation, other: &Expectation| {
            let counted = one.count.is_some() && other.count.is_some();
            counted && (one.verdict, one.status, &one.by) == (other.verdict, other.status, &other.by)
        };
        for (at, one) in expect.iter().enumerate() {
            if expect.iter().take(at).any(|earlier| same(earlier, one)) {
                self.diagnostics.push(errors::counted_twice(one.span));
            }
        }
    }

    fn header(&mut self, node: &Expect) -> Option<HeaderExpectation> {
        let span = self.tree.span(node.range());
        if let Some(count) = node.count() {
            self.diagnostics.push(errors::counted_header(self.tree.span(count.text_range())));
            return None;
        }
        let token = node.header()?;
        let name = match token.kind() {
            SyntaxKind::String => literal::string(token.text()),
            _ => token.text().to_owned(),
        };
        let value = match node.is_negated() {
            true => None,
            false => Some(literal::string(node.value()?.text()).into_bytes()),
        };
        let message = if node.is_of_response() { Message::Response } else { Message::Request };
        Some(HeaderExpectation { message, header: name.to_ascii_lowercase(), value, span })
    }

    fn expectation(&mut self, node: &Expect) -> Option<Expectation> {
        match node.kind()? {
            ExpectKind::Allow => self.verdict(node, Verdict::Allow),
            ExpectKind::Deny => self.verdict(node, Verdict::Deny),
            ExpectKind::Limited => self.verdict(node, Verdict::Limited),
            // These are looked at apart.
            ExpectKind::To | ExpectKind::Header | ExpectKind::Logged => None,
        }
    }

    /// Where the request is expected to go, if this says so.
    fn way(&mut self, node: &Expect) -> Option<ExpectedWay> {
        if node.kind()? != ExpectKind::To {
            return None;
        }
        let kind = match node.location() {
            Some(token) => ExpectedWayKind::Redirected(literal::string(token.text())),
            None => {
                let service = service_ref(&node.service()?)?;
                ExpectedWayKind::To(Destination {
                    service,
                    version: node.version().map(|name| name.text().to_owned()),
                })
            }
        };
        Some(ExpectedWay { kind, span: self.tree.span(node.range()) })
    }

    fn verdict(&mut self, node: &Expect, verdict: Verdict) -> Option<Expectation> {
        let count = match node.count() {
            // More than there are requests is said of all together.
            Some(token) => Some(u32::try_from(literal::int(token.text())?).unwrap_or(u32::MAX)),
            None => None,
        };
        let mut status = None;
        if let Some(token) = node.status() {
            if verdict == Verdict::Allow {
                self.diagnostics.push(errors::status_of_allowed(self.tree.span(token.text_range())));
                return None;
            }
            status = Some(u16::try_from(literal::int(token.text())?).unwrap_or(u16::MAX));
        }
        let by = match node.by() {
            Some(name) => Some(self.rule_name(&name)?),
            None => None,
        };
        Some(Expectation { count, verdict, status, by, span: self.tree.span(node.range()) })
    }

    /// A rule of the policies under test: `rule` or `policy/rule`.
    fn rule_name(&mut self, node: &RuleName) -> Option<String> {
        let written = node.text();
        let fixed = [DEFAULT_DENY, UNRESTRICTED];
        let is_fixed = fixed.iter().chain(&REFUSALS).any(|fixed| *fixed == written);
        if self.is_wrong || is_fixed || self.known.has_rule(&written, &self.tested) {
            return Some(written);
        }
        let rules = || {
            let policies = self.tested.iter().filter_map(|number| self.known.policies.get(*number));
            policies.flat_map(|policy| policy.ids()).collect::<Vec<_>>()
        };
        let ids = rules();
        let short = ids.iter().filter_map(|id| id.split_once('/')).map(|(_, name)| name);
        let known = short.chain(ids.iter().map(|id| &**id)).chain(fixed).chain([OTHERWISE]);
        let count = ids.len();
        let near = self.session.nearest(&written, count, known);
        self.diagnostics.push(errors::unknown_rule(self.tree.span(node.range()), &written, near));
        None
    }
}
