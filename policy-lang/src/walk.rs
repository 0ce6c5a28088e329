//! Walks: one automaton that answers several questions about one text in one pass over it.
//!
//! A question is a regular expression or a constant that the text may contain. What has been found on the
//! way is collected beside the automaton, so that its states need not remember it; the automata of all
//! questions about a text are joined into their product as long as that stays small. What does not fit is a
//! walk of its own, so that the text is passed as seldom as possible.

use crate::bug::{Bug, OrBug as _};
use crate::regex::{DFA_STATES_MAX, Dfa, Regex};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The most states of a walk.
pub(crate) const WALK_STATES_MAX: usize = 4_000;
/// The most questions of a walk: they are the bits of one word.
pub(crate) const WALK_QUESTIONS_MAX: usize = 64;
/// The most bytes of the tables of a walk in a module.
pub(crate) const WALK_BYTES_MAX: usize = 256 << 10;
/// The most steps that joining the walks of a program may take; what is left then stays apart.
pub(crate) const JOIN_STEPS_MAX: u64 = 4_000_000;

/// Something that is asked about a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Whether a pattern matches anywhere in it.
    Matches(Arc<Regex>),
    /// Whether it contains this.
    Contains(Arc<str>),
}

/// The walk that answers a question, and the number of the question there.
pub(crate) type Place = (usize, usize);

/// An automaton over bytes that answers questions, numbered from 0: with yes those that one of the states on
/// the way finds, and those that the last state accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Walk {
    /// The class of each byte.
    pub classes: [u8; 256],
    /// How many classes there are.
    pub class_count: u16,
    /// Next states, `class_count` for each state; a walk begins in state 0.
    pub transitions: Vec<u16>,
    /// For each state the questions that are answered with yes as soon as it is reached.
    pub found: Vec<u64>,
    /// For each state the questions that a text that ends there answers with yes.
    pub accepted: Vec<u64>,
    /// How many questions there are.
    pub questions: usize,
}

impl Question {
    /// The normal form: equal texts are equal questions.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Matches(regex) => format!("matches {:?}", regex.pattern()),
            Self::Contains(part) => format!("contains {part:?}"),
        }
    }

    /// Whether a walk can answer it at all.
    #[must_use]
    pub(crate) fn fits(&self) -> bool {
        match self {
            Self::Matches(_) => true,
            Self::Contains(part) => part.len() < DFA_STATES_MAX,
        }
    }
}

/// The walks that answer these questions, which are sorted and each there once, and for each question its
/// walk and its number there. Joining takes from `steps`.
///
/// # Errors
/// If an invariant of the compiler does not hold.
pub(crate) fn walks(questions: &[Question], steps: &mut u64) -> Result<(Vec<Walk>, Vec<Place>), Bug> {
    let mut walks = Vec::new();
    let mut places = Vec::new();
    for walk in joined(questions, steps)? {
        places.extend((0..walk.questions).map(|number| (walks.len(), number)));
        walks.push(walk);
    }
    Ok((walks, places))
}

/// The walks of some questions, in their order: those of both halves, joined if there is one of each.
fn joined(questions: &[Question], steps: &mut u64) -> Result<Vec<Walk>, Bug> {
    match questions {
        [] => Ok(Vec::new()),
        [only] => Ok(vec![Walk::of(only)]),
        _ => {
            let (left, right) = questions.split_at(questions.len() / 2);
            let (mut left, right) = (joined(left, steps)?, joined(right, steps)?);
            let both = match (left.as_slice(), right.as_slice()) {
                ([one], [other]) => one.join(other, steps)?,
                _ => None,
            };
            Ok(match both {
                Some(walk) => vec![walk],
                None => {
                    left.extend(right);
                    left
                }
            })
        }
    }
}

impl Walk {
    /// The walk of one question.
    #[must_use]
    pub(crate) fn of(question: &Question) -> Self {
        match question {
            Question::Matches(regex) => Self::of_dfa(regex.dfa()),
            Question::Contains(part) => Self::of_constant(part.as_bytes()),
        }
    }

    fn of_dfa(dfa: &Dfa) -> Self {
        // States are numbered as a walk finds them, so the first one is 0.
        debug_assert_eq!(dfa.start, 0, "a walk begins in state 0");
        let mut transitions = dfa.transitions.clone();
        let mut found = vec![0; dfa.state_count()];
        if let Some(matched) = dfa.matched.map(usize::from) {
            // What has matched need not be remembered by a state that is never left: the walk goes on as if
            // it began there.
            let width = usize::from(dfa.class_count);
            transitions.copy_within(0..width, matched * width);
            if let Some(bits) = found.get_mut(matched) {
                *bits = 1;
            }
        }
        Self {
            classes: dfa.classes,
            class_count: dfa.class_count,
            transitions,
            found,
            accepted: dfa.accepting.iter().map(|accepts| u64::from(*accepts)).collect(),
            questions: 1,
        }
    }

