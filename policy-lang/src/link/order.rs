//! The order in which rules are asked, computed from what they say.
//!
//! Rules of one effect stand together by their *pivot*, the literal by which they are found: of
//! the literals that are false for most requests the one of the cheapest subject that the fewest
//! rules share. Among rules that share it, those with common further literals stand together. So
//! the words that `tabulate` makes of neighbours have as few tests as possible, and the rule that
//! is named when several match does not depend on where any of them was written.

use crate::checked::Effect;
use crate::linked::LinkedRule;
use crate::literals::{Formula, Literals, Subject, literals_of};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

/// What decides the place of a rule. The derived order is the decision order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    effect: Effect,
    /// Rules that nothing finds are asked last.
    no_pivot: bool,
    pivot: Option<(Subject, Formula)>,
    rest: Vec<(Reverse<u32>, Subject, Formula)>,
    id: Arc<str>,
    respond: Option<crate::checked::Respond>,
    shadow: bool,
}

/// Sorts rules into decision order.
pub(super) fn sort(rules: &mut Vec<LinkedRule>) {
    let literals: Vec<Literals> = rules.iter().map(|linked| literals_of(&linked.rule.guard)).collect();
    let sharing = sharing(&literals);
    let mut keyed: Vec<(Key, LinkedRule)> = rules
        .drain(..)
        .zip(literals)
        .map(|(linked, literals)| (key(&linked, literals, &sharing), linked))
        .collect();
    keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
    rules.extend(keyed.into_iter().map(|(_, linked)| linked));
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

fn key(linked: &LinkedRule, mut literals: Literals, sharing: &Sharing) -> Key {
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
    Key {
        effect: linked.rule.effect,
        no_pivot: pivot.is_none(),
        pivot,
        rest,
        id: linked.rule.id.clone(),
        respond: linked.rule.respond.clone(),
        shadow: linked.shadow,
    }
}
