//! `tabulate`: the classes of a plan as bit words, the form in which a module asks them.
//!
//! An entry of a strand is a bit; 64 neighbours are a *word*. For each attribute that an entry of the word
//! tests, a class gives the bits of the entries that it satisfies; the words of all attributes are joined
//! by `and`, and the bits that are left are the entries that match. A strand of `Pick::First` wants the
//! first of them, one of `Pick::All` all.
//!
//! Strands of at most [`WORD_BITS`] entries are one word. In larger ones a new word begins wherever the
//! pivot changes, and only those words are visited whose pivot the request satisfies, so the cost does
//! not grow with the number of entries.

mod dump;
#[cfg(test)]
mod tests;
mod visits;

pub use dump::dump;

use crate::bug::{Bug, OrBug as _, number};
use crate::classify::{AttributeClasses, AttributeKind, ClassId, Classes, GuardLiterals};
use crate::literals::reads_properties;
use crate::plan::{Pick, Plan};
use std::collections::BTreeMap;
use std::ops::Range;

/// So many words of holders are looked at in the time that one difference takes to make and write.
const LOOKED_AT_PER_DIFFERENCE: usize = 16;

/// Entries in a word.
pub const WORD_BITS: usize = 64;

/// The decision tables of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    /// The words of all strands, numbered through.
    pub words: Vec<Word>,
    /// By attribute and class: the words whose bits differ from those of class 0, with the bits.
    pub differences: Vec<Vec<Vec<(u32, u64)>>>,
    /// The strands of the plan, in its order.
    pub strands: Vec<StrandTables>,
}

/// Up to 64 entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// Bits that are entries of enforced policies.
    pub enforced: u64,
    /// Bits that are entries of policies of any mode.
    pub all: u64,
    /// The attributes that some of the entries test, cheap ones first.
    pub tests: Vec<Test>,
    /// For each bit what is picked.
    pub picks: Vec<u32>,
}

/// One attribute in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test {
    /// The attribute.
    pub attribute: usize,
    /// Bits of the entries that test it.
    pub testers: u64,
    /// Bits that are left in class 0: those that do not test it, and those that hold there.
    pub base: u64,
}

/// The words of one strand and the way to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrandTables {
    /// What the strand answers.
    pub pick: Pick,
    /// Its words.
    pub words: Range<u32>,
    /// Where to look for a word, in the order of the entries.
    pub groups: Vec<Group>,
}

/// Neighbouring words of one pivot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The attribute by which they are found; `None`: they are all visited.
    pub pivot: Option<usize>,
    /// By class of the pivot the words to visit; of all words if there is none.
    pub visits: Vec<Vec<u32>>,
}

/// The tables of a plan's classes.
///
/// # Errors
/// If an invariant of the compiler does not hold.
pub fn tabulate(plan: &Plan, classes: &Classes) -> Result<Tables, Bug> {
    tabulate_within(plan, classes, usize::MAX)?.or_bug("without a limit there are tables")
}

/// The tables of a plan's classes, unless more words differ in them than this, summed over all classes.
///
/// # Errors
/// If an invariant of the compiler does not hold.
pub fn tabulate_within(
    plan: &Plan,
    classes: &Classes,
    differences_max: usize,
) -> Result<Option<Tables>, Bug> {
    let mut words = Words::new(classes);
    let mut layouts = Vec::new();
    for (strand, entries) in plan.strands.iter().zip(&classes.strands) {
        let layout = lay_out(entries, number(words.words.len())?)?;
        words.words.resize_with(layout.words.end as usize, Word::default);
        words.tests.resize_with(layout.words.end as usize, BTreeMap::new);
        for ((entry, literals), place) in strand.entries.iter().zip(entries).zip(&layout.places) {
            let word = words.words.get_mut(place.word as usize).or_bug("each place lies in a word")?;
            word.all |= place.bit;
            word.enforced |= if entry.shadow { 0 } else { place.bit };
            word.picks.push(entry.index);
            words.add_tests(literals, place, classes)?;
        }
        layouts.push((strand.pick, layout));
    }
    let Some((words, differences)) = words.finish(classes, differences_max)? else { return Ok(None) };
    let strands = layouts.into_iter().map(|(pick, layout)| {
        let groups = layout.groups.into_iter().map(|range| {
            let visits = visits::visits(&range, &words, &differences, classes)?;
            Ok(Group { pivot: range.pivot, visits })
        });
        Ok(StrandTables { pick, words: layout.words, groups: groups.collect::<Result<_, Bug>>()? })
    });
    let strands = strands.collect::<Result<_, Bug>>()?;
    Ok(Some(Tables { words, differences, strands }))
}

/// How dear it is to learn the class of an attribute: headers and path are at hand, others are not.
#[must_use]
pub fn cost(attribute: &AttributeClasses) -> u8 {
    match &attribute.kind {
        AttributeKind::Text(crate::checked::Attribute::Query(_), _) => 2,
        AttributeKind::Text(..) => 0,
        AttributeKind::Path(_) => 1,
        AttributeKind::Condition(condition) if !reads_properties(&condition.expr) => 3,
        AttributeKind::Identity(_) => FETCHED,
        AttributeKind::Ip(_) => FETCHED + 1,
        AttributeKind::Condition(_) => FETCHED + 2,
    }
}

/// From this [`cost`] on, a host call is made.
pub const FETCHED: u8 = 4;

/// Where an entry lies.
struct Place {
    word: u32,
    bit: u64,
}

/// Words that belong together, before their visits are known.
struct WordRange {
    pivot: Option<usize>,
    words: Range<u32>,
}

