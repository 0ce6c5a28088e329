//! From the automaton over characters to the one over bytes that a module carries.
//!
//! A byte that is no UTF-8 is one character U+FFFD. So while a character of several bytes is incomplete,
//! both readings of its bytes are followed: as that character, and as so many U+FFFD. The byte that
//! completes or breaks it tells which reading goes on. Such a state between characters is known by where
//! each byte that may continue the character leads, and by where the other reading is; two that agree in
//! both are one, and one that leads nowhere else than the other reading is that.

use super::alphabet::{Alphabet, Class};
use super::determinise::Dfa as CharacterDfa;
use super::meter::Meter;
use super::{DFA_STATES_MAX, Dfa, RegexError};
use std::collections::HashMap;

/// Bytes that continue a character.
const CONTINUATION: std::ops::RangeInclusive<u8> = 0x80..=0xbf;

/// Where a byte that may continue a character leads, whatever the state: up to this byte, to that.
type Run<T> = (u8, T);

/// What the bytes so far have made of a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Reading {
    /// One of this class.
    Complete(Class),
    /// The beginning of one: the number of a node.
    More(u32),
    /// Nothing that can become one.
    Broken,
}

/// The characters of several bytes as a trie, in which equal nodes are one.
struct Trie<'a> {
    alphabet: &'a Alphabet,
    nodes: Vec<Vec<Run<Reading>>>,
    numbers: HashMap<Vec<Run<Reading>>, u32>,
    /// Nodes whose characters are all of one class, by how many bytes are missing.
    uniform: HashMap<(u8, Class), u32>,
}

/// Code points, both ends included.
#[derive(Clone, Copy)]
struct Block {
    first: u32,
    last: u32,
}

impl Trie<'_> {
    /// What a byte that begins a character makes of it.
    fn lead(&mut self, byte: u8, meter: &mut Meter) -> Result<Reading, RegexError> {
        let value = u32::from(byte);
        let (missing, first) = match byte {
            0xc2..=0xdf => (1, (value & 0x1f) << 6),
            0xe0..=0xef => (2, (value & 0x0f) << 12),
            0xf0..=0xf4 => (3, (value & 0x07) << 18),
            _ => return Ok(Reading::Broken),
        };
        // Shorter forms, surrogates and what lies behind the last code point are no characters.
        let valid = match byte {
            0xe0 => Block { first: 0x800, last: 0xfff },
            0xed => Block { first: 0xd000, last: 0xd7ff },
            0xf0 => Block { first: 0x1_0000, last: 0x3_ffff },
            0xf4 => Block { first: 0x10_0000, last: 0x10_ffff },
            _ => Block { first, last: first + (1 << (6 * missing)) - 1 },
        };
        Ok(Reading::More(self.node(first, missing, valid, meter)?))
    }

    /// The node of the characters from `first` on of which so many bytes are missing.
    fn node(&mut self, first: u32, missing: u8, valid: Block, meter: &mut Meter) -> Result<u32, RegexError> {
        let last = first + (1 << (6 * missing)) - 1;
        let (class, same_until) = self.alphabet.interval(first);
        let is_uniform = same_until >= last && valid.first <= first && last <= valid.last;
        if let Some(known) = self.uniform.get(&(missing, class)).filter(|_| is_uniform) {
            return Ok(*known);
        }
        let step = 1 << (6 * (missing - 1));
        let mut runs: Vec<Run<Reading>> = Vec::new();
        for (byte, start) in CONTINUATION.zip((first..).step_by(step as usize)) {
            meter.steps(1)?;
            let reading = if start < valid.first || start > valid.last {
                Reading::Broken
            } else if missing == 1 {
                Reading::Complete(self.alphabet.class_of(start))
            } else {
                Reading::More(self.node(start, missing - 1, valid, meter)?)
            };
            extend(&mut runs, byte, reading);
        }
        let fresh = u32::try_from(self.nodes.len()).map_err(|_| meter.too_large())?;
        let number = *self.numbers.entry(runs.clone()).or_insert(fresh);
        if number == fresh {
            self.nodes.push(runs);
        }
        if is_uniform {
            self.uniform.insert((missing, class), number);
        }
        Ok(number)
    }
}

/// Adds a byte to runs.
fn extend<T: PartialEq>(runs: &mut Vec<Run<T>>, byte: u8, value: T) {
    match runs.last_mut() {
        Some((last, known)) if *known == value => *last = byte,
        _ => runs.push((byte, value)),
    }
}

/// A state of the automaton over bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum State {
    /// Between two characters: a state of the automaton over characters.
    Between(u16),
    /// In a character: the number of an [`Inside`].
    Inside(u32),
}

