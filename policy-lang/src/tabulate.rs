//! `tabulate`: the classes of a program as bit words, the form in which a module asks them.
//!
//! A rule is a bit; 64 neighbours in decision order are a *word*. For each attribute that a rule of
//! the word tests, a class gives the bits of the rules that it satisfies; the words of all attributes
//! are joined by `and`, and the first bit that is left is the rule that decides.
//!
//! Programs of at most [`WORD_BITS`] rules are one word. In larger ones a new word begins wherever
//! the effect or the pivot changes, and only those words are visited whose pivot the request
//! satisfies, so the cost does not grow with the number of rules.

mod answers;
mod dump;

pub use answers::{Answer, Answers};
pub use dump::dump;

use crate::checked::Effect;
use crate::classify::{AttributeClasses, AttributeKind, ClassId, Classes};
use crate::linked::LinkedProgram;
use crate::literals::reads_properties;
use std::collections::BTreeMap;

/// Rules in a word.
pub const WORD_BITS: usize = 64;

/// The decision tables of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    /// The words, in decision order.
    pub words: Vec<Word>,
    /// By attribute and class: the words whose bits differ from those of class 0, with the bits.
    pub differences: Vec<Vec<Vec<(u32, u64)>>>,
    /// Where to look for a word, in decision order.
    pub groups: Vec<Group>,
    /// What is said when a rule decides.
    pub answers: Answers,
}

/// Up to 64 rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// Bits that are enforced rules.
    pub enforced: u64,
    /// Bits that are rules of any mode.
    pub all: u64,
    /// The attributes that some of the rules test, cheap ones first.
    pub tests: Vec<Test>,
    /// For each bit the index of its answer.
    pub answers: Vec<u32>,
}

/// One attribute in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test {
    /// The attribute.
    pub attribute: usize,
    /// Bits of the rules that test it.
    pub testers: u64,
    /// Bits that are left in class 0: those that do not test it, and those that hold there.
    pub base: u64,
}

/// Neighbouring words of one effect and one pivot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The effect of their rules.
    pub effect: Effect,
    /// The attribute by which they are found; `None`: they are all visited.
    pub pivot: Option<usize>,
    /// By class of the pivot the words to visit; of all words if there is none.
    pub visits: Vec<Vec<u32>>,
}

