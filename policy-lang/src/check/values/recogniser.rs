//! Sets of texts that are recognised byte by byte, and whether some text is in several of them.

use crate::checked::{PathPattern, Segment};
use crate::regex::Dfa;
use std::collections::{BTreeMap, BTreeSet};

/// So many steps are made to find a text; a question that takes more stays open.
const STEPS_MAX: usize = 20_000;

/// What is asked of a text.
#[derive(Clone, Debug)]
pub(in crate::check) enum Recogniser<'a> {
    /// It is this.
    Equal(&'a [u8]),
    /// It begins with this.
    Begins(&'a [u8]),
    /// This stands somewhere in it.
    Contains(Needle<'a>),
    /// It ends with this.
    Ends(Needle<'a>),
    /// The pattern matches.
    Matches(&'a Dfa),
    /// The pattern does not match.
    MatchesNot(&'a Dfa),
    /// It is a path that fits the pattern.
    Path(&'a PathPattern),
}

/// A text that is looked for, by the method of Knuth, Morris and Pratt.
#[derive(Clone, Debug)]
pub(in crate::check) struct Needle<'a> {
    text: &'a [u8],
    /// For each beginning, how long the longest shorter beginning is that it ends with.
    borders: Vec<usize>,
}

impl<'a> Needle<'a> {
    pub(in crate::check) fn new(text: &'a [u8]) -> Self {
        let mut needle = Self { text, borders: Vec::with_capacity(text.len()) };
        let mut border = 0;
        for (at, byte) in text.iter().enumerate() {
            border = if at == 0 { 0 } else { needle.next(border, *byte) };
            needle.borders.push(border);
        }
        needle
    }

    /// How much of its beginning stands at the end, where so much of it did and a byte follows.
    fn next(&self, mut length: usize, byte: u8) -> usize {
        loop {
            if self.text.get(length) == Some(&byte) {
                return length + 1;
            }
            match length.checked_sub(1).and_then(|last| self.borders.get(last)) {
                Some(border) => length = *border,
                None => return 0,
            }
        }
    }
}

/// How a text is changed before something is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::check) enum Case {
    Kept,
    Lower,
    Upper,
}

impl Case {
    fn of(self, byte: u8) -> u8 {
        match self {
            Self::Kept => byte,
            Self::Lower => byte.to_ascii_lowercase(),
            Self::Upper => byte.to_ascii_uppercase(),
        }
    }
}

/// What the bytes so far have come to; `None` in its place where no text that begins so is in the set.
type State = u64;

/// The state of a path pattern in front of the first slash, and the one behind all that it asks.
const BEFORE: State = u64::MAX;
const REST: State = u64::MAX - 1;

impl Recogniser<'_> {
    fn start(&self) -> State {
        match self {
            Self::Matches(dfa) | Self::MatchesNot(dfa) => u64::from(dfa.start),
            Self::Path(_) => BEFORE,
            Self::Equal(_) | Self::Begins(_) | Self::Contains(_) | Self::Ends(_) => 0,
        }
    }

    fn next(&self, state: State, byte: u8) -> Option<State> {
        let at = usize::try_from(state).unwrap_or(usize::MAX);
        match self {
            Self::Equal(text) => (text.get(at) == Some(&byte)).then_some(state + 1),
            Self::Begins(text) if at == text.len() => Some(state),
            Self::Begins(text) => (text.get(at) == Some(&byte)).then_some(state + 1),
            Self::Contains(needle) if at == needle.text.len() => Some(state),
            Self::Contains(needle) | Self::Ends(needle) => Some(needle.next(at, byte) as u64),
            Self::Matches(dfa) => {
                let next = dfa.next(u16::try_from(state).unwrap_or_default(), byte);
                (dfa.dead != Some(next)).then_some(u64::from(next))
            }
            Self::MatchesNot(dfa) => {
                let next = dfa.next(u16::try_from(state).unwrap_or_default(), byte);
                (dfa.matched != Some(next)).then_some(u64::from(next))
            }
            Self::Path(pattern) => path_next(pattern, state, byte),
        }
    }

    fn accepts(&self, state: State) -> bool {
        let at = usize::try_from(state).unwrap_or(usize::MAX);
        match self {
            Self::Equal(text) | Self::Begins(text) => at == text.len(),
            Self::Contains(needle) | Self::Ends(needle) => at == needle.text.len(),
            Self::Matches(dfa) => dfa.accepts_at_end(u16::try_from(state).unwrap_or_default()),
            Self::MatchesNot(dfa) => !dfa.accepts_at_end(u16::try_from(state).unwrap_or_default()),
            Self::Path(pattern) => path_accepts(pattern, state),
        }
    }

    /// The bytes that it tells from others one by one.
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Equal(text) | Self::Begins(text) => text.to_vec(),
            Self::Contains(needle) | Self::Ends(needle) => needle.text.to_vec(),
            Self::Matches(_) | Self::MatchesNot(_) => Vec::new(),
            Self::Path(pattern) => {
                let literals = pattern.segments.iter().filter_map(|segment| match segment {
                    Segment::Literal(text) => Some(text.as_slice()),
                    Segment::Any => None,
                });
                literals.flatten().copied().chain([b'/']).collect()
            }
        }
    }

    /// What it tells of a byte, beside [`Recogniser::bytes`].
    fn class(&self, byte: u8) -> u8 {
        match self {
            Self::Matches(dfa) | Self::MatchesNot(dfa) => {
                dfa.classes.get(usize::from(byte)).copied().unwrap_or_default()
            }
            _ => 0,
        }
    }

    /// Whether a whole text is in the set.
    fn holds(&self, mut text: impl Iterator<Item = u8>) -> bool {
        let end = text.try_fold(self.start(), |state, byte| self.next(state, byte));
        end.is_some_and(|state| self.accepts(state))
    }
}

/// A place in a path pattern: the number of the segment, and how much of it stood there.
fn path_place(state: State) -> (usize, usize) {
    let part = |value: u64| usize::try_from(value & u64::from(u32::MAX)).unwrap_or(usize::MAX);
    (part(state >> 32), part(state))
}

fn path_next(pattern: &PathPattern, state: State, byte: u8) -> Option<State> {
    let begin = |segment: usize| match pattern.segments.get(segment) {
        Some(_) => Some((segment as u64) << 32),
        None => pattern.rest.then_some(REST),
    };
    match state {
        BEFORE => (byte == b'/').then(|| begin(0)).flatten(),
        REST => Some(REST),
        _ => {
            let (segment, at) = path_place(state);
            match (pattern.segments.get(segment)?, byte) {
                (Segment::Literal(text), b'/') => (at == text.len()).then(|| begin(segment + 1)).flatten(),
                (Segment::Literal(text), byte) => (text.get(at) == Some(&byte)).then_some(state + 1),
                (Segment::Any, b'/') => (at > 0).then(|| begin(segment + 1)).flatten(),
                (Segment::Any, _) => Some(if at > 0 { state } else { state + 1 }),
            }
        }
    }
}

fn path_accepts(pattern: &PathPattern, state: State) -> bool {
    let (segment, at) = match state {
        BEFORE => return false,
        REST => return true,
        state => path_place(state),
    };
    let is_whole = match pattern.segments.get(segment) {
        Some(Segment::Literal(text)) => at == text.len(),
        Some(Segment::Any) => at > 0,
        None => false,
    };
    is_whole && segment + 1 == pattern.segments.len()
}

/// What a search has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::check) enum Found {
    /// A shortest text that is in all sets, as it was before it was changed.
    Text(Vec<u8>),
    /// There is none.
    None,
    /// It took too many steps.
    Open,
}