/// In a character.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Inside {
    /// Where bytes that may continue it lead.
    runs: Vec<Run<State>>,
    /// Where the other reading is, that the bytes so far are stray.
    stray: u16,
}

struct Expansion<'a> {
    dfa: &'a CharacterDfa,
    alphabet: &'a Alphabet,
    meter: &'a mut Meter,
    trie: Vec<Vec<Run<Reading>>>,
    /// The class of U+FFFD.
    stray: Class,
    inside: Vec<Inside>,
    numbers: HashMap<Inside, u32>,
    /// By state of the automaton over characters, node and bytes so far, where that is.
    known: HashMap<(u16, u32, u8), State>,
}

/// The automaton over bytes, as tables.
pub(super) fn expand(dfa: &CharacterDfa, alphabet: &Alphabet, meter: &mut Meter) -> Result<Dfa, RegexError> {
    let mut trie = Trie { alphabet, nodes: Vec::new(), numbers: HashMap::new(), uniform: HashMap::new() };
    let leads = (0..=u8::MAX).map(|byte| trie.lead(byte, meter)).collect::<Result<Vec<_>, _>>()?;
    let groups = Groups::of(alphabet, &leads, &trie.nodes);
    let mut expansion = Expansion {
        dfa,
        alphabet,
        meter,
        trie: trie.nodes,
        stray: alphabet.class_of(u32::from(char::REPLACEMENT_CHARACTER)),
        inside: Vec::new(),
        numbers: HashMap::new(),
        known: HashMap::new(),
    };
    let mut states = vec![State::Between(0)];
    let mut numbers = Numbers::default();
    numbers.of(State::Between(0), 0);
    let (mut rows, mut accepting) = (Vec::new(), Vec::new());
    while let Some(state) = states.get(rows.len()).copied() {
        let mut row = Vec::with_capacity(groups.representatives.len());
        for byte in &groups.representatives {
            let next = expansion.behind(state, *byte, &leads)?;
            let fresh = u16::try_from(states.len()).unwrap_or(u16::MAX);
            let number = numbers.of(next, fresh);
            if number == fresh {
                if states.len() == DFA_STATES_MAX {
                    return Err(expansion.meter.too_large());
                }
                states.push(next);
            }
            row.push(number);
        }
        rows.push(row);
        accepting.push(dfa.accepts(expansion.as_stray(state)));
    }
    Ok(groups.tables(&rows, accepting))
}

/// The numbers of states, in the order in which they are found.
#[derive(Default)]
struct Numbers {
    between: Vec<Option<u16>>,
    inside: Vec<Option<u16>>,
}

impl Numbers {
    /// The number of a state: the fresh one, if it has none.
    fn of(&mut self, state: State, fresh: u16) -> u16 {
        let (list, at) = match state {
            State::Between(state) => (&mut self.between, usize::from(state)),
            State::Inside(number) => (&mut self.inside, number as usize),
        };
        if list.len() <= at {
            list.resize(at + 1, None);
        }
        list.get_mut(at).map_or(fresh, |slot| *slot.get_or_insert(fresh))
    }
}

impl Expansion<'_> {
    /// Where the reading is that nothing is incomplete.
    fn as_stray(&self, state: State) -> u16 {
        match state {
            State::Between(state) => state,
            State::Inside(number) => self.inside.get(number as usize).map_or(0, |inside| inside.stray),
        }
    }

    fn behind(&mut self, state: State, byte: u8, leads: &[Reading]) -> Result<State, RegexError> {
        self.meter.steps(1)?;
        if let State::Inside(number) = state
            && CONTINUATION.contains(&byte)
        {
            let runs =
                self.inside.get(number as usize).map(|inside| inside.runs.as_slice()).unwrap_or_default();
            let at = runs.partition_point(|(last, _)| *last < byte);
            return Ok(runs.get(at).map_or(state, |(_, next)| *next));
        }
        let between = self.as_stray(state);
        if byte.is_ascii() {
            let class = self.alphabet.class_of(u32::from(byte));
            return Ok(State::Between(self.dfa.next(between, class)));
        }
        match leads.get(usize::from(byte)) {
            Some(Reading::More(node)) => self.enter(between, *node, 1),
            _ => Ok(State::Between(self.dfa.next(between, self.stray))),
        }
    }

    /// The state in a character of which so many bytes have been read, behind a state between characters.
    fn enter(&mut self, from: u16, node: u32, read: u8) -> Result<State, RegexError> {
        if let Some(known) = self.known.get(&(from, node, read)) {
            return Ok(*known);
        }
        let stray = (0..read).fold(from, |state, _| self.dfa.next(state, self.stray));
        let broken = State::Between(self.dfa.next(stray, self.stray));
        let mut runs = Vec::new();
        for (last, reading) in self.trie.get(node as usize).cloned().unwrap_or_default() {
            self.meter.steps(1)?;
            let next = match reading {
                Reading::Complete(class) => State::Between(self.dfa.next(from, class)),
                Reading::More(node) => self.enter(from, node, read + 1)?,
                Reading::Broken => broken,
            };
            extend(&mut runs, last, next);
        }
        let state = match runs.as_slice() {
            [(_, only)] if *only == broken => State::Between(stray),
            _ => self.inside(Inside { runs, stray })?,
        };
        self.known.insert((from, node, read), state);
        Ok(state)
    }

    fn inside(&mut self, inside: Inside) -> Result<State, RegexError> {
        let fresh = u32::try_from(self.inside.len()).map_err(|_| self.meter.too_large())?;
        let number = *self.numbers.entry(inside.clone()).or_insert(fresh);
        if number == fresh {
            self.inside.push(inside);
        }
        Ok(State::Inside(number))
    }
}

