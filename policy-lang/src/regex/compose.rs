//! From the meaning of a pattern to the tables of its DFA.
//!
//! ```text
//! pattern --regex-automata--> DFA over UTF-8 --explore--> DFA over any bytes --merge--> smallest --> tables
//! ```
//!
//! The first automaton knows valid UTF-8 only. A state of the second one follows two readings of
//! the bytes of a started character: as that character, and as stray bytes, each U+FFFD. The byte
//! that completes or breaks the character tells which reading goes on.

use super::utf8::{Pending, Step};
use super::{DFA_STATES_MAX, Dfa, RegexError};
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::{primitives::StateID, start};
use regex_automata::{Anchored, MatchKind};
use regex_syntax::hir::{Dot, Hir, Repetition};
use std::collections::BTreeMap;

/// The most memory that building the first automaton may take, in bytes.
const BUILD_BYTES_MAX: usize = 8 << 20;
/// The most states that are explored before equal ones are merged.
const EXPLORED_STATES_MAX: usize = 4 * DFA_STATES_MAX;

/// The tables for a pattern that may match anywhere.
pub(super) fn dfa_of(hir: &Hir) -> Result<Dfa, RegexError> {
    let utf8 = utf8_automaton(hir)?;
    let explored = explore(&utf8)?;
    let merged = merge_equal_states(&explored);
    if merged.accepting.len() > DFA_STATES_MAX {
        return Err(too_large());
    }
    Ok(tables(&merged))
}

fn too_large() -> RegexError {
    let message = format!("the pattern needs more than {DFA_STATES_MAX} states");
    RegexError { message, at: None }
}

/// The automaton of `any characters, then the pattern` over valid UTF-8.
fn utf8_automaton(hir: &Hir) -> Result<dense::DFA<Vec<u32>>, RegexError> {
    let anything = Hir::repetition(Repetition {
        min: 0,
        max: None,
        greedy: false,
        sub: Box::new(Hir::dot(Dot::AnyChar)),
    });
    let anywhere = Hir::concat(vec![anything, hir.clone()]);
    let limits = thompson::Config::new()
        .which_captures(thompson::WhichCaptures::None)
        .nfa_size_limit(Some(BUILD_BYTES_MAX));
    let nfa =
        thompson::Compiler::new().configure(limits).build_from_hir(&anywhere).map_err(|_| too_large())?;
    let config = dense::Config::new()
        .start_kind(StartKind::Anchored)
        .match_kind(MatchKind::All)
        .accelerate(false)
        .dfa_size_limit(Some(BUILD_BYTES_MAX))
        .determinize_size_limit(Some(BUILD_BYTES_MAX));
    dense::Builder::new().configure(config).build_from_nfa(&nfa).map_err(|_| too_large())
}

/// A state of the automaton over any bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// The pattern has matched; nothing can change that.
    Matched,
    /// It has not matched yet.
    Open {
        /// Where the first automaton is if the started character becomes complete.
        whole: StateID,
        /// Where it is if the started bytes are stray.
        stray: StateID,
        /// The started character.
        pending: Pending,
    },
}

/// An automaton whose states lead from each of the 256 bytes to a state.
struct Explored {
    next: Vec<Vec<u16>>,
    accepting: Vec<bool>,
}

fn explore(utf8: &dense::DFA<Vec<u32>>) -> Result<Explored, RegexError> {
    let start = start::Config::new().anchored(Anchored::Yes);
    let start = utf8.start_state(&start).map_err(|error| RegexError::of(&error))?;
    let walk = Walk { utf8, replacement: char::REPLACEMENT_CHARACTER.to_string().into_bytes() };
    let first = walk.open(start, start, Pending::None);
    let mut numbers = BTreeMap::from([(first, 0_u16)]);
    let mut queue = vec![first];
    let mut explored = Explored { next: Vec::new(), accepting: Vec::new() };
    while let Some(state) = queue.get(explored.next.len()).copied() {
        let mut row = Vec::with_capacity(256);
        for byte in 0..=u8::MAX {
            let next = walk.step(state, byte);
            let number = match numbers.get(&next) {
                Some(number) => *number,
                None => {
                    let number =
                        u16::try_from(queue.len()).ok().filter(|at| usize::from(*at) < EXPLORED_STATES_MAX);
                    let number = number.ok_or_else(too_large)?;
                    numbers.insert(next, number);
                    queue.push(next);
                    number
                }
            };
            row.push(number);
        }
        explored.next.push(row);
        explored.accepting.push(walk.accepts_at_end(state));
    }
    Ok(explored)
}

