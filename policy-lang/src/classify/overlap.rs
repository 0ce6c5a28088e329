//! Whether two guards can match one request, and which.
//!
//! Each is a conjunction of literals; they meet if of every attribute there is a class in which the literals of both
//! hold. The classes of an attribute are exact. That two attributes have values which exclude each other is not
//! known, as of `request.size < 9` and `request.size > 9`, which are two conditions: so two guards may be said to
//! meet that never do, and those that are said not to meet never do.

use super::{AttributeClasses, AttributeKind, Class, ClassLimits, Predicates, Stop, attributes};
use crate::checked::{Attribute, Guard};
use crate::literals::{attribute_text, expression_text, literals_of};
use std::collections::{BTreeMap, BTreeSet};

/// Classes of two guards are few; more are not worked out.
const LIMITS: ClassLimits = ClassLimits { members_max: 100_000, star_depths_max: 16 };

/// A request that both guards match, in words; `None` if there is none. Guards that are too large to be compared
/// are taken to meet.
#[must_use]
pub(crate) fn overlap(guards: [&Guard; 2], trust_domain: &str) -> Option<String> {
    let literals = guards.map(literals_of);
    let mut formulas: BTreeMap<_, Predicates> = BTreeMap::new();
    for (subject, formula) in literals.iter().flatten() {
        formulas.entry(subject.clone()).or_default().number(formula);
    }
    let (attributes, places) = match attributes(trust_domain, &formulas, LIMITS) {
        Ok(made) => made,
        Err(Stop::Bug(_) | Stop::Overlap(..)) => return Some(String::new()),
    };
    let mut wanted: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); attributes.len()];
    for (subject, formula) in literals.iter().flatten() {
        let place = places.get(subject);
        let number = formulas.get(subject).and_then(|predicates| predicates.numbers.get(formula));
        if let (Some(place), Some(number)) = (place, number)
            && let Some(wanted) = wanted.get_mut(place.attribute)
        {
            wanted.insert(place.offset + number);
        }
    }
    let mut words = Words::default();
    for (attribute, wanted) in attributes.iter().zip(&wanted) {
        // Class 0 is the one that nothing names: another is better to be shown.
        let classes = attribute.classes.iter().skip(1).chain(attribute.classes.first());
        let class =
            classes.into_iter().find(|class| wanted.iter().all(|number| holds(attribute, class, *number)))?;
        words.add(attribute, class);
    }
    Some(words.text())
}

fn holds(attribute: &AttributeClasses, class: &Class, predicate: usize) -> bool {
    let base = attribute.base.get(predicate).copied().unwrap_or(false);
    base != class.flips.iter().any(|flip| *flip as usize == predicate)
}

/// The parts of a request that are named.
#[derive(Default)]
struct Words {
    method: Option<String>,
    path: Option<String>,
    others: Vec<String>,
}

impl Words {
    fn add(&mut self, attribute: &AttributeClasses, class: &Class) {
        let witness = &class.witness;
        match &attribute.kind {
            AttributeKind::Text(Attribute::Header(name), _) if &**name == super::METHOD_HEADER => {
                self.method = Some(witness.trim_matches('"').to_owned());
            }
            AttributeKind::Text(asked, _) => {
                self.others.push(format!("{} is {witness}", attribute_text(asked)))
            }
            AttributeKind::Path(_) => self.path = Some(concrete(witness)),
            AttributeKind::Identity(_) => self.others.push(format!("the caller is {witness}")),
            AttributeKind::Ip(_) => self.others.push(format!("source.ip is {witness}")),
            AttributeKind::Condition(condition) => {
                self.others.push(format!("{} is {witness}", expression_text(&condition.expr)));
            }
        }
    }

    fn text(&self) -> String {
        let line =
            format!("{} {}", self.method.as_deref().unwrap_or("GET"), self.path.as_deref().unwrap_or("/"));
        match self.others.is_empty() {
            true => line,
            false => format!("{line} where {}", self.others.join(" and ")),
        }
    }
}

/// A path with something in the place of each `*` that no pattern has in mind.
fn concrete(witness: &str) -> String {
    witness.replace("/*", "/any")
}