/// Looks for a shortest text that is in all of the first sets, and with its letters changed so in all of the
/// second ones. Also says how many steps it made.
pub(in crate::check) fn common(
    sets: &[Recogniser<'_>],
    case: Case,
    asked: &[Recogniser<'_>],
) -> (Found, usize) {
    let search = Search { sets, case, asked };
    if let Some(text) = search.only() {
        let is_common = search.all().all(|(set, case)| set.holds(text.iter().map(|byte| case.of(*byte))));
        return (if is_common { Found::Text(text.to_vec()) } else { Found::None }, 1 + text.len());
    }
    let bytes = search.bytes();
    let start = search.start();
    let mut steps = usize::from(u8::MAX);
    let mut seen = BTreeSet::from([start.clone()]);
    // Each state with the one before it and the byte between, to say the text.
    let mut reached: Vec<(Vec<State>, usize, u8)> = vec![(start, 0, 0)];
    let mut at = 0;
    while let Some((state, _, _)) = reached.get(at).cloned() {
        if search.accepts(&state) {
            return (Found::Text(text_to(&reached, at)), steps);
        }
        for byte in &bytes {
            steps += 1;
            if let Some(next) = search.next(&state, *byte)
                && seen.insert(next.clone())
            {
                reached.push((next, at, *byte));
            }
        }
        if steps > STEPS_MAX {
            return (Found::Open, steps);
        }
        at += 1;
    }
    (Found::None, steps)
}

fn text_to(reached: &[(Vec<State>, usize, u8)], mut at: usize) -> Vec<u8> {
    let mut text = Vec::new();
    while at > 0
        && let Some((_, before, byte)) = reached.get(at)
    {
        text.push(*byte);
        at = *before;
    }
    text.reverse();
    text
}

struct Search<'a> {
    sets: &'a [Recogniser<'a>],
    case: Case,
    asked: &'a [Recogniser<'a>],
}

