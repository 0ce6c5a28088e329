//! Classes of the path: a deterministic automaton over its segments.
//!
//! Patterns are kept in a trie whose edges are literal segments and `*`. A state of the automaton
//! is a set of trie nodes and the set of predicates that a `/**` on the way has made true for
//! good. Patterns with `*` at the same depths are at one node at a time, so their states are no
//! more than their segments; others can multiply. So patterns are grouped by the depths of their
//! `*`, and groups are joined only while the states stay few; each group is an attribute of its own.

use super::{AttributeClasses, AttributeKind, Builder, ClassId, Members, Predicates, Stop};
use crate::bug::{OrBug as _, number};
use crate::checked::{PathPattern, Segment};
use crate::literals::{Atom, Formula};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Groups are joined while their automaton has at most twice as many states as the patterns have
/// segments, and this many more.
pub const PATH_STATES_SLACK: usize = 100;

/// So many steps for each of their segments are made to find out whether some groups can be joined,
const ATTEMPT_FACTOR: usize = 2;
/// so many for each segment of all patterns in all such attempts,
const ATTEMPTS_FACTOR: usize = 4;
/// and this many more.
const ATTEMPTS_SLACK: usize = 10_000;
/// So many numbers are copied in a step.
const COPIED_PER_STEP: usize = 16;

/// An automaton over segments. The walk begins in state 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Automaton {
    /// The states.
    pub states: Vec<State>,
}

impl Automaton {
    /// The most segments that are read before a state is never left. States are numbered in the order of
    /// their depths.
    #[must_use]
    pub fn depth(&self) -> u64 {
        let mut depths = vec![0_u64; self.states.len()];
        let mut deepest = 0;
        for (number, state) in (0_u32..).zip(&self.states) {
            let depth = depths.get(number as usize).copied().unwrap_or_default() + 1;
            deepest = deepest.max(depth);
            for next in
                state.literals.values().chain([&state.other, &state.empty]).filter(|next| **next > number)
            {
                if let Some(known) = depths.get_mut(*next as usize) {
                    *known = (*known).max(depth);
                }
            }
        }
        deepest
    }
}

/// One state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The class of a path that ends here.
    pub class: ClassId,
    /// The states behind literal segments.
    pub literals: BTreeMap<Vec<u8>, u32>,
    /// The state behind any other segment that is not empty.
    pub other: u32,
    /// The state behind an empty segment that is no literal.
    pub empty: u32,
}

impl State {
    /// Whether the state, being this number, is never left.
    #[must_use]
    pub fn is_final(&self, number: u32) -> bool {
        self.literals.is_empty() && self.other == number && self.empty == number
    }
}

/// Patterns with `*` at the same depths.
pub(super) type Set<'a> = (&'a BTreeSet<u16>, &'a Predicates);

/// Patterns that share an automaton.
pub(super) struct Group {
    /// For each set of `*` depths in it, what is added to the numbers of its predicates.
    pub(super) offsets: Vec<(BTreeSet<u16>, usize)>,
    /// The classes of the group.
    pub(super) classes: AttributeClasses,
}