/// The places of a strand's entries.
struct Layout {
    words: Range<u32>,
    places: Vec<Place>,
    groups: Vec<WordRange>,
}

fn lay_out(entries: &[GuardLiterals], first: u32) -> Result<Layout, Bug> {
    let single = entries.len() <= WORD_BITS;
    let mut layout = Layout { words: first..first, places: Vec::new(), groups: Vec::new() };
    let mut used = WORD_BITS;
    for entry in entries {
        let pivot = if single { None } else { entry.pivot };
        let goes_on = layout.groups.last().is_some_and(|group| group.pivot == pivot);
        if used == WORD_BITS || !goes_on {
            layout.words.end = layout.words.end.checked_add(1).or_bug("words are numbered in 32 bits")?;
            used = 0;
        }
        let end = layout.words.end;
        match layout.groups.last_mut() {
            Some(group) if goes_on => group.words.end = end,
            _ => layout.groups.push(WordRange { pivot, words: end - 1..end }),
        }
        layout.places.push(Place { word: end - 1, bit: 1 << used });
        used += 1;
    }
    Ok(layout)
}

/// Words under construction.
struct Words {
    words: Vec<Word>,
    /// By word and attribute.
    tests: Vec<BTreeMap<usize, Test>>,
    /// By attribute and predicate, the bits of the entries that have it, by word in ascending order.
    holders: Vec<Vec<Vec<(u32, u64)>>>,
}

impl Words {
    fn new(classes: &Classes) -> Self {
        let of_attribute = |attribute: &AttributeClasses| vec![Vec::new(); attribute.predicates.len()];
        let holders = classes.attributes.iter().map(of_attribute).collect();
        Self { words: Vec::new(), tests: Vec::new(), holders }
    }

    fn add_tests(&mut self, literals: &GuardLiterals, place: &Place, classes: &Classes) -> Result<(), Bug> {
        let tests = self.tests.get_mut(place.word as usize).or_bug("each place lies in a word")?;
        for (attribute, predicate) in &literals.predicates {
            let test =
                tests.entry(*attribute).or_insert(Test { attribute: *attribute, testers: 0, base: u64::MAX });
            test.testers |= place.bit;
            let base = classes.attributes.get(*attribute).and_then(|classes| classes.base.get(*predicate));
            if !*base.or_bug("each predicate is one of its attribute")? {
                test.base &= !place.bit;
            }
            let holders = self.holders.get_mut(*attribute).and_then(|list| list.get_mut(*predicate));
            let bits = holders.or_bug("each predicate is one of its attribute")?;
            match bits.last_mut() {
                Some((last, value)) if *last == place.word => *value |= place.bit,
                _ => bits.push((place.word, place.bit)),
            }
        }
        Ok(())
    }

    /// The words with their tests in order, and the differences of the classes; `None` if there are more.
    #[expect(clippy::type_complexity, reason = "the two parts of the tables, named where they are kept")]
    fn finish(
        self,
        classes: &Classes,
        differences_max: usize,
    ) -> Result<Option<(Vec<Word>, Vec<Vec<Vec<(u32, u64)>>>)>, Bug> {
        let mut words = self.words;
        for (word, tests) in words.iter_mut().zip(self.tests) {
            let mut ranked = Vec::with_capacity(tests.len());
            for test in tests.into_values() {
                let attribute = classes.attributes.get(test.attribute).or_bug("tests name attributes")?;
                ranked.push((cost(attribute), u32::MAX - test.testers.count_ones(), test.attribute, test));
            }
            ranked.sort_by_key(|(cost, rarity, attribute, _)| (*cost, *rarity, *attribute));
            word.tests = ranked.into_iter().map(|(_, _, _, test)| test).collect();
        }
        let mut left = differences_max;
        let mut differences = Vec::with_capacity(classes.attributes.len());
        for (attribute, holders) in classes.attributes.iter().zip(&self.holders) {
            let mut of_classes = Vec::with_capacity(attribute.classes.len());
            for class in &attribute.classes {
                // No more words than there are can differ, however many predicates flip.
                let flipping = class.flips.iter().filter_map(|flip| holders.get(*flip as usize));
                let looked_at = flipping.map(Vec::len).sum::<usize>() / LOOKED_AT_PER_DIFFERENCE;
                let Some(rest) = left.checked_sub(looked_at) else { return Ok(None) };
                let of_class = flipped(&class.flips, holders)?;
                let Some(rest) = rest.checked_sub(of_class.len()) else { return Ok(None) };
                left = rest;
                of_classes.push(of_class);
            }
            differences.push(of_classes);
        }
        Ok(Some((words, differences)))
    }
}

/// The words with an entry whose predicate flips, and the bits of those entries.
fn flipped(flips: &[u32], holders: &[Vec<(u32, u64)>]) -> Result<Vec<(u32, u64)>, Bug> {
    let mut bits: BTreeMap<u32, u64> = BTreeMap::new();
    for flip in flips {
        for (word, value) in holders.get(*flip as usize).or_bug("classes flip predicates that exist")? {
            *bits.entry(*word).or_default() |= value;
        }
    }
    Ok(bits.into_iter().collect())
}

impl Tables {
    /// The bits of a class in a word, relative to class 0.
    #[must_use]
    pub fn difference(&self, attribute: usize, class: ClassId, word: u32) -> u64 {
        let differences = self.differences.get(attribute).and_then(|classes| classes.get(class as usize));
        let at = differences.and_then(|words| words.binary_search_by_key(&word, |(number, _)| *number).ok());
        at.and_then(|at| differences?.get(at)).map_or(0, |(_, bits)| *bits)
    }
}