/// Bytes that all states treat alike, before it is known which other bytes they treat alike.
struct Groups {
    /// The group of each byte.
    of_byte: Vec<usize>,
    /// The first byte of each group.
    representatives: Vec<u8>,
}

impl Groups {
    fn of(alphabet: &Alphabet, leads: &[Reading], nodes: &[Vec<Run<Reading>>]) -> Self {
        let mut ends = [false; 256];
        for (last, _) in nodes.iter().flatten() {
            if let Some(end) = ends.get_mut(usize::from(*last)) {
                *end = true;
            }
        }
        #[derive(PartialEq, Eq, Hash)]
        enum Kind {
            Ascii(Class),
            Continuation(usize),
            Lead(Reading),
        }
        let mut this = Self { of_byte: Vec::with_capacity(256), representatives: Vec::new() };
        let mut numbers: HashMap<Kind, usize> = HashMap::new();
        let mut run = 0;
        for (byte, lead) in (0..=u8::MAX).zip(leads) {
            let kind = if byte.is_ascii() {
                Kind::Ascii(alphabet.class_of(u32::from(byte)))
            } else if CONTINUATION.contains(&byte) {
                Kind::Continuation(run)
            } else {
                Kind::Lead(*lead)
            };
            run += usize::from(ends.get(usize::from(byte)).copied().unwrap_or(false));
            let group = *numbers.entry(kind).or_insert_with(|| {
                this.representatives.push(byte);
                this.representatives.len() - 1
            });
            this.of_byte.push(group);
        }
        this
    }

    /// The tables, with bytes that lead to the same states everywhere in one class.
    fn tables(&self, rows: &[Vec<u16>], accepting: Vec<bool>) -> Dfa {
        let mut columns: HashMap<Vec<u16>, u8> = HashMap::new();
        let mut of_group: Vec<u8> = Vec::with_capacity(self.representatives.len());
        let mut kept: Vec<usize> = Vec::new();
        for group in 0..self.representatives.len() {
            let column: Vec<u16> =
                rows.iter().map(|row| row.get(group).copied().unwrap_or_default()).collect();
            // There are at most 256 groups, so the number fits.
            let fresh = u8::try_from(kept.len()).unwrap_or(u8::MAX);
            of_group.push(*columns.entry(column).or_insert_with(|| {
                kept.push(group);
                fresh
            }));
        }
        let mut classes = [0_u8; 256];
        for (class, group) in classes.iter_mut().zip(&self.of_byte) {
            *class = of_group.get(*group).copied().unwrap_or_default();
        }
        let never_left = |wanted: bool| {
            let mut states = (0_u16..).zip(rows.iter().zip(&accepting));
            let found = states
                .find(|(state, (row, accepts))| **accepts == wanted && row.iter().all(|next| next == state));
            found.map(|(state, _)| state)
        };
        let (matched, dead) = (never_left(true), never_left(false));
        let kept_of = |row: &Vec<u16>| {
            kept.iter().map(|group| row.get(*group).copied().unwrap_or_default()).collect::<Vec<u16>>()
        };
        Dfa {
            classes,
            class_count: u16::try_from(kept.len()).unwrap_or(u16::MAX),
            transitions: rows.iter().flat_map(kept_of).collect(),
            start: 0,
            accepting,
            matched,
            dead,
        }
    }
}
