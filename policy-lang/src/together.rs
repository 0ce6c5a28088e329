//! All policies of a set together: whether they agree, and whether what is made of them is small enough.
//!
//! A set can concern thousands of workloads. For each of them only what can go wrong is worked out: that
//! policies contradict each other is seen from their headers; a module can be refused for its size or its
//! cost, or a constant for its steps, only where there is something to make it so, and only then it is made.

use crate::budget::{Budget, Work};
use crate::bug::{Bug, CompileError};
use crate::checked::{
    Attribute, BinaryOp, CheckedPolicy, Direction, Expr, ExprKind, PathPattern, Rule, Segment, Value,
};
use crate::diagnostic::{Diagnostic, FINDINGS_MAX};
use crate::emit::{CLASS_MEMBERS_MAX, MODULE_BYTES_MAX, compile, table_bytes};
use crate::link::{Index, link_within};
use crate::linked::Workload;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// The most bytes of a module that a part of a rule makes, beside the texts and automata that it names.
const BYTES_PER_PART_MAX: usize = 1_024;
/// The most bytes of a module without rules.
const EMPTY_MODULE_BYTES_MAX: usize = 64 << 10;
/// What making a module counts beside the parts of its rules.
const PARTS_PER_MODULE: u64 = 50;
/// So many policies that are looked at for a workload count as one part that is linked.
const POLICIES_PER_PART: usize = 4;

/// What is wrong with policies where they meet, each thing once: contradictions, and what is too large.
///
/// # Errors
/// If an invariant of the compiler does not hold.
pub fn check_together<'w>(
    policies: &[CheckedPolicy],
    workloads: impl IntoIterator<Item = &'w Workload>,
    budget: &mut Budget,
) -> Result<Vec<Diagnostic>, Bug> {
    let mut check = Check {
        weights: policies.iter().map(|policy| (policy.name.as_str(), Weight::of(policy))).collect(),
        index: Index::new(policies),
        found: Vec::new(),
        budget,
    };
    let mut suspects: Vec<(Weight, &Workload)> = Vec::new();
    for workload in workloads {
        if check.is_full() {
            return Ok(check.found);
        }
        suspects.extend(check.headers(workload, Direction::Inbound).map(|weight| (weight, workload)));
    }
    // The largest first: when those are accepted that there is time for, smaller ones are, too.
    suspects.sort_by_key(|(weight, _)| Reverse(weight.bytes));
    let mut made: BTreeSet<Vec<&str>> = BTreeSet::new();
    for (at, (weight, workload)) in suspects.iter().enumerate() {
        let is_too_dear =
            check.budget.left(Work::LinkedParts) < weight.parts.saturating_add(PARTS_PER_MODULE);
        if check.is_full() || (at > 0 && is_too_dear) {
            break;
        }
        let concerned = check.index.concerned(workload, Direction::Inbound);
        let names = concerned.policies.iter().map(|policy| policy.name.as_str()).collect();
        if made.insert(names) || weight.is_of_workload {
            check.module(concerned.policies, workload, Direction::Inbound)?;
        }
    }
    Ok(check.found)
}

struct Check<'a, 'b> {
    weights: BTreeMap<&'a str, Weight>,
    index: Index<'a>,
    found: Vec<Diagnostic>,
    budget: &'b mut Budget,
}

impl Check<'_, '_> {
    fn is_full(&self) -> bool {
        self.found.len() >= FINDINGS_MAX || self.budget.left(Work::LinkedParts) == 0
    }

    /// Finds contradictions; gives what a program for the workload weighs if it can be refused for something
    /// else.
    fn headers(&mut self, workload: &Workload, direction: Direction) -> Option<Weight> {
        let concerned = self.index.concerned(workload, direction);
        let first = concerned.policies.first()?;
        let parts = (concerned.looked_at / POLICIES_PER_PART) as u64 + 1;
        if let Err(overrun) = self.budget.spend(Work::LinkedParts, parts, first.name_span) {
            self.add(vec![overrun.diagnostic()]);
            return None;
        }
        let conflicts = concerned.conflicts(workload, direction);
        if !conflicts.is_empty() {
            self.add(conflicts);
            return None;
        }
        let mut whole = Weight::default();
        let weights = concerned.policies.iter().filter_map(|policy| self.weights.get(policy.name.as_str()));
        weights.for_each(|weight| whole.add(weight));
        (whole.can_be_too_costly() || whole.can_be_too_large()).then_some(whole)
    }

    /// Links and compiles policies for a workload.
    fn module(
        &mut self,
        policies: Vec<&CheckedPolicy>,
        workload: &Workload,
        direction: Direction,
    ) -> Result<(), Bug> {
        let Some(first) = policies.first() else { return Ok(()) };
        self.budget.settle(Work::LinkedParts, PARTS_PER_MODULE, first.name_span);
        let policies: Vec<CheckedPolicy> = policies.into_iter().cloned().collect();
        let program = match link_within(&policies, workload, direction, self.budget) {
            Ok(Some(program)) => program,
            Ok(None) => return Ok(()),
            Err(refused) => {
                self.add(refused);
                return Ok(());
            }
        };
        match compile(&program) {
            Ok(_) => {}
            Err(CompileError::Refused(refused)) => self.add(refused),
            Err(CompileError::Bug(bug)) => return Err(bug),
        }
        Ok(())
    }

