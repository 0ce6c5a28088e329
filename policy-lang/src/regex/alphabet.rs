//! The characters of a pattern in classes: two are of one class when the pattern cannot tell them apart.
//!
//! ```text
//! `\d+-x` and characters:  - | 0..9 | x | all others
//! ```

use super::RegexError;
use super::meter::Meter;
use super::nfa::Sets;
use std::collections::HashMap;

/// The number of a class.
pub(super) type Class = u16;

/// What stands beside a place, as far as `^`, `$` and `\b` are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Beside {
    /// The beginning or the end of the text.
    Nothing,
    /// A line feed.
    LineFeed,
    /// A letter, a digit or `_`, of ASCII.
    Word,
    /// Any other character.
    Other,
}

impl Beside {
    /// Those that are characters.
    pub(super) const CHARACTERS: [Self; 3] = [Self::LineFeed, Self::Word, Self::Other];
}

/// All Unicode scalar values, in classes.
#[derive(Debug)]
pub(super) struct Alphabet {
    /// Where a class begins, and which; ascending from 0. Each goes on to where the next one begins.
    intervals: Vec<(u32, Class)>,
    /// What each class is to its neighbours.
    beside: Vec<Beside>,
    /// For each set of the pattern, its classes.
    pub(super) sets: Vec<Vec<Class>>,
}

impl Alphabet {
    /// The classes that sets of characters make. If the pattern looks at neighbours, `sets` has line feed and
    /// word characters first.
    pub(super) fn of(sets: &Sets, meter: &mut Meter) -> Result<Self, RegexError> {
        let mut bounds: Vec<u32> = vec![0];
        for (start, end) in sets.ranges.iter().flatten() {
            meter.steps(1)?;
            bounds.extend([*start, *end + 1]);
        }
        bounds.sort_unstable();
        bounds.dedup();
        bounds.retain(|bound| *bound <= u32::from(char::MAX));
        let mut members: Vec<Vec<u16>> = vec![Vec::new(); bounds.len()];
        for (set, ranges) in (0_u16..).zip(&sets.ranges) {
            for (start, end) in ranges {
                let first = bounds.partition_point(|bound| bound < start);
                let behind = bounds.partition_point(|bound| bound <= end);
                meter.steps((behind - first) as u64)?;
                for sets in members.get_mut(first..behind).unwrap_or_default() {
                    sets.push(set);
                }
            }
        }
        let mut classes: HashMap<Vec<u16>, Class> = HashMap::new();
        let mut this =
            Self { intervals: Vec::new(), beside: Vec::new(), sets: vec![Vec::new(); sets.ranges.len()] };
        for (start, of) in bounds.into_iter().zip(members) {
            let fresh = Class::try_from(this.beside.len()).map_err(|_| meter.too_large())?;
            let class = *classes.entry(of.clone()).or_insert(fresh);
            if class == fresh {
                this.beside.push(sets.beside(&of));
                for set in of {
                    if let Some(classes) = this.sets.get_mut(usize::from(set)) {
                        classes.push(class);
                    }
                }
            }
            if this.intervals.last().map(|(_, last)| *last) != Some(class) {
                this.intervals.push((start, class));
            }
        }
        Ok(this)
    }

    /// How many classes there are.
    pub(super) fn len(&self) -> usize {
        self.beside.len()
    }

    /// The class of a character.
    pub(super) fn class_of(&self, character: u32) -> Class {
        self.interval(character).0
    }

    /// The class of a character, and the last one behind it up to which all are of that class.
    pub(super) fn interval(&self, character: u32) -> (Class, u32) {
        let behind = self.intervals.partition_point(|(start, _)| *start <= character);
        let class =
            behind.checked_sub(1).and_then(|at| self.intervals.get(at)).map_or(0, |(_, class)| *class);
        (class, self.intervals.get(behind).map_or(u32::from(char::MAX), |(next, _)| next - 1))
    }

    /// What characters of a class are to their neighbours.
    pub(super) fn beside(&self, class: Class) -> Beside {
        self.beside.get(usize::from(class)).copied().unwrap_or(Beside::Other)
    }
}
