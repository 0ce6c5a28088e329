//! From the nondeterministic automaton to the smallest deterministic one over classes of characters.
//!
//! A state is the set of nodes at which a match may be that began anywhere before. `^` is decided when
//! such a set is made, for what stands before is known; `$` and `\b` when the next character is.

use super::alphabet::{Alphabet, Beside, Class};
use super::meter::Meter;
use super::nfa::{Nfa, Node};
use super::{DFA_STATES_MAX, RegexError};
use regex_syntax::hir::Look;
use std::collections::{BTreeMap, HashMap};

/// The most states before equal ones are merged.
const EXPLORED_STATES_MAX: usize = 4 * DFA_STATES_MAX;

/// An automaton over classes of characters; it begins in state 0.
#[derive(Clone, Debug, Default)]
pub(super) struct Dfa {
    /// For each state, the states behind each class.
    pub(super) next: Vec<Vec<u16>>,
    /// For each state whether a text that ends in it matches.
    pub(super) accepting: Vec<bool>,
}

impl Dfa {
    /// The state behind a character of a class.
    pub(super) fn next(&self, state: u16, class: Class) -> u16 {
        self.next.get(usize::from(state)).and_then(|row| row.get(usize::from(class))).copied().unwrap_or(0)
    }

    /// Whether a text that ends in this state matches.
    pub(super) fn accepts(&self, state: u16) -> bool {
        self.accepting.get(usize::from(state)).copied().unwrap_or(false)
    }
}

/// A state of the automaton under construction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum State {
    /// The pattern has matched; nothing can change that.
    Matched,
    /// It has not matched yet.
    Open {
        /// Characters and looks that may come next, sorted.
        nodes: Vec<u32>,
        /// What stands before, if one of the nodes looks.
        before: Beside,
    },
}

/// The automaton that has matched where the other one has matched anywhere before.
pub(super) fn determinise(nfa: &Nfa, alphabet: &Alphabet, meter: &mut Meter) -> Result<Dfa, RegexError> {
    let mut walk = Walk { nfa, alphabet, meter, seen: vec![0; nfa.nodes.len()], round: 0 };
    let first = walk.state(&[], Beside::Nothing)?;
    let mut numbers: HashMap<State, u16> = HashMap::from([(first.clone(), 0)]);
    let mut states = vec![first];
    let mut dfa = Dfa::default();
    while let Some(state) = states.get(dfa.next.len()).cloned() {
        dfa.accepting.push(walk.accepts_at_end(&state)?);
        let behind = walk.behind(&state)?;
        let mut found = Vec::with_capacity(behind.states.len());
        for next in behind.states {
            let known = numbers.get(&next).copied();
            let number = match known {
                Some(number) => number,
                None => {
                    let fresh = u16::try_from(states.len()).ok();
                    let fresh = fresh.filter(|fresh| usize::from(*fresh) < EXPLORED_STATES_MAX);
                    let fresh = fresh.ok_or_else(|| walk.meter.too_large())?;
                    numbers.insert(next.clone(), fresh);
                    states.push(next);
                    fresh
                }
            };
            found.push(number);
        }
        let number = |at: &usize| found.get(*at).copied().unwrap_or_default();
        dfa.next.push(behind.of_class.iter().map(number).collect());
    }
    Ok(dfa)
}

/// Where the classes lead from a state.
#[derive(Default)]
struct Behind {
    /// The states, each once or nearly so.
    states: Vec<State>,
    /// For each class, the index of its state.
    of_class: Vec<usize>,
}

struct Walk<'a> {
    nfa: &'a Nfa,
    alphabet: &'a Alphabet,
    meter: &'a mut Meter,
    /// In which round a node was seen last.
    seen: Vec<u32>,
    round: u32,
}