/// One step of the automaton over any bytes.
struct Walk<'a> {
    utf8: &'a dense::DFA<Vec<u32>>,
    replacement: Vec<u8>,
}

impl Walk<'_> {
    /// The state, or [`State::Matched`] if the reading that is certain has matched. (The first
    /// automaton reports a match one byte late.)
    fn open(&self, whole: StateID, stray: StateID, pending: Pending) -> State {
        if pending == Pending::None && self.utf8.is_match_state(whole) {
            State::Matched
        } else {
            State::Open { whole, stray, pending }
        }
    }

    fn step(&self, state: State, byte: u8) -> State {
        let State::Open { whole, stray, pending } = state else { return State::Matched };
        match pending.step(byte) {
            Step::Complete => {
                let whole = self.read(whole, &[byte]);
                self.open(whole, whole, Pending::None)
            }
            Step::More(pending) => State::Open {
                whole: self.read(whole, &[byte]),
                stray: self.read(stray, &self.replacement),
                pending,
            },
            Step::Stray => {
                let stray = self.read(stray, &self.replacement);
                self.open(stray, stray, Pending::None)
            }
            Step::Broken => self.step(self.open(stray, stray, Pending::None), byte),
        }
    }

    /// The state behind these bytes; a match state stays, for a match is never lost.
    fn read(&self, state: StateID, bytes: &[u8]) -> StateID {
        bytes.iter().fold(state, |state, byte| {
            if self.utf8.is_match_state(state) { state } else { self.utf8.next_state(state, *byte) }
        })
    }

    fn accepts_at_end(&self, state: State) -> bool {
        match state {
            State::Matched => true,
            State::Open { stray, .. } => {
                self.utf8.is_match_state(stray) || self.utf8.is_match_state(self.utf8.next_eoi_state(stray))
            }
        }
    }
}

/// Merges states that no text tells apart (Moore's refinement), numbered as a walk finds them.
fn merge_equal_states(explored: &Explored) -> Explored {
    let mut group: Vec<u16> = explored.accepting.iter().map(|accepting| u16::from(*accepting)).collect();
    let mut group_count = 0;
    loop {
        let mut numbers: BTreeMap<(u16, Vec<u16>), u16> = BTreeMap::new();
        let refined: Vec<u16> = (group.iter().zip(&explored.next))
            .map(|(own, row)| {
                let signature = (*own, row.iter().map(|next| at(&group, *next)).collect());
                let fresh = u16::try_from(numbers.len()).unwrap_or(u16::MAX);
                *numbers.entry(signature).or_insert(fresh)
            })
            .collect();
        group = refined;
        if numbers.len() == group_count {
            break;
        }
        group_count = numbers.len();
    }
    // Numbers were given in the order of the explored states, so the start is still 0.
    let mut merged = Explored { next: Vec::new(), accepting: Vec::new() };
    for ((own, row), accepting) in group.iter().zip(&explored.next).zip(&explored.accepting) {
        if usize::from(*own) == merged.next.len() {
            merged.next.push(row.iter().map(|next| at(&group, *next)).collect());
            merged.accepting.push(*accepting);
        }
    }
    merged
}

fn at(group: &[u16], state: u16) -> u16 {
    group.get(usize::from(state)).copied().unwrap_or_default()
}

/// The tables, with bytes that lead to the same states everywhere in one class.
fn tables(automaton: &Explored) -> Dfa {
    let mut columns: BTreeMap<Vec<u16>, u8> = BTreeMap::new();
    let mut classes = [0_u8; 256];
    let mut representatives: Vec<usize> = Vec::new();
    for (byte, class) in classes.iter_mut().enumerate() {
        let column: Vec<u16> = automaton.next.iter().map(|row| at(row, byte as u16)).collect();
        // There are at most 256 columns, so the number fits.
        let fresh = u8::try_from(columns.len()).unwrap_or(u8::MAX);
        *class = *columns.entry(column).or_insert_with(|| {
            representatives.push(byte);
            fresh
        });
    }
    let of_row =
        |row: &Vec<u16>| representatives.iter().map(|byte| at(row, *byte as u16)).collect::<Vec<u16>>();
    let never_left = |accepting: bool| {
        let mut states = (0_u16..).zip(automaton.next.iter().zip(&automaton.accepting));
        let found =
            states.find(|(state, (row, own))| **own == accepting && row.iter().all(|next| next == state));
        found.map(|(state, _)| state)
    };
    Dfa {
        classes,
        class_count: representatives.len() as u16,
        transitions: automaton.next.iter().flat_map(of_row).collect(),
        start: 0,
        accepting: automaton.accepting.clone(),
        matched: never_left(true),
        dead: never_left(false),
    }
}