/// The tables of a program's classes.
#[must_use]
pub fn tabulate(program: &LinkedProgram, classes: &Classes) -> Tables {
    let answers = Answers::new(program);
    let layout = lay_out(classes);
    let mut words = layout.words;
    let mut holders: Vec<Vec<Vec<(u32, u64)>>> =
        classes.attributes.iter().map(|attribute| vec![Vec::new(); attribute.predicates.len()]).collect();
    let mut tests: Vec<BTreeMap<usize, Test>> = vec![BTreeMap::new(); words.len()];
    for ((rule, linked), place) in classes.rules.iter().zip(&program.rules).zip(&layout.places) {
        let Some(word) = words.get_mut(place.word as usize) else { continue };
        word.all |= place.bit;
        word.enforced |= if linked.shadow { 0 } else { place.bit };
        word.answers.push(answers.of_rule(&linked.rule));
        let Some(tests) = tests.get_mut(place.word as usize) else { continue };
        for (attribute, predicate) in &rule.predicates {
            let test =
                tests.entry(*attribute).or_insert(Test { attribute: *attribute, testers: 0, base: u64::MAX });
            test.testers |= place.bit;
            let holds = classes.attributes.get(*attribute).and_then(|a| a.base.get(*predicate)).copied();
            if holds != Some(true) {
                test.base &= !place.bit;
            }
            if let Some(bits) = holders.get_mut(*attribute).and_then(|list| list.get_mut(*predicate)) {
                add_bit(bits, place.word, place.bit);
            }
        }
    }
    for (word, tests) in words.iter_mut().zip(tests) {
        word.tests = tests.into_values().collect();
        word.tests.sort_by_key(|test| {
            let cost = classes.attributes.get(test.attribute).map_or(u8::MAX, cost);
            (cost, u32::MAX - test.testers.count_ones(), test.attribute)
        });
    }
    let differences: Vec<Vec<Vec<(u32, u64)>>> = classes
        .attributes
        .iter()
        .zip(&holders)
        .map(|(attribute, holders)| {
            attribute.classes.iter().map(|class| flipped(&class.flips, holders)).collect()
        })
        .collect();
    let groups = layout
        .groups
        .into_iter()
        .map(|group| Group {
            effect: group.effect,
            pivot: group.pivot,
            visits: visits(&group, &words, &differences, classes),
        })
        .collect();
    Tables { words, differences, groups, answers }
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

/// Where a rule lies.
struct Place {
    word: u32,
    bit: u64,
}

/// Words that belong together, before their visits are known.
struct Range {
    effect: Effect,
    pivot: Option<usize>,
    words: std::ops::Range<u32>,
}

struct Layout {
    words: Vec<Word>,
    places: Vec<Place>,
    groups: Vec<Range>,
}

fn lay_out(classes: &Classes) -> Layout {
    let single = classes.rules.len() <= WORD_BITS;
    let mut layout = Layout { words: Vec::new(), places: Vec::new(), groups: Vec::new() };
    let mut used = WORD_BITS;
    for rule in &classes.rules {
        let pivot = if single { None } else { rule.pivot };
        let effect = if single { Effect::Exempt } else { rule.effect };
        let goes_on =
            layout.groups.last().is_some_and(|group| group.effect == effect && group.pivot == pivot);
        if used == WORD_BITS || !goes_on {
            layout.words.push(Word::default());
            used = 0;
        }
        let word = u32::try_from(layout.words.len().saturating_sub(1)).unwrap_or(u32::MAX);
        match layout.groups.last_mut() {
            Some(group) if goes_on => group.words.end = word + 1,
            _ => layout.groups.push(Range { effect, pivot, words: word..word + 1 }),
        }
        layout.places.push(Place { word, bit: 1 << used });
        used += 1;
    }
    layout
}

/// Adds a bit to a list of words that is built in ascending order.
fn add_bit(bits: &mut Vec<(u32, u64)>, word: u32, bit: u64) {
    match bits.last_mut() {
        Some((last, value)) if *last == word => *value |= bit,
        _ => bits.push((word, bit)),
    }
}

/// The words with a rule whose predicate flips, and the bits of those rules.
fn flipped(flips: &[u32], holders: &[Vec<(u32, u64)>]) -> Vec<(u32, u64)> {
    let mut bits: BTreeMap<u32, u64> = BTreeMap::new();
    for (word, value) in flips.iter().filter_map(|flip| holders.get(*flip as usize)).flatten() {
        *bits.entry(*word).or_default() |= value;
    }
    bits.into_iter().collect()
}

/// By class of the pivot, the words of the group in which some rule's literal on it holds.
fn visits(
    group: &Range,
    words: &[Word],
    differences: &[Vec<Vec<(u32, u64)>>],
    classes: &Classes,
) -> Vec<Vec<u32>> {
    let Some(pivot) = group.pivot else { return vec![group.words.clone().collect()] };
    let class_count = classes.attributes.get(pivot).map_or(0, |attribute| attribute.classes.len());
    // Words in which a rule holds in class 0: few, for a pivot is false there as a rule.
    let in_base: Vec<(u32, u64)> = group
        .words
        .clone()
        .filter_map(|number| {
            let word = words.get(number as usize)?;
            let test = word.tests.iter().find(|test| test.attribute == pivot)?;
            let holding = test.base & word.all;
            (holding != 0).then_some((number, holding))
        })
        .collect();
    let of_class = |class: usize| {
        let mut holding: BTreeMap<u32, u64> = in_base.iter().copied().collect();
        let different = differences.get(pivot).and_then(|classes| classes.get(class)).into_iter().flatten();
        for (word, bits) in different.filter(|(word, _)| group.words.contains(word)) {
            *holding.entry(*word).or_default() ^= bits;
        }
        holding.into_iter().filter(|(_, bits)| *bits != 0).map(|(word, _)| word).collect()
    };
    (0..class_count).map(of_class).collect()
}

impl Tables {
    /// The bits of a class in a word, relative to class 0.
    #[must_use]
    pub fn difference(&self, attribute: usize, class: ClassId, word: u32) -> u64 {
        let differences = self.differences.get(attribute).and_then(|classes| classes.get(class as usize));
        let found = differences.into_iter().flatten().find(|(number, _)| *number == word);
        found.map_or(0, |(_, bits)| *bits)
    }
}
