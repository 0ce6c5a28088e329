//! Which words of a group must be visited, by the class of its pivot.

use super::{Word, WordRange};
use crate::bug::{Bug, OrBug as _};
use crate::classify::Classes;
use std::collections::BTreeMap;

/// By class of the pivot, the words of the group in which some entry's literal on it holds.
pub(super) fn visits(
    group: &WordRange,
    words: &[Word],
    differences: &[Vec<Vec<(u32, u64)>>],
    classes: &Classes,
) -> Result<Vec<Vec<u32>>, Bug> {
    let Some(pivot) = group.pivot else { return Ok(vec![group.words.clone().collect()]) };
    // Words in which an entry holds in class 0: few, for a pivot is false there as a rule.
    let mut in_base: BTreeMap<u32, u64> = BTreeMap::new();
    for number in group.words.clone() {
        let word = words.get(number as usize).or_bug("a group's words exist")?;
        let test = word.tests.iter().find(|test| test.attribute == pivot);
        let holding = test.or_bug("the entries of a group test its pivot")?.base & word.all;
        if holding != 0 {
            in_base.insert(number, holding);
        }
    }
    let attribute = classes.attributes.get(pivot).or_bug("a pivot is an attribute")?;
    let differences = differences.get(pivot).or_bug("each attribute has differences")?;
    debug_assert_eq!(attribute.classes.len(), differences.len(), "each class has differences");
    let of_class = |different: &Vec<(u32, u64)>| {
        let mut holding = in_base.clone();
        for (word, bits) in different.iter().filter(|(word, _)| group.words.contains(word)) {
            *holding.entry(*word).or_default() ^= bits;
        }
        holding.into_iter().filter(|(_, bits)| *bits != 0).map(|(word, _)| word).collect()
    };
    Ok(differences.iter().map(of_class).collect())
}
