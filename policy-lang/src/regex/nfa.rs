//! From the meaning of a pattern to a nondeterministic automaton over sets of characters.

use super::RegexError;
use super::alphabet::Beside;
use super::meter::Meter;
use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};
use std::collections::HashMap;

/// A set of characters as ranges, both ends included.
type Ranges = Vec<(u32, u32)>;

/// The sets of characters that a pattern names, each once.
#[derive(Debug, Default)]
pub(super) struct Sets {
    pub(super) ranges: Vec<Ranges>,
    numbers: HashMap<Ranges, u16>,
    /// Whether the first two are the line feed and the characters of words, for the pattern looks at
    /// neighbours.
    has_neighbours: bool,
}

/// A node; the others are named by their numbers.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// One character of the set with this number, then the node.
    Character(u16, u32),
    /// What stands here must be so, then the node.
    Look(Look, u32),
    /// Any of the nodes.
    Any(Vec<u32>),
    /// The pattern has matched.
    Match,
}

/// The automaton. It has matched at the end of any path from `start` to [`Node::Match`].
#[derive(Debug)]
pub(super) struct Nfa {
    pub(super) nodes: Vec<Node>,
    pub(super) start: u32,
    pub(super) sets: Sets,
}

/// The characters of words, for `\b`.
const WORD: [(char, char); 4] = [('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];

impl Nfa {
    /// The automaton of a pattern.
    pub(super) fn of(hir: &Hir, meter: &mut Meter) -> Result<Self, RegexError> {
        let mut sets = Sets::default();
        if !hir.properties().look_set().is_empty() {
            sets.number(vec![(u32::from('\n'), u32::from('\n'))])?;
            sets.number(WORD.map(|(start, end)| (u32::from(start), u32::from(end))).to_vec())?;
            sets.has_neighbours = true;
        }
        let mut builder = Builder { nodes: vec![Node::Match], sets, meter };
        let start = builder.add(hir, 0)?;
        Ok(Self { nodes: builder.nodes, start, sets: builder.sets })
    }

    pub(super) fn node(&self, number: u32) -> &Node {
        self.nodes.get(number as usize).unwrap_or(&Node::Match)
    }
}

impl Sets {
    fn number(&mut self, ranges: Ranges) -> Result<u16, RegexError> {
        if let Some(known) = self.numbers.get(&ranges) {
            return Ok(*known);
        }
        let error = || RegexError::of("the pattern names too many sets of characters");
        let fresh = u16::try_from(self.ranges.len()).map_err(|_| error())?;
        self.numbers.insert(ranges.clone(), fresh);
        self.ranges.push(ranges);
        Ok(fresh)
    }

    /// What a character that is in these sets, and in no other, is to its neighbours.
    pub(super) fn beside(&self, sets: &[u16]) -> Beside {
        match (self.has_neighbours, sets.first()) {
            (true, Some(0)) => Beside::LineFeed,
            (true, Some(1)) => Beside::Word,
            _ => Beside::Other,
        }
    }
}

/// Adds nodes from the end of the pattern to its beginning, so that each knows the one behind it.
struct Builder<'m> {
    nodes: Vec<Node>,
    sets: Sets,
    meter: &'m mut Meter,
}

impl Builder<'_> {
    fn node(&mut self, node: Node) -> Result<u32, RegexError> {
        self.meter.steps(1)?;
        let number = u32::try_from(self.nodes.len()).map_err(|_| self.meter.too_large())?;
        self.nodes.push(node);
        Ok(number)
    }

    /// The node from which the pattern leads to `then`.
    fn add(&mut self, hir: &Hir, then: u32) -> Result<u32, RegexError> {
        self.meter.steps(1)?;
        match hir.kind() {
            HirKind::Empty => Ok(then),
            HirKind::Literal(literal) => self.literal(&literal.0, then),
            HirKind::Class(class) => self.class(class, then),
            HirKind::Look(look) => self.node(Node::Look(*look, then)),
            HirKind::Repetition(repetition) => self.repetition(repetition, then),
            HirKind::Capture(capture) => self.add(&capture.sub, then),
            HirKind::Concat(parts) => parts.iter().rev().try_fold(then, |then, part| self.add(part, then)),
            HirKind::Alternation(parts) => {
                let branches = parts.iter().map(|part| self.add(part, then)).collect::<Result<_, _>>()?;
                self.node(Node::Any(branches))
            }
        }
    }

    fn literal(&mut self, bytes: &[u8], then: u32) -> Result<u32, RegexError> {
        let text = std::str::from_utf8(bytes).map_err(|_| RegexError::of("the pattern is not UTF-8"))?;
        text.chars().rev().try_fold(then, |then, character| {
            let set = self.sets.number(vec![(u32::from(character), u32::from(character))])?;
            self.node(Node::Character(set, then))
        })
    }

    fn class(&mut self, class: &Class, then: u32) -> Result<u32, RegexError> {
        let ranges: Ranges = match class {
            Class::Unicode(class) => {
                class.iter().map(|range| (u32::from(range.start()), u32::from(range.end()))).collect()
            }
            // Of ASCII: the parser gives no other classes of bytes.
            Class::Bytes(class) => {
                class.iter().map(|range| (u32::from(range.start()), u32::from(range.end()))).collect()
            }
        };
        // The evaluator writes each range out whenever it is repeated, so it counts as often.
        self.meter.steps(ranges.len() as u64)?;
        let set = self.sets.number(ranges)?;
        self.node(Node::Character(set, then))
    }

    /// So often as it must be, then so often as it may be, or a loop.
    fn repetition(&mut self, repetition: &Repetition, then: u32) -> Result<u32, RegexError> {
        let sub = &repetition.sub;
        let mut from = then;
        match repetition.max {
            Some(max) => {
                for _ in repetition.min..max {
                    let once = self.add(sub, from)?;
                    from = self.node(Node::Any(vec![once, then]))?;
                }
            }
            None => {
                from = self.node(Node::Any(vec![then]))?;
                let once = self.add(sub, from)?;
                if let Some(Node::Any(branches)) = self.nodes.get_mut(from as usize) {
                    branches.push(once);
                }
            }
        }
        (0..repetition.min).try_fold(from, |from, _| self.add(sub, from))
    }
}