    /// The automaton of Knuth, Morris and Pratt: a state is how much of the constant ends where the walk is.
    fn of_constant(part: &[u8]) -> Self {
        let mut classes = [0_u8; 256];
        let mut letters: BTreeMap<u8, u8> = BTreeMap::new();
        for byte in part {
            // A text in UTF-8 has at most 243 different bytes, so the number fits.
            let fresh = (letters.len() + 1).min(usize::from(u8::MAX)) as u8;
            let class = *letters.entry(*byte).or_insert(fresh);
            if let Some(known) = classes.get_mut(usize::from(*byte)) {
                *known = class;
            }
        }
        let class_count = letters.len() as u16 + 1;
        let mut transitions = vec![0_u16; usize::from(class_count) * (part.len() + 1)];
        let width = usize::from(class_count);
        // The state of the longest beginning that ends one byte later than where the walk would be if it
        // had begun one byte later.
        let mut behind = 0_usize;
        for (state, byte) in part.iter().enumerate() {
            let class = usize::from(letters.get(byte).copied().unwrap_or_default());
            transitions.copy_within(behind * width..(behind + 1) * width, state * width);
            let after = transitions.get(behind * width + class).copied().unwrap_or_default();
            if let Some(next) = transitions.get_mut(state * width + class) {
                *next = (state + 1) as u16;
            }
            behind = usize::from(after);
        }
        let last = part.len();
        transitions.copy_within(behind * width..(behind + 1) * width, last * width);
        let yes: Vec<u64> = (0..=last).map(|state| u64::from(state == last)).collect();
        Self { classes, class_count, transitions, found: yes.clone(), accepted: yes, questions: 1 }
    }

    /// The walk that answers the questions of both, those of `self` first; `None` if it is too large or
    /// takes more steps than are left.
    fn join(&self, other: &Self, steps: &mut u64) -> Result<Option<Self>, Bug> {
        let questions = self.questions + other.questions;
        if questions > WALK_QUESTIONS_MAX {
            return Ok(None);
        }
        let (classes, pairs) = self.joined_classes(other);
        let Ok(class_count) = u16::try_from(pairs.len()) else { return Ok(None) };
        let states_max = WALK_STATES_MAX.min(WALK_BYTES_MAX / row_bytes(pairs.len()));
        let mut states: Vec<(u16, u16)> = vec![(0, 0)];
        let mut numbers: HashMap<(u16, u16), u16> = HashMap::from([((0, 0), 0)]);
        let (mut transitions, mut found, mut accepted) = (Vec::new(), Vec::new(), Vec::new());
        while let Some((one, two)) = states.get(found.len()).copied() {
            let Some(left) = steps.checked_sub(pairs.len() as u64) else { return Ok(None) };
            *steps = left;
            for (class, other_class) in &pairs {
                let next = (self.next(one, *class)?, other.next(two, *other_class)?);
                let fresh = u16::try_from(states.len()).or(Err(Bug::new("a walk has few states")))?;
                let number = *numbers.entry(next).or_insert(fresh);
                if number == fresh {
                    if states.len() == states_max {
                        return Ok(None);
                    }
                    states.push(next);
                }
                transitions.push(number);
            }
            found.push(self.joined_bits((&self.found, one), (&other.found, two))?);
            accepted.push(self.joined_bits((&self.accepted, one), (&other.accepted, two))?);
        }
        Ok(Some(Self { classes, class_count, transitions, found, accepted, questions }))
    }

    /// The classes in which neither tells two bytes apart, and what each is to both.
    fn joined_classes(&self, other: &Self) -> ([u8; 256], Vec<(u8, u8)>) {
        let mut numbers: BTreeMap<(u8, u8), u8> = BTreeMap::new();
        let mut pairs = Vec::new();
        let mut classes = [0_u8; 256];
        for ((class, one), two) in classes.iter_mut().zip(self.classes).zip(other.classes) {
            // There are at most 256 pairs, so the number fits.
            let fresh = pairs.len().min(usize::from(u8::MAX)) as u8;
            *class = *numbers.entry((one, two)).or_insert_with(|| {
                pairs.push((one, two));
                fresh
            });
        }
        (classes, pairs)
    }

