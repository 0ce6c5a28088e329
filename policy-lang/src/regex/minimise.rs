//! Merges states that no text tells apart (Hopcroft's partition refinement).

use super::RegexError;
use super::determinise::Dfa;
use super::meter::Meter;

/// Groups of states, each a range of `order`.
struct Partition {
    order: Vec<u16>,
    /// Where each state stands in `order`.
    place: Vec<usize>,
    group_of: Vec<usize>,
    groups: Vec<std::ops::Range<usize>>,
    /// For each group, how many of its states are marked; they stand first.
    marked: Vec<usize>,
}

/// The smallest automaton that accepts the same texts; it begins in state 0 too.
pub(super) fn minimise(dfa: &Dfa, meter: &mut Meter) -> Result<Dfa, RegexError> {
    let classes = dfa.next.first().map_or(0, Vec::len);
    let before = Before::of(dfa, classes, meter)?;
    let mut partition = Partition::new(&dfa.accepting);
    let mut waiting: Vec<usize> = (0..partition.groups.len()).collect();
    let mut is_waiting: Vec<bool> = vec![true; partition.groups.len()];
    while let Some(group) = waiting.pop() {
        set(&mut is_waiting, group, false);
        let members: Vec<u16> = partition.members(group).to_vec();
        for class in 0..classes {
            let mut touched = Vec::new();
            meter.steps(members.len() as u64)?;
            for state in &members {
                let from = before.of_state(*state, class);
                meter.steps(from.len() as u64)?;
                touched.extend(from.iter().filter_map(|state| partition.mark(*state)));
            }
            for touched in touched {
                let Some(fresh) = partition.split(touched) else { continue };
                // Of two halves the smaller is enough, unless the whole is waited for.
                let waits = is_waiting.get(touched).copied().unwrap_or(false);
                let is_smaller = partition.size(fresh) <= partition.size(touched);
                let next = if waits || is_smaller { fresh } else { touched };
                is_waiting.push(false);
                set(&mut is_waiting, next, true);
                waiting.push(next);
            }
        }
    }
    Ok(partition.merged(dfa))
}

/// For each class and state, the states from which the class leads there.
struct Before {
    classes: usize,
    /// Where the list of a state and class begins.
    starts: Vec<usize>,
    states: Vec<u16>,
}

impl Before {
    fn of(dfa: &Dfa, classes: usize, meter: &mut Meter) -> Result<Self, RegexError> {
        let cells = dfa.next.len() * classes;
        meter.steps(2 * cells as u64)?;
        let mut starts = vec![0_usize; cells + 1];
        let cell = |state: u16, class: usize| usize::from(state) * classes + class;
        for row in &dfa.next {
            for (class, next) in row.iter().enumerate() {
                if let Some(count) = starts.get_mut(cell(*next, class) + 1) {
                    *count += 1;
                }
            }
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let mut free = starts.clone();
        let mut states = vec![0_u16; cells];
        for (state, row) in (0_u16..).zip(&dfa.next) {
            for (class, next) in row.iter().enumerate() {
                if let Some(at) = free.get_mut(cell(*next, class)) {
                    if let Some(slot) = states.get_mut(*at) {
                        *slot = state;
                    }
                    *at += 1;
                }
            }
        }
        Ok(Self { classes, starts, states })
    }

    fn of_state(&self, state: u16, class: usize) -> &[u16] {
        let cell = usize::from(state) * self.classes + class;
        let bound = |at: usize| self.starts.get(at).copied().unwrap_or_default();
        self.states.get(bound(cell)..bound(cell + 1)).unwrap_or_default()
    }
}

impl Partition {
    /// Accepting states and the others.
    fn new(accepting: &[bool]) -> Self {
        let count = accepting.len();
        let mut order: Vec<u16> = (0_u16..).take(count).collect();
        let accepts = |state: &u16| accepting.get(usize::from(*state)).copied().unwrap_or(false);
        order.sort_by_key(|state| !accepts(state));
        let first = order.iter().filter(|state| accepts(state)).count();
        let groups: Vec<_> = [0..first, first..count].into_iter().filter(|group| !group.is_empty()).collect();
        let mut this = Self {
            place: vec![0; count],
            group_of: vec![0; count],
            marked: vec![0; groups.len()],
            groups,
            order,
        };
        for (group, range) in this.groups.iter().enumerate() {
            for at in range.clone() {
                let Some(state) = this.order.get(at).map(|state| usize::from(*state)) else { continue };
                set(&mut this.place, state, at);
                set(&mut this.group_of, state, group);
            }
        }
        this
    }

    fn members(&self, group: usize) -> &[u16] {
        self.groups.get(group).and_then(|range| self.order.get(range.clone())).unwrap_or_default()
    }

    fn size(&self, group: usize) -> usize {
        self.groups.get(group).map_or(0, ExactSizeIterator::len)
    }

    /// Marks a state; gives its group if that had no mark.
    fn mark(&mut self, state: u16) -> Option<usize> {
        let state = usize::from(state);
        let group = self.group_of.get(state).copied()?;
        let start = self.groups.get(group)?.start;
        let marked = self.marked.get_mut(group)?;
        let (at, to) = (self.place.get(state).copied()?, start + *marked);
        if at < to {
            return None;
        }
        *marked += 1;
        let is_first = *marked == 1;
        let other = self.order.get(to).map(|other| usize::from(*other))?;
        self.order.swap(at, to);
        set(&mut self.place, state, to);
        set(&mut self.place, other, at);
        is_first.then_some(group)
    }

    /// Takes the marked states of a group into a group of their own, unless all are; no mark is left.
    fn split(&mut self, group: usize) -> Option<usize> {
        let marked = std::mem::take(self.marked.get_mut(group)?);
        let range = self.groups.get_mut(group)?;
        if marked == range.len() {
            return None;
        }
        let taken = range.start..range.start + marked;
        range.start = taken.end;
        let fresh = self.groups.len();
        for at in taken.clone() {
            if let Some(state) = self.order.get(at) {
                set(&mut self.group_of, usize::from(*state), fresh);
            }
        }
        self.groups.push(taken);
        self.marked.push(0);
        Some(fresh)
    }

    /// One state for each group, that of the first state first.
    fn merged(&self, dfa: &Dfa) -> Dfa {
        let mut numbers: Vec<Option<u16>> = vec![None; self.groups.len()];
        let mut kept: Vec<u16> = Vec::new();
        let mut number = |state: u16, kept: &mut Vec<u16>| -> u16 {
            let group = self.group_of.get(usize::from(state)).copied().unwrap_or_default();
            let Some(slot) = numbers.get_mut(group) else { return 0 };
            *slot.get_or_insert_with(|| {
                kept.push(state);
                u16::try_from(kept.len() - 1).unwrap_or(u16::MAX)
            })
        };
        number(0, &mut kept);
        let mut merged = Dfa::default();
        while let Some(state) = kept.get(merged.next.len()).copied() {
            let row = dfa.next.get(usize::from(state)).map(Vec::as_slice).unwrap_or_default();
            merged.next.push(row.iter().map(|next| number(*next, &mut kept)).collect());
            merged.accepting.push(dfa.accepts(state));
        }
        merged
    }
}

fn set<T>(list: &mut [T], at: usize, value: T) {
    if let Some(slot) = list.get_mut(at) {
        *slot = value;
    }
}
