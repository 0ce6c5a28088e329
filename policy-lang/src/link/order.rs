//! The order in which rules are asked, computed from what they say.
//!
//! Rules of one effect stand together by their *pivot*, the literal by which they are found: of
//! the literals that are false for most requests the one of the cheapest subject that the fewest
//! rules share. Among rules that share it, those with common further literals stand together. So
//! the words that `tabulate` makes of neighbours have as few tests as possible, and the rule that
//! is named when several match does not depend on where any of them was written.

use crate::checked::{Choice, Fault, Guard, Sample};
use crate::linked::{LinkedHeader, LinkedLimit, LinkedRule};
use crate::literals::{Formula, Literals, Subject, expression_text, literals_of};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

/// What decides the place of a statement. The derived order is the order in which they are asked.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key<First, Last> {
    first: First,
    /// Statements that nothing finds are asked last.
    no_pivot: bool,
    pivot: Option<(Subject, Formula)>,
    rest: Vec<(Reverse<u32>, Subject, Formula)>,
    last: Last,
}

/// Sorts rules into decision order.
pub(super) fn sort_rules(rules: &mut Vec<LinkedRule>) {
    let last = |linked: &LinkedRule| (linked.rule.id.clone(), linked.rule.respond.clone(), linked.shadow);
    sort(rules, |linked| &linked.rule.guard, |linked| linked.rule.effect, last);
}

/// Sorts limits into the order in which they are asked.
pub(super) fn sort_limits(limits: &mut Vec<LinkedLimit>) {
    let last = |linked: &LinkedLimit| (linked.limit.id.clone(), linked.shadow);
    sort(limits, |linked| &linked.limit.guard, |_| (), last);
}

/// Sorts operations on headers into the order in which they are asked.
pub(super) fn sort_headers(headers: &mut Vec<LinkedHeader>) {
    let last = |linked: &LinkedHeader| (linked.statement.id.clone(), linked.shadow, linked.late_text());
    sort(headers, |linked| &linked.statement.guard, |_| (), last);
}

/// Sorts samples: the first that matches has the highest rate.
pub(super) fn sort_samples(samples: &mut Vec<Arc<Sample>>) {
    let later = |sample: &Arc<Sample>| sample.later.as_ref().map(|later| expression_text(later));
    sort(
        samples,
        |sample| &sample.guard,
        |sample| Reverse(sample.rate),
        |sample| (sample.passed, later(sample)),
    );
}

/// Sorts faults into the order in which they are asked.
pub(super) fn sort_faults(faults: &mut Vec<Arc<Choice<Fault>>>) {
    sort(faults, |fault| &fault.guard, |_| (), |fault| (fault.id.clone(), fault.does));
}

/// Sorts statements by what decides first, then by what they ask, then by what decides last.
fn sort<T, First: Ord, Last: Ord>(
    statements: &mut Vec<T>,
    guard: impl Fn(&T) -> &Guard,
    first: impl Fn(&T) -> First,
    last: impl Fn(&T) -> Last,
) {
    let literals: Vec<Literals> = statements.iter().map(|statement| literals_of(guard(statement))).collect();
    let sharing = sharing(&literals);
    let place = |(statement, literals): (T, Literals)| {
        let (pivot, rest) = by_literals(literals, &sharing);
        let (first, last) = (first(&statement), last(&statement));
        (Key { first, no_pivot: pivot.is_none(), pivot, rest, last }, statement)
    };
    let mut keyed: Vec<(Key<First, Last>, T)> = statements.drain(..).zip(literals).map(place).collect();
    keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
    statements.extend(keyed.into_iter().map(|(_, statement)| statement));
}

/// How many guards have each literal.
pub(crate) type Sharing = HashMap<(Subject, Formula), u32>;

/// How many guards have each literal.
pub(crate) fn sharing(rules: &[Literals]) -> Sharing {
    let mut sharing = Sharing::new();
    for (subject, formula) in rules.iter().flatten() {
        *sharing.entry((subject.clone(), formula.clone())).or_insert(0) += 1;
    }
    sharing
}

/// The subject by whose literal a rule is found, if there is one.
pub(crate) fn pivot<'a>(literals: &'a Literals, sharing: &Sharing) -> Option<&'a Subject> {
    let selecting = literals.iter().filter(|(subject, formula)| subject.selects(formula));
    let ranked = selecting.map(|(subject, formula)| {
        let shared_by = sharing.get(&(subject.clone(), formula.clone())).copied().unwrap_or(u32::MAX);
        (subject.pivot_cost(), shared_by, subject)
    });
    ranked.min().map(|(_, _, subject)| subject)
}

/// The literal by which a statement is found, and the others, those first that many share.
#[expect(clippy::type_complexity, reason = "two parts of a key, named where they are kept")]
fn by_literals(
    mut literals: Literals,
    sharing: &Sharing,
) -> (Option<(Subject, Formula)>, Vec<(Reverse<u32>, Subject, Formula)>) {
    let subject = pivot(&literals, sharing).cloned();
    let pivot = subject.and_then(|subject| literals.remove_entry(&subject));
    let mut rest: Vec<_> = literals
        .into_iter()
        .map(|literal| {
            let shared_by = sharing.get(&literal).copied().unwrap_or(0);
            (Reverse(shared_by), literal.0, literal.1)
        })
        .collect();
    rest.sort();
    (pivot, rest)
}