    fn add(&mut self, new: Vec<Diagnostic>) {
        for diagnostic in new {
            if self.found.len() < FINDINGS_MAX && !self.found.contains(&diagnostic) {
                self.found.push(diagnostic);
            }
        }
    }
}

/// What is known of policies before they are linked.
#[derive(Default)]
struct Weight {
    /// The most bytes of a module that they make.
    bytes: usize,
    /// How many statements they have.
    statements: usize,
    /// How many parts those have.
    parts: u64,
    /// Whether something in them takes longer the longer a request is.
    is_dear: bool,
    /// How many things of the request they look up or walk, each of which costs for every byte.
    looked_up: usize,
    /// Whether something in them has to be computed for each workload anew.
    is_of_workload: bool,
}

/// With more look-ups than these the module is made, which tells what they cost.
const LOOKED_UP_MAX: usize = 8;

impl Weight {
    fn of(policy: &CheckedPolicy) -> Self {
        let mut this = Self::default();
        policy.rules.iter().for_each(|rule| this.add_rule(rule));
        this
    }

    fn add(&mut self, other: &Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.statements += other.statements;
        self.parts = self.parts.saturating_add(other.parts);
        self.is_of_workload |= other.is_of_workload;
        self.is_dear |= other.is_dear;
        self.looked_up += other.looked_up;
    }

    /// Whether a decision can take more steps than are allowed.
    fn can_be_too_costly(&self) -> bool {
        self.is_dear || self.looked_up > LOOKED_UP_MAX
    }

    /// Whether a module, or the classes that it is made of, can be larger than is allowed.
    fn can_be_too_large(&self) -> bool {
        let members = (self.statements as u64).saturating_mul(self.parts);
        self.bytes.saturating_add(EMPTY_MODULE_BYTES_MAX) > MODULE_BYTES_MAX
            || members > CLASS_MEMBERS_MAX as u64
    }

    fn add_rule(&mut self, rule: &Rule) {
        self.statements += 1;
        let guard = &rule.guard;
        let segments: usize = guard.paths.iter().map(|path| path.segments.len()).sum();
        let texts: usize = guard.paths.iter().flat_map(|path| &path.segments).map(segment_bytes).sum();
        let has_star = |path: &&PathPattern| path.segments.contains(&Segment::Any);
        self.looked_up += guard.paths.iter().filter(has_star).count();
        // Paths with `*` at different depths and peers of two kinds stand as entries of their own.
        let entries = 2 * guard.paths.len().max(1);
        let parts = entries * (1 + guard.methods.len() + guard.peers.len()) + segments;
        let body = rule.respond.as_ref().map_or(0, |respond| respond.body.len());
        self.parts += parts as u64;
        self.bytes += parts * BYTES_PER_PART_MAX + texts + body + rule.id.len();
        if let Some(condition) = &guard.condition {
            self.add_expression(condition);
        }
    }

    fn add_expression(&mut self, expr: &Expr) {
        self.bytes += BYTES_PER_PART_MAX;
        self.parts += 1;
        match &expr.kind {
            ExprKind::Literal(Value::String(text)) => self.bytes += text.len(),
            ExprKind::Literal(Value::List(elements)) => {
                self.parts += elements.len() as u64;
                self.bytes += elements.iter().map(|text| BYTES_PER_PART_MAX + text.len()).sum::<usize>();
            }
            ExprKind::Matches(_, regex) => {
                self.bytes += table_bytes(regex.dfa());
                self.is_dear = true;
            }
            ExprKind::Call(..)
            | ExprKind::Quantify { .. }
            | ExprKind::Convert(..)
            | ExprKind::Conditional(..) => self.is_dear = true,
            // What is compared with a constant is looked up once for all constants; two texts are walked.
            ExprKind::Binary(operator, left, right) if !matches!(operator, BinaryOp::And | BinaryOp::Or) => {
                let is_constant = |expr: &Expr| matches!(expr.kind, ExprKind::Literal(_));
                self.is_dear |= !is_constant(left) && !is_constant(right);
            }
            ExprKind::Attribute(Attribute::Header(_) | Attribute::Query(_)) => self.looked_up += 1,
            ExprKind::Attribute(
                Attribute::TargetService | Attribute::TargetNamespace | Attribute::TargetLabel(_),
            ) => self.is_of_workload = true,
            _ => {}
        }
        expr.parts().into_iter().for_each(|part| self.add_expression(part));
    }
}

fn segment_bytes(segment: &Segment) -> usize {
    match segment {
        Segment::Literal(text) => text.len(),
        Segment::Any => 0,
    }
}
