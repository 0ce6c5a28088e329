//! Classes of a text: by the strings that rules compare it with, and by those it begins with.

use super::{AttributeClasses, AttributeKind, Builder, ClassId, Members, Mentions, Stop, mention};
use crate::checked::Attribute;
use crate::literals::{Atom, Formula};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How a text gets its class: absent; else as one of the exact strings; else by the longest prefix;
/// else 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextClasses {
    /// The class of an absent text.
    pub absent: ClassId,
    /// Strings that are compared with.
    pub exact: BTreeMap<Arc<str>, ClassId>,
    /// Beginnings that are asked for.
    pub prefixes: BTreeMap<Arc<str>, ClassId>,
}

pub(super) fn classify(
    attribute: &Attribute,
    predicates: &[Formula],
    members: &mut Members,
) -> Result<AttributeClasses, Stop> {
    let mut exact: BTreeSet<&Arc<str>> = BTreeSet::new();
    let mut prefixes: BTreeSet<Arc<str>> = BTreeSet::new();
    let mut by_exact: Mentions<&str> = Mentions::new();
    let mut by_prefix: Mentions<&str> = Mentions::new();
    for (number, formula) in (0..).zip(predicates) {
        formula.atoms(&mut |atom| match atom {
            Atom::Equals(text) => {
                exact.insert(text);
                mention(&mut by_exact, text.as_ref(), number);
            }
            Atom::StartsWith(text) => {
                prefixes.insert(text.clone());
                mention(&mut by_prefix, text.as_ref(), number);
            }
            _ => {}
        });
    }
    let lengths: BTreeSet<usize> = prefixes.iter().map(|prefix| prefix.len()).collect();
    let beginnings = |text: &str| -> Vec<u32> {
        let begins = lengths.iter().filter_map(|end| text.get(..*end));
        begins.filter_map(|begin| by_prefix.get(begin)).flatten().copied().collect()
    };

    let mut builder = Builder::new(predicates, members, |atom| *atom == Atom::Present);
    let all = builder.all()?;
    let absent = builder.class(&all, Vec::new(), || "absent".to_owned())?;
    let true_of = |text: &str| -> Vec<Atom> {
        let begins = lengths.iter().filter_map(|end| prefixes.get(text.get(..*end)?));
        begins.map(|prefix| Atom::StartsWith(Arc::clone(prefix))).chain([Atom::Present]).collect()
    };
    let mut exact_classes = BTreeMap::new();
    for text in exact {
        let mut candidates = beginnings(text);
        candidates.extend(by_exact.get(text.as_ref()).into_iter().flatten());
        let mut true_atoms = true_of(text);
        true_atoms.push(Atom::Equals(text.clone()));
        let class = builder.class(&candidates, true_atoms, || format!("{text:?}"))?;
        exact_classes.insert(text.clone(), class);
    }
    let mut prefix_classes = BTreeMap::new();
    for text in &prefixes {
        let class = builder.class(&beginnings(text), true_of(text), || format!("{text:?}…"))?;
        prefix_classes.insert(Arc::clone(text), class);
    }
    let (exact, prefixes) = (exact_classes, prefix_classes);
    let classes = TextClasses { absent, exact, prefixes };
    Ok(builder.finish(AttributeKind::Text(attribute.clone(), classes), "other"))
}
