//! What generated code costs at worst, computed while it is written.
//!
//! Code tallies its own steps (wasm instructions): those it takes once, and those for each unit of what
//! its loops go over. A loop that advances over a text takes its steps once for each byte of it, however
//! loops are nested that advance over the same text; no code loops over a text inside of a loop over
//! another one, so every cost is a line in the sizes of the request. Calls are tallied by what the callee
//! is given, and are resolved when all functions are written.

use super::code::Func;
use crate::bug::{Bug, OrBug as _};
use std::collections::BTreeMap;

/// The steps of a loop over a text are counted for this many bytes, so that a loop that takes eight bytes
/// at a time, or three, has whole shares of its steps.
const SHARE: u64 = 24;

/// What a number of steps can grow with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Source {
    /// The bytes that the caller of the function gives it to work on; of the callback, all bytes of the
    /// request that conditions see.
    Own,
    /// The headers of the request, each name and value once.
    Pairs,
    /// The bytes of one text of the request, by its number.
    Text(u16),
    /// The bytes of the element that a quantifier has bound.
    Variable(u32),
}

/// A number that grows with sources: an amount, and so many times [`SHARE`] for each unit of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Linear {
    fixed: u64,
    shares: BTreeMap<Source, u64>,
}

impl Linear {
    /// A number that does not grow.
    pub(super) fn constant(fixed: u64) -> Self {
        Self { fixed, shares: BTreeMap::new() }
    }

    /// As many as a source has.
    pub(super) fn of(source: Source) -> Self {
        Self { fixed: 0, shares: BTreeMap::from([(source, SHARE)]) }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.fixed = self.fixed.saturating_add(other.fixed);
        for (source, share) in &other.shares {
            let own = self.shares.entry(*source).or_default();
            *own = own.saturating_add(*share);
        }
    }

    pub(super) fn join(&mut self, other: &Self) {
        self.fixed = self.fixed.max(other.fixed);
        for (source, share) in &other.shares {
            let own = self.shares.entry(*source).or_default();
            *own = (*own).max(*share);
        }
    }

    fn times(&self, factor: u64) -> Self {
        let shares = self.shares.iter().map(|(source, share)| (*source, share.saturating_mul(factor)));
        Self { fixed: self.fixed.saturating_mul(factor), shares: shares.collect() }
    }

    /// Once for each step of a loop over a source that takes so many units at a time.
    fn for_each(&self, source: Source, stride: u64) -> Self {
        let mut sum = self.clone();
        let share = sum.shares.entry(source).or_default();
        *share = share.saturating_add(self.fixed.saturating_mul(SHARE / stride.clamp(1, SHARE)));
        sum
    }

    /// The same with a size in the place of a source.
    fn substitute(&self, source: Source, by: &Self) -> Self {
        let mut sum = self.clone();
        if let Some(share) = sum.shares.remove(&source) {
            // Shares times shares: one of the two units is taken out again.
            sum.fixed = sum.fixed.saturating_add(share.saturating_mul(by.fixed).div_ceil(SHARE));
            for (source, other) in &by.shares {
                let own = sum.shares.entry(*source).or_default();
                *own = own.saturating_add(share.saturating_mul(*other).div_ceil(SHARE));
            }
        }
        sum
    }

    /// Whether it does not grow.
    pub(super) fn is_constant(&self) -> bool {
        self.shares.is_empty()
    }

    /// Part of it, rounded up.
    fn share_of(&self, stride: u64) -> Self {
        let shares = self.shares.iter().map(|(source, share)| (*source, share.div_ceil(stride)));
        Self { fixed: self.fixed.div_ceil(stride), shares: shares.collect() }
    }

    /// What does not grow.
    pub(super) fn fixed(&self) -> u64 {
        self.fixed
    }

    /// How much it grows with each unit of a source, rounded up.
    pub(super) fn per(&self, source: Source) -> u64 {
        self.shares.get(&source).copied().unwrap_or_default().div_ceil(SHARE)
    }

    /// How much it grows with each byte of the request at most: all texts together are no longer than
    /// the request.
    pub(super) fn per_byte(&self) -> u64 {
        let text = |(source, share): (&Source, &u64)| match source {
            Source::Text(_) | Source::Variable(_) => Some(*share),
            Source::Own | Source::Pairs => None,
        };
        let own = self.shares.get(&Source::Own).copied().unwrap_or_default();
        own.saturating_add(self.shares.iter().filter_map(text).max().unwrap_or_default()).div_ceil(SHARE)
    }
}

/// The steps of a piece of code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    steps: Linear,
    /// By callee, how often it is called, and how many bytes it is given in all calls together.
    calls: BTreeMap<u32, (Linear, Linear)>,
}

impl Tally {
    /// So many steps.
    pub(super) fn steps(count: u64) -> Self {
        Self { steps: Linear::constant(count), calls: BTreeMap::new() }
    }

    /// A step for each unit of a size.
    pub(super) fn steps_over(size: Linear) -> Self {
        Self { steps: size, calls: BTreeMap::new() }
    }

    /// Calls of a function that is given a size in all of them together.
    pub(super) fn calls(function: Func, times: u64, over: Linear) -> Self {
        let calls = BTreeMap::from([(function.0, (Linear::constant(times), over))]);
        Self { steps: Linear::default(), calls }
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.steps.add(&other.steps);
        for (function, (times, over)) in &other.calls {
            let own = self.calls.entry(*function).or_default();
            own.0.add(times);
            own.1.add(over);
        }
    }

    /// Whichever is more, part by part: one of two ways is taken.
    pub(super) fn join(&mut self, other: &Self) {
        self.steps.join(&other.steps);
        for (function, (times, over)) in &other.calls {
            let own = self.calls.entry(*function).or_default();
            own.0.join(times);
            own.1.join(over);
        }
    }

