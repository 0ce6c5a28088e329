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

/// Steps are counted in so many parts each, so that a loop that takes eight bytes at a time, or three, has
/// whole parts of its steps for each byte.
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

/// A number that grows with sources, in parts of which [`SHARE`] are one.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Linear {
    /// What does not grow.
    fixed: u64,
    /// What there is more for each unit of a source.
    shares: BTreeMap<Source, u64>,
}

impl Linear {
    /// A number that does not grow.
    pub(super) fn constant(fixed: u64) -> Self {
        Self { fixed: fixed.saturating_mul(SHARE), shares: BTreeMap::new() }
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

    /// Once for each step of a loop over a source that takes so many units at a time, but for so many steps.
    fn for_each_but(&self, source: Source, stride: u64, but: u64) -> Self {
        let mut sum = self.clone();
        let share = sum.shares.entry(source).or_default();
        *share = share.saturating_add(self.fixed.div_ceil(stride.max(1)));
        sum.fixed = self.fixed.saturating_mul(but.saturating_add(1));
        sum
    }

    /// Adds what goes on where this has ended, over the same sources.
    fn share(&mut self, other: &Self) {
        self.fixed = self.fixed.saturating_add(other.fixed);
        for (source, share) in &other.shares {
            let own = self.shares.entry(*source).or_default();
            *own = (*own).max(*share);
        }
    }

    /// The same with a size in the place of a source.
    fn substitute(&self, source: Source, by: &Self) -> Self {
        let mut sum = self.clone();
        if let Some(share) = sum.shares.remove(&source) {
            sum.add(&by.of_parts(share));
        }
        sum
    }

    /// So many parts of one times.
    fn of_parts(&self, parts: u64) -> Self {
        let product = |own: u64| own.saturating_mul(parts).div_ceil(SHARE);
        let shares = self.shares.iter().map(|(source, share)| (*source, product(*share)));
        Self { fixed: product(self.fixed), shares: shares.collect() }
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

    /// What does not grow, rounded up.
    pub(super) fn fixed(&self) -> u64 {
        self.fixed.div_ceil(SHARE)
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
        self.merge(other, Linear::add);
    }

    /// Whichever is more, part by part: one of two ways is taken.
    pub(super) fn join(&mut self, other: &Self) {
        self.merge(other, Linear::join);
    }

    /// Adds what goes on over the same texts where this has ended.
    pub(super) fn share(&mut self, other: &Self) {
        self.merge(other, Linear::share);
    }

    fn merge(&mut self, other: &Self, merge: impl Fn(&mut Linear, &Linear)) {
        merge(&mut self.steps, &other.steps);
        for (function, (times, over)) in &other.calls {
            let own = self.calls.entry(*function).or_default();
            merge(&mut own.0, times);
            merge(&mut own.1, over);
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
        self.for_each_but(source, stride, 0)
    }

    /// The same for a loop of which so many steps do not go on.
    pub(super) fn for_each_but(&self, source: Source, stride: u64, but: u64) -> Self {
        self.map(|line| line.for_each_but(source, stride, but))
    }

    /// As what happens only in one of so many rounds of a loop.
    pub(super) fn every(&self, stride: u64) -> Self {
        self.map(|line| line.share_of(stride))
    }

    /// What does not grow of it.
    pub(super) fn alone(&self) -> Self {
        self.map(|line| Linear { fixed: line.fixed, shares: BTreeMap::new() })
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
            sum.add(&times.of_parts(callee.fixed));
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
    fn a_call_in_one_of_three_rounds_is_a_third_of_its_steps_for_each_byte() {
        let callee = Tally::steps(63);
        let round = Tally::calls(Func(1), 1, Linear::default()).every(3).for_each(Source::Own, 1);
        let costs = Costs::new(vec![round, callee], 0).of(Func(0));
        assert_eq!(costs.map(|line| parts(&line)), Ok((21, 21, 0)));
    }

    #[test]
    fn a_loop_that_begins_again_pays_for_its_rounds_but_not_for_the_text_again() {
        let rounds = Tally::steps(30).for_each_but(Source::Own, 3, 2);
        let costs = Costs::new(vec![rounds], 0).of(Func(0));
        assert_eq!(costs.map(|line| parts(&line)), Ok((90, 10, 0)));
    }

    #[test]
    fn of_two_loops_in_turn_each_byte_pays_the_dearer_one() {
        let mut both = Tally::steps(5).for_each(Source::Own, 1);
        both.share(&Tally::steps(7).for_each(Source::Own, 1));
        let costs = Costs::new(vec![both], 0).of(Func(0));
        assert_eq!(costs.map(|line| parts(&line)), Ok((12, 7, 0)));
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