impl Walk<'_> {
    /// The states behind a state.
    fn behind(&mut self, state: &State) -> Result<Behind, RegexError> {
        let classes = self.alphabet.len();
        self.meter.steps(classes as u64)?;
        let State::Open { nodes, before } = state else {
            return Ok(Behind { states: vec![State::Matched], of_class: vec![0; classes] });
        };
        let looks = self.has_looks(nodes);
        // By what comes next, what may come next; `None` if that is a match.
        let mut ready: Vec<(Beside, Option<Vec<u32>>)> = Vec::new();
        if looks {
            for after in Beside::CHARACTERS {
                ready.push((after, self.decided(nodes, *before, after)?));
            }
        } else {
            ready.push((Beside::Other, Some(nodes.clone())));
        }
        let mut reached: Vec<Vec<u32>> = vec![Vec::new(); classes];
        for (after, nodes) in &ready {
            for node in nodes.iter().flatten() {
                let Node::Character(set, then) = self.nfa.node(*node) else { continue };
                let of_set = self.alphabet.sets.get(usize::from(*set)).map(Vec::as_slice).unwrap_or_default();
                self.meter.steps(of_set.len() as u64)?;
                for class in of_set.iter().filter(|class| !looks || self.alphabet.beside(**class) == *after) {
                    if let Some(nodes) = reached.get_mut(usize::from(*class)) {
                        nodes.push(*then);
                    }
                }
            }
        }
        let mut behind = Behind::default();
        // Most classes lead to the same few places.
        let mut known: HashMap<(Vec<u32>, Beside), usize> = HashMap::new();
        let mut nowhere = BTreeMap::new();
        for (class, nodes) in (0_u16..).zip(reached) {
            let beside = self.alphabet.beside(class);
            let is_match = ready.iter().any(|(after, nodes)| looks && *after == beside && nodes.is_none());
            let fresh = behind.states.len();
            let at = match nodes.is_empty() || is_match {
                true => *nowhere.entry((beside, is_match)).or_insert(fresh),
                false => *known.entry((nodes.clone(), beside)).or_insert(fresh),
            };
            if at == fresh {
                behind.states.push(if is_match { State::Matched } else { self.state(&nodes, beside)? });
            }
            behind.of_class.push(at);
        }
        Ok(behind)
    }

    fn has_looks(&self, nodes: &[u32]) -> bool {
        nodes.iter().any(|node| matches!(self.nfa.node(*node), Node::Look(..)))
    }

    /// The state at these nodes, and at the beginning of the pattern.
    fn state(&mut self, from: &[u32], before: Beside) -> Result<State, RegexError> {
        let start = self.nfa.start;
        let Some(nodes) = self.reach(from.iter().copied().chain([start]), |look| match look {
            Look::Start => Some(before == Beside::Nothing),
            Look::StartLF => Some(matches!(before, Beside::Nothing | Beside::LineFeed)),
            Look::WordStartHalfAscii => Some(before != Beside::Word),
            _ => None,
        })?
        else {
            return Ok(State::Matched);
        };
        let before = if self.has_looks(&nodes) { before } else { Beside::Other };
        Ok(State::Open { nodes, before })
    }

    /// What may come next once both neighbours are known; `None` if the pattern has matched.
    fn decided(
        &mut self,
        nodes: &[u32],
        before: Beside,
        after: Beside,
    ) -> Result<Option<Vec<u32>>, RegexError> {
        let (was, is) = (before == Beside::Word, after == Beside::Word);
        self.reach(nodes.iter().copied(), |look| {
            Some(match look {
                Look::Start => before == Beside::Nothing,
                Look::StartLF => matches!(before, Beside::Nothing | Beside::LineFeed),
                Look::End => after == Beside::Nothing,
                Look::EndLF => matches!(after, Beside::Nothing | Beside::LineFeed),
                Look::WordAscii => was != is,
                Look::WordAsciiNegate => was == is,
                Look::WordStartAscii => !was && is,
                Look::WordEndAscii => was && !is,
                Look::WordStartHalfAscii => !was,
                Look::WordEndHalfAscii => !is,
                // A pattern has no others.
                _ => false,
            })
        })
    }

    /// The nodes that are reached without a character, sorted; `None` if the pattern has matched. Looks
    /// that are not decided yet stay.
    fn reach(
        &mut self,
        from: impl Iterator<Item = u32>,
        decide: impl Fn(Look) -> Option<bool>,
    ) -> Result<Option<Vec<u32>>, RegexError> {
        self.round += 1;
        let mut waiting: Vec<u32> = from.collect();
        let mut reached = Vec::new();
        while let Some(number) = waiting.pop() {
            self.meter.steps(1)?;
            match self.seen.get_mut(number as usize) {
                Some(round) if *round != self.round => *round = self.round,
                _ => continue,
            }
            match self.nfa.node(number) {
                Node::Match => return Ok(None),
                Node::Character(..) => reached.push(number),
                Node::Any(branches) => waiting.extend(branches),
                Node::Look(look, then) => match decide(*look) {
                    Some(true) => waiting.push(*then),
                    Some(false) => {}
                    None => reached.push(number),
                },
            }
        }
        reached.sort_unstable();
        Ok(Some(reached))
    }

    fn accepts_at_end(&mut self, state: &State) -> Result<bool, RegexError> {
        match state {
            State::Matched => Ok(true),
            State::Open { nodes, before } => Ok(self.decided(nodes, *before, Beside::Nothing)?.is_none()),
        }
    }
}