    fn map(&self, change: impl Fn(&Linear) -> Linear) -> Self {
        let calls = self.calls.iter();
        Self {
            steps: change(&self.steps),
            calls: calls.map(|(callee, (times, over))| (*callee, (change(times), change(over)))).collect(),
        }
    }

    /// All of it so many times.
    pub(super) fn times(&self, factor: u64) -> Self {
        self.map(|line| line.times(factor))
    }

    /// Once for each step of a loop over a source that takes so many units at a time, and once more for
    /// the step that finds the end.
    pub(super) fn for_each(&self, source: Source, stride: u64) -> Self {
        self.map(|line| line.for_each(source, stride))
    }

    /// As what happens only in one of so many rounds of a loop.
    pub(super) fn every(&self, stride: u64) -> Self {
        self.map(|line| line.share_of(stride))
    }

    /// As what works on a text of this size and on nothing else.
    pub(super) fn on(&self, size: &Linear) -> Self {
        self.map(|line| line.substitute(Source::Own, size))
    }

    /// So many times, each time going on over the same text.
    pub(super) fn times_on(&self, factor: u64) -> Self {
        self.map(|line| Linear { fixed: line.fixed.saturating_mul(factor), shares: line.shares.clone() })
    }

    /// Once for each of so many elements whose texts are together as long as a size.
    pub(super) fn for_elements(&self, count: u64, variable: u32, size: &Linear) -> Self {
        // What grows with an element grows with all of them together no more than with their sum.
        self.map(|line| {
            let mut rest = line.clone();
            let share = rest.shares.remove(&Source::Variable(variable)).unwrap_or_default();
            let mut sum = rest.times(count);
            let element = Linear { fixed: 0, shares: BTreeMap::from([(Source::Own, share)]) };
            sum.add(&element.substitute(Source::Own, size));
            sum
        })
    }
}

/// The cost of each function of a module.
pub(super) struct Costs {
    tallies: Vec<Tally>,
    imported: usize,
    known: Vec<Option<Linear>>,
}

impl Costs {
    /// The costs of functions with these tallies, behind so many of the host.
    pub(super) fn new(tallies: Vec<Tally>, imported: usize) -> Self {
        let known = vec![None; tallies.len()];
        Self { tallies, imported, known }
    }

    /// The cost of a function, in [`Source::Own`] for what its caller gives it.
    ///
    /// # Errors
    /// If functions call each other in a circle, which none do.
    pub(super) fn of(&mut self, function: Func) -> Result<Linear, Bug> {
        // A host call is a step; what it does in the module is tallied where it is called.
        let Some(place) = (function.0 as usize).checked_sub(self.imported) else {
            return Ok(Linear::default());
        };
        match self.known.get(place) {
            Some(Some(known)) => return Ok(known.clone()),
            Some(None) => {}
            None => return Err(Bug::new("a function that is called exists")),
        }
        let tally = self.tallies.get(place).cloned().or_bug("each function has a tally")?;
        let sum = self.resolve(&tally)?;
        *self.known.get_mut(place).or_bug("each function has a tally")? = Some(sum.clone());
        Ok(sum)
    }

    /// The cost of a piece of code.
    ///
    /// # Errors
    /// As [`Costs::of`].
    pub(super) fn resolve(&mut self, tally: &Tally) -> Result<Linear, Bug> {
        let mut sum = tally.steps.clone();
        for (callee, (times, over)) in &tally.calls {
            let callee = self.of(Func(*callee))?;
            let rest = Linear { fixed: 0, shares: callee.shares.clone() };
            sum.add(&times.times(callee.fixed));
            sum.add(&rest.substitute(Source::Own, over));
        }
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `fixed + own·n + pairs·p` of a line.
    fn parts(line: &Linear) -> (u64, u64, u64) {
        (line.fixed(), line.per(Source::Own), line.per(Source::Pairs))
    }

    #[test]
    fn nested_loops_over_one_text_are_paid_once_for_each_byte() {
        let inner = Tally::steps(5).for_each(Source::Own, 1);
        let mut outer = Tally::steps(3);
        outer.add(&inner);
        let both = outer.for_each(Source::Own, 1);
        let costs = Costs::new(vec![both], 0).of(Func(0));
        assert_eq!(costs.map(|line| parts(&line)), Ok((8, 13, 0)));
    }

    #[test]
    fn what_a_callee_takes_for_each_byte_is_taken_for_what_it_is_given() {
        let walk = Tally::steps(16).for_each(Source::Own, 8);
        let mut caller = Tally::steps(1);
        caller.add(&Tally::calls(Func(1), 2, Linear::constant(80)));
        caller.add(&Tally::calls(Func(1), 1, Linear::of(Source::Text(4))));
        let costs = Costs::new(vec![caller, walk], 0).of(Func(0));
        let cost = costs.unwrap_or_default();
        assert_eq!((cost.fixed(), cost.per_byte()), (1 + 3 * 16 + 2 * 80, 2));
    }

    #[test]
    fn elements_are_together_as_long_as_their_list() {
        let mut body = Tally::steps(2);
        body.add(&Tally::steps_over(Linear::of(Source::Variable(7))));
        let mut size = Linear::constant(10);
        size.add(&Linear::of(Source::Text(1)));
        let all = body.for_elements(64, 7, &size);
        let cost = Costs::new(vec![all], 0).of(Func(0)).unwrap_or_default();
        assert_eq!((cost.fixed(), cost.per(Source::Text(1))), (2 * 64 + 10, 1));
    }
}
