//! Classes of a text: by the strings that rules compare it with, and by those it begins with.

use super::{AttributeClasses, AttributeKind, Builder, ClassId, Mentions, mention};
use crate::bug::Bug;
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

pub(super) fn classify(attribute: &Attribute, predicates: &[Formula]) -> Result<AttributeClasses, Bug> {
    let mut exact: BTreeSet<&Arc<str>> = BTreeSet::new();
    let mut prefixes: BTreeSet<&Arc<str>> = BTreeSet::new();
    let mut by_exact: Mentions<&str> = Mentions::new();
    let mut by_prefix: Mentions<&str> = Mentions::new();
    for (number, formula) in (0..).zip(predicates) {
        formula.atoms(&mut |atom| match atom {
            Atom::Equals(text) => {
                exact.insert(text);
                mention(&mut by_exact, text.as_ref(), number);
            }
            Atom::StartsWith(text) => {
                prefixes.insert(text);
                mention(&mut by_prefix, text.as_ref(), number);
            }
            _ => {}
        });
    }
    let beginnings = |text: &str| -> Vec<u32> {
        let ends = (0..=text.len()).filter_map(|end| text.get(..end));
        ends.filter_map(|begin| by_prefix.get(begin)).flatten().copied().collect()
    };

    let mut builder = Builder::new(predicates, |atom| *atom == Atom::Present);
    let all = builder.all()?;
    let absent = builder.class(&all, |_| false, || "absent".to_owned())?;
    let exact = exact.into_iter().map(|text| {
        let mut candidates = beginnings(text);
        candidates.extend(by_exact.get(text.as_ref()).into_iter().flatten());
        let truth = |atom: &Atom| match atom {
            Atom::Present => true,
            Atom::Equals(other) => other == text,
            Atom::StartsWith(prefix) => text.starts_with(prefix.as_ref()),
            _ => false,
        };
        Ok((text.clone(), builder.class(&candidates, truth, || format!("{text:?}"))?))
    });
    let exact = exact.collect::<Result<_, Bug>>()?;
    let prefixes = prefixes.into_iter().map(|text| {
        let truth = |atom: &Atom| match atom {
            Atom::Present => true,
            Atom::StartsWith(prefix) => text.starts_with(prefix.as_ref()),
            _ => false,
        };
        Ok((text.clone(), builder.class(&beginnings(text), truth, || format!("{text:?}…"))?))
    });
    let prefixes = prefixes.collect::<Result<_, Bug>>()?;
    let classes = TextClasses { absent, exact, prefixes };
    Ok(builder.finish(AttributeKind::Text(attribute.clone(), classes), "other"))
}