/// The groups of all patterns; those of neighbouring sets of depths are joined while that is cheap.
pub(super) fn groups(sets: &[Set<'_>], members: &mut Members) -> Result<Vec<Group>, Stop> {
    let mut segments = 0;
    let formulas = sets.iter().flat_map(|(_, predicates)| &predicates.list);
    formulas.for_each(|formula| formula.atoms(&mut |atom| segments += segments_of(atom)));
    let mut attempts = Members { left: ATTEMPTS_FACTOR * segments + ATTEMPTS_SLACK };
    joined(sets, members, &mut attempts)
}

fn joined(sets: &[Set<'_>], members: &mut Members, attempts: &mut Members) -> Result<Vec<Group>, Stop> {
    if sets.is_empty() {
        return Ok(Vec::new());
    }
    if let Some(group) = join(sets, members, attempts)? {
        return Ok(vec![group]);
    }
    let (left, right) = sets.split_at(sets.len() / 2);
    let mut all = joined(left, members, attempts)?;
    all.extend(joined(right, members, attempts)?);
    Ok(all)
}

fn segments_of(atom: &Atom) -> usize {
    match atom {
        Atom::Path(pattern) => pattern.segments.len(),
        _ => 0,
    }
}

/// One group of several sets, unless it has too many states; a single set never has.
fn join(sets: &[Set<'_>], members: &mut Members, attempts: &mut Members) -> Result<Option<Group>, Stop> {
    let is_single = sets.len() == 1;
    if !is_single && attempts.left == 0 {
        return Ok(None);
    }
    let mut offsets = Vec::new();
    let mut predicates: Vec<Formula> = Vec::new();
    for (stars, list) in sets {
        offsets.push(((*stars).clone(), predicates.len()));
        predicates.extend(list.list.iter().cloned());
    }
    let mut trie = Trie::default();
    let mut segments = 0;
    for (number, formula) in (0..).zip(&predicates) {
        formula.atoms(&mut |atom| {
            if let Atom::Path(pattern) = atom {
                segments += pattern.segments.len();
                trie.add(pattern, number);
            }
        });
    }
    let states_max = if is_single { usize::MAX } else { 2 * segments + PATH_STATES_SLACK };
    // Joining is tried while it is cheap; what has to be done anyway may take what is left.
    let mut attempt = match is_single {
        true => members.clone(),
        false => attempts.at_most(ATTEMPT_FACTOR * segments + ATTEMPTS_SLACK),
    };
    let allowed = attempt.left;
    let mut builder = Builder::new(&predicates, &mut attempt, |_| false);
    let automaton = match Construction::new(&trie, &mut builder).run(states_max) {
        Err(Stop::Overlap(..)) if !is_single => None,
        made => made?,
    };
    let used = allowed - builder.left();
    if !is_single {
        attempts.left = attempts.left.saturating_sub(used);
    }
    let Some(automaton) = automaton else { return Ok(None) };
    let classes = builder.finish(AttributeKind::Path(automaton), "elsewhere");
    members.left = members.left.saturating_sub(used);
    Ok(Some(Group { offsets, classes }))
}

/// Patterns by their segments.
struct Trie {
    nodes: Vec<Node>,
}

#[derive(Default)]
struct Node {
    literals: BTreeMap<Vec<u8>, usize>,
    star: Option<usize>,
    /// Predicates with a pattern that ends here.
    ends: Vec<u32>,
    /// Predicates with a pattern that has `/**` here.
    rests: Vec<u32>,
}

impl Default for Trie {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl Trie {
    fn add(&mut self, pattern: &PathPattern, predicate: u32) {
        let mut at = 0;
        for segment in &pattern.segments {
            let fresh = self.nodes.len();
            let Some(node) = self.nodes.get_mut(at) else { return };
            let next = match segment {
                Segment::Literal(text) => *node.literals.entry(text.clone()).or_insert(fresh),
                Segment::Any => *node.star.get_or_insert(fresh),
            };
            if next == fresh {
                self.nodes.push(Node::default());
            }
            at = next;
        }
        if let Some(node) = self.nodes.get_mut(at) {
            if pattern.rest { node.rests.push(predicate) } else { node.ends.push(predicate) }
        }
    }

    fn at(&self, nodes: &[usize]) -> impl Iterator<Item = &Node> {
        nodes.iter().filter_map(|node| self.nodes.get(*node))
    }
}

/// What a state stands for.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Meaning {
    /// Where in the trie the walk is, sorted.
    nodes: Vec<usize>,
    /// The number of the set of predicates that hold for good.
    kept: u32,
}

struct Construction<'a, 'b> {
    trie: &'a Trie,
    builder: &'a mut Builder<'b>,
    /// Sets of predicates, each once.
    sets: Vec<Vec<u32>>,
    set_numbers: HashMap<Vec<u32>, u32>,
    meanings: Vec<Meaning>,
    /// By state, a path that leads to it.
    witnesses: Vec<String>,
    numbers: HashMap<Meaning, u32>,
}

impl<'a, 'b> Construction<'a, 'b> {
    fn new(trie: &'a Trie, builder: &'a mut Builder<'b>) -> Self {
        Self {
            trie,
            builder,
            sets: Vec::new(),
            set_numbers: HashMap::new(),
            meanings: Vec::new(),
            witnesses: Vec::new(),
            numbers: HashMap::new(),
        }
    }

    /// The automaton, or `None` if it has more states.
    fn run(mut self, states_max: usize) -> Result<Option<Automaton>, Stop> {
        let nothing = self.set(Vec::new())?;
        self.state(vec![0], nothing, String::new)?;
        let mut states = Vec::new();
        while let Some(meaning) = self.meanings.get(states.len()).cloned() {
            if self.meanings.len() > states_max {
                return Ok(None);
            }
            let witness = self.witnesses.get(states.len()).cloned().or_bug("each state has a witness")?;
            states.push(self.expand(&meaning, &witness)?);
        }
        Ok(Some(Automaton { states }))
    }

    fn expand(&mut self, meaning: &Meaning, witness: &str) -> Result<State, Stop> {
        let trie = self.trie;
        let held = self.sets.get(meaning.kept as usize).cloned().or_bug("each set is numbered")?;
        self.builder.spend(1 + meaning.nodes.len() + held.len() / COPIED_PER_STEP)?;
        let ends = trie.at(&meaning.nodes).flat_map(|node| &node.ends).copied();
        let holding = sorted(held.into_iter().chain(ends).collect());
        let class = self.builder.class_of_flips(holding, || witness.to_owned())?;

        let stars: Vec<usize> = trie.at(&meaning.nodes).filter_map(|node| node.star).collect();
        let mut behind: BTreeMap<&Vec<u8>, Vec<usize>> = BTreeMap::new();
        for (text, next) in trie.at(&meaning.nodes).flat_map(|node| &node.literals) {
            behind.entry(text).or_default().push(*next);
        }
        let mut literals = BTreeMap::new();
        for (text, mut nodes) in behind {
            self.builder.spend(stars.len())?;
            if !text.is_empty() {
                nodes.extend(&stars);
            }
            let piece = || format!("{witness}/{}", crate::path::encode(text));
            let number = self.state(nodes, meaning.kept, piece)?;
            literals.insert(text.clone(), number);
        }
        let other = self.state(stars, meaning.kept, || format!("{witness}/*"))?;
        let empty = self.state(Vec::new(), meaning.kept, || format!("{witness}/"))?;
        Ok(State { class, literals, other, empty })
    }

    /// The number of the state at these nodes, where these predicates held before; the witness leads there.
    fn state(&mut self, nodes: Vec<usize>, kept: u32, witness: impl FnOnce() -> String) -> Result<u32, Stop> {
        let nodes: Vec<usize> = nodes.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        let rests: Vec<u32> = self.trie.at(&nodes).flat_map(|node| &node.rests).copied().collect();
        let kept = if rests.is_empty() {
            kept
        } else {
            let before = self.sets.get(kept as usize).cloned().or_bug("each set is numbered")?;
            self.builder.spend((before.len() + rests.len()) / COPIED_PER_STEP)?;
            self.set(sorted(before.into_iter().chain(rests).collect()))?
        };
        let meaning = Meaning { nodes, kept };
        let fresh = number(self.meanings.len())?;
        let state = *self.numbers.entry(meaning.clone()).or_insert(fresh);
        if state == fresh {
            self.meanings.push(meaning);
            self.witnesses.push(witness());
        }
        Ok(state)
    }

    fn set(&mut self, members: Vec<u32>) -> Result<u32, Stop> {
        let fresh = number(self.sets.len())?;
        let set = *self.set_numbers.entry(members.clone()).or_insert(fresh);
        if set == fresh {
            self.sets.push(members);
        }
        Ok(set)
    }
}

fn sorted(mut members: Vec<u32>) -> Vec<u32> {
    members.sort_unstable();
    members.dedup();
    members
}