    /// The bits of two states as those of one: of `self` first.
    fn joined_bits(&self, own: (&[u64], u16), others: (&[u64], u16)) -> Result<u64, Bug> {
        let of = |(bits, state): (&[u64], u16)| bits.get(usize::from(state)).copied();
        let (own, others) =
            (of(own).or_bug("each state has bits")?, of(others).or_bug("each state has bits")?);
        Ok(own | others << self.questions)
    }

    fn next(&self, state: u16, class: u8) -> Result<u16, Bug> {
        let at = usize::from(state) * usize::from(self.class_count) + usize::from(class);
        self.transitions.get(at).copied().or_bug("each state leads somewhere from each class")
    }
}

/// The bytes of a state in a module: what it finds and accepts, and where it leads from each class.
#[must_use]
pub(crate) fn row_bytes(classes: usize) -> usize {
    16 + 4 * classes
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    fn questions(texts: &[&str]) -> Vec<Question> {
        let mut all: Vec<Question> = texts
            .iter()
            .map(|text| match text.strip_prefix('~') {
                Some(pattern) => Question::Matches(Arc::new(Regex::new(pattern).unwrap())),
                None => Question::Contains((*text).into()),
            })
            .collect();
        all.sort_by_key(Question::text);
        all.dedup();
        all
    }

    fn holds(question: &Question, text: &[u8]) -> bool {
        match question {
            Question::Matches(regex) => regex.is_match(text),
            Question::Contains(part) => {
                part.is_empty() || text.windows(part.len()).any(|window| window == part.as_bytes())
            }
        }
    }

    /// Walks of these questions answer each of them as it is asked alone.
    #[track_caller]
    fn check(texts: &[&str], walk_count: usize, about: &[&[u8]]) {
        let questions = questions(texts);
        let (walks, places) = walks(&questions, &mut { JOIN_STEPS_MAX }).unwrap();
        assert_eq!(walks.len(), walk_count);
        for text in about {
            for (question, (walk, number)) in questions.iter().zip(&places) {
                let walk = &walks[*walk];
                let (end, found) = text.iter().fold((0, 0), |(state, found), byte| {
                    let next = walk.next(state, walk.classes[usize::from(*byte)]).unwrap();
                    (next, found | walk.found[usize::from(next)])
                });
                let yes = found | walk.accepted[usize::from(end)];
                let shown = String::from_utf8_lossy(text);
                assert_eq!(yes >> number & 1 == 1, holds(question, text), "{question:?} of {shown}");
            }
        }
    }

    #[test]
    fn one_walk_answers_what_each_question_asks() {
        let texts: &[&[u8]] = &[
            b"",
            b"a",
            b"ab",
            b"aab",
            b"abab",
            b"aabaaab",
            b"xaabaaabx",
            b"ana",
            b"banana",
            b"bananas",
            b"\xff\xfe",
            "größe".as_bytes(),
            b"cN cN2 cN19",
            b"ababab",
        ];
        check(
            &["", "a", "aabaaab", "ana", "nan", "bab", "~^a+b$", "~(a|b)*b$", "~.{3}", "gr\u{f6}"],
            1,
            texts,
        );
    }

    #[test]
    fn constants_with_a_common_beginning_share_their_states() {
        let common = "a".repeat(300);
        let all: Vec<String> = (0..60).map(|number| format!("{common}b{number}")).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let long = format!("{}b17", "a".repeat(700));
        check(&all, 1, &[long.as_bytes(), common.as_bytes(), b"b17"]);
    }

    #[test]
    fn what_does_not_fit_one_walk_takes_several() {
        // Each of these needs a state for each set of places of a letter among six characters.
        let questions = questions(&["~w.{6}$", "~x.{6}$", "~y.{6}$", "~z.{6}$"]);
        let (walks, _) = walks(&questions, &mut { JOIN_STEPS_MAX }).unwrap();
        assert_eq!(walks.len(), questions.len());
        let many: Vec<String> = (0..100).map(|number| format!("c{number}")).collect();
        let many = self::questions(&many.iter().map(String::as_str).collect::<Vec<_>>());
        let (together, _) = super::walks(&many, &mut { JOIN_STEPS_MAX }).unwrap();
        assert_eq!(together.len(), 2, "of at most 64 questions each");
        let (apart, _) = super::walks(&questions, &mut 0).unwrap();
        assert_eq!(apart.len(), questions.len(), "without steps nothing is joined");
    }

    #[test]
    fn a_constant_of_all_bytes_is_found() {
        let every: String = (1..=127_u8).map(char::from).collect();
        check(&[&every, "b"], 1, &[every.as_bytes(), format!("x{every}y").as_bytes(), b"b"]);
    }
}
