//! All policies of a set together: whether they agree, and whether what is made of them is small enough.
//!
//! A set can concern thousands of workloads. For each of them only what can go wrong is worked out: that
//! policies contradict each other is seen from their headers; a module can be refused for its size or its
//! cost, or a constant for its steps, only where there is something to make it so, and only then it is made.

use crate::budget::{Budget, Work};
use crate::bug::{Bug, CompileError};
use crate::checked::{Attribute, CheckedPolicy, Direction, Expr, ExprKind, Rule, Value};
use crate::diagnostic::{Diagnostic, FINDINGS_MAX};
use crate::emit::{MODULE_BYTES_MAX, compile, table_bytes};
use crate::link::{Index, link_within};
use crate::linked::Workload;
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
        made: BTreeSet::new(),
        found: Vec::new(),
        budget,
    };
    for workload in workloads {
        if check.found.len() >= FINDINGS_MAX || check.budget.left(Work::LinkedParts) == 0 {
            break;
        }
        check.workload(workload, Direction::Inbound)?;
    }
    Ok(check.found)
}

struct Check<'a, 'b> {
    weights: BTreeMap<&'a str, Weight>,
    index: Index<'a>,
    /// The sets of policies that were linked and compiled.
    made: BTreeSet<Vec<&'a str>>,
    found: Vec<Diagnostic>,
    budget: &'b mut Budget,
}

impl Check<'_, '_> {
    fn workload(&mut self, workload: &Workload, direction: Direction) -> Result<(), Bug> {
        let concerned = self.index.concerned(workload, direction);
        let Some(first) = concerned.policies.first() else { return Ok(()) };
        let parts = (concerned.looked_at / POLICIES_PER_PART) as u64 + 1;
        if let Err(overrun) = self.budget.spend(Work::LinkedParts, parts, first.name_span) {
            self.add(vec![overrun.diagnostic()]);
            return Ok(());
        }
        let conflicts = concerned.conflicts(workload, direction);
        if !conflicts.is_empty() {
            self.add(conflicts);
            return Ok(());
        }
        let names: Vec<&str> = concerned.policies.iter().map(|policy| policy.name.as_str()).collect();
        let mut whole = Weight::default();
        names.iter().filter_map(|name| self.weights.get(name)).for_each(|weight| whole.add(weight));
        let can_be_too_large = whole.bytes.saturating_add(EMPTY_MODULE_BYTES_MAX) > MODULE_BYTES_MAX;
        let can_be_refused = can_be_too_large || whole.is_dear;
        let is_each_apart = whole.is_of_workload && whole.is_dear;
        if !(can_be_refused && (self.made.insert(names) || is_each_apart)) {
            return Ok(());
        }
        if let Err(overrun) = self.budget.spend(Work::LinkedParts, PARTS_PER_MODULE, first.name_span) {
            self.add(vec![overrun.diagnostic()]);
            return Ok(());
        }
        let named: Vec<CheckedPolicy> = concerned.policies.into_iter().cloned().collect();
        let program = match link_within(&named, workload, direction, self.budget) {
            Ok(program) => program,
            Err(refused) => {
                self.add(refused);
                return Ok(());
            }
        };
        if let Some(program) = program.filter(|_| can_be_refused) {
            match compile(&program) {
                Ok(_) => {}
                Err(CompileError::Refused(refused)) => self.add(refused),
                Err(CompileError::Bug(bug)) => return Err(bug),
            }
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
    /// Whether something in them takes longer the longer a request is.
    is_dear: bool,
    /// Whether something in them has to be computed for each workload anew.
    is_of_workload: bool,
}

impl Weight {
    fn of(policy: &CheckedPolicy) -> Self {
        let mut this = Self::default();
        policy.rules.iter().for_each(|rule| this.add_rule(rule));
        this
    }

    fn add(&mut self, other: &Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.is_of_workload |= other.is_of_workload;
        self.is_dear |= other.is_dear;
    }

    fn add_rule(&mut self, rule: &Rule) {
        let guard = &rule.guard;
        let segments: usize = guard.paths.iter().map(|path| path.segments.len()).sum();
        let texts: usize = guard.paths.iter().flat_map(|path| &path.segments).map(segment_bytes).sum();
        // Paths with `*` at different depths and peers of two kinds stand as entries of their own.
        let entries = 2 * guard.paths.len().max(1);
        let parts = entries * (1 + guard.methods.len() + guard.peers.len()) + segments;
        let body = rule.respond.as_ref().map_or(0, |respond| respond.body.len());
        self.bytes += parts * BYTES_PER_PART_MAX + texts + body + rule.id.len();
        if let Some(condition) = &guard.condition {
            self.add_expression(condition);
        }
    }

    fn add_expression(&mut self, expr: &Expr) {
        self.bytes += BYTES_PER_PART_MAX;
        match &expr.kind {
            ExprKind::Literal(Value::String(text)) => self.bytes += text.len(),
            ExprKind::Literal(Value::List(elements)) => {
                self.bytes += elements.iter().map(|text| BYTES_PER_PART_MAX + text.len()).sum::<usize>();
            }
            ExprKind::Matches(_, regex) => {
                self.bytes += table_bytes(regex.dfa());
                self.is_dear = true;
            }
            ExprKind::Call(..) | ExprKind::Quantify { .. } | ExprKind::Convert(..) => self.is_dear = true,
            ExprKind::Attribute(
                Attribute::TargetService | Attribute::TargetNamespace | Attribute::TargetLabel(_),
            ) => self.is_of_workload = true,
            _ => {}
        }
        expr.parts().into_iter().for_each(|part| self.add_expression(part));
    }
}

fn segment_bytes(segment: &crate::checked::Segment) -> usize {
    match segment {
        crate::checked::Segment::Literal(text) => text.len(),
        crate::checked::Segment::Any => 0,
    }
}