impl Search<'_> {
    fn all(&self) -> impl Iterator<Item = (&Recogniser<'_>, Case)> {
        let sets = self.sets.iter().map(|set| (set, Case::Kept));
        sets.chain(self.asked.iter().map(|asked| (asked, self.case)))
    }

    /// The one text that can be in all sets, if that shows.
    fn only(&self) -> Option<&[u8]> {
        let mut unchanged = self.all().filter(|(_, case)| *case == Case::Kept);
        unchanged.find_map(|(set, _)| match set {
            Recogniser::Equal(text) => Some(*text),
            _ => None,
        })
    }

    fn start(&self) -> Vec<State> {
        self.all().map(|(set, _)| set.start()).collect()
    }

    fn next(&self, states: &[State], byte: u8) -> Option<Vec<State>> {
        self.all().zip(states).map(|((set, case), state)| set.next(*state, case.of(byte))).collect()
    }

    fn accepts(&self, states: &[State]) -> bool {
        self.all().zip(states).all(|((set, _), state)| set.accepts(*state))
    }

    /// A byte for each kind of bytes that are the same to all sets; letters and digits first, for texts that
    /// people can read.
    fn bytes(&self) -> Vec<u8> {
        let single: Vec<BTreeSet<u8>> =
            self.all().map(|(set, _)| set.bytes().into_iter().collect()).collect();
        let kind = |byte: u8| -> Vec<(u8, Option<u8>)> {
            let of_set = |((set, case), single): ((&Recogniser<'_>, Case), &BTreeSet<u8>)| {
                let byte = case.of(byte);
                (set.class(byte), single.contains(&byte).then_some(byte))
            };
            self.all().zip(&single).map(of_set).collect()
        };
        let mut kinds: BTreeMap<Vec<(u8, Option<u8>)>, u8> = BTreeMap::new();
        let readable = (b'a'..=b'z').chain(b'0'..=b'9').chain(b'A'..=b'Z').chain(b'!'..=b'~');
        for byte in readable.chain(0..=u8::MAX) {
            kinds.entry(kind(byte)).or_insert(byte);
        }
        kinds.into_values().collect()
    }
}
