//! `classify`: for each subject that guards ask about, the classes into which its values fall.
//!
//! Two values are of one class when no guard can tell them apart. There are never more classes than
//! the guards have constants (and a few), for each class is the set of predicates that hold in it.
//!
//! ```text
//! header x: 0 any other text   1 absent   2 "1"   3 begins with "a"
//! ```

mod address;
mod dump;
mod identity;
mod overlap;
mod path;
mod text;

pub use address::AddressClasses;
pub use dump::dump;
pub use identity::IdentityClasses;
pub(crate) use overlap::overlap;
pub use path::{Automaton, PATH_STATES_SLACK, State};
pub use text::TextClasses;

use crate::bug::{Bug, OrBug as _, number};
use crate::checked::Attribute;
use crate::link::order::{Sharing, pivot, sharing};
use crate::literals::{Atom, Condition, Formula, Literals, Subject, literals_of};
use crate::plan::{Plan, Strand};
use crate::source::Span;
use std::collections::{BTreeMap, HashMap};

/// The name of the header that is the method.
pub(crate) const METHOD_HEADER: &str = ":method";

/// The number of a class; 0 is the class of values that no rule names.
pub type ClassId = u32;

/// All that the guards of a plan ask, as predicates over classes of attributes.
#[derive(Clone, Debug)]
pub struct Classes {
    /// What is asked about, in a fixed order.
    pub attributes: Vec<AttributeClasses>,
    /// For each strand of the plan, and in it for each entry, what it asks.
    pub strands: Vec<Vec<GuardLiterals>>,
}

/// A guard as predicates.
#[derive(Clone, Debug)]
pub struct GuardLiterals {
    /// By index of the attribute, the index of its predicate there.
    pub predicates: BTreeMap<usize, usize>,
    /// The attribute by which the guard is found.
    pub pivot: Option<usize>,
}

/// One attribute.
#[derive(Clone, Debug)]
pub struct AttributeClasses {
    /// What decides the class of a value.
    pub kind: AttributeKind,
    /// The distinct predicates that rules have on it.
    pub predicates: Vec<Formula>,
    /// Which predicates hold in class 0.
    pub base: Vec<bool>,
    /// The classes.
    pub classes: Vec<Class>,
}

/// One class of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// The predicates whose truth differs from class 0, sorted.
    pub flips: Vec<u32>,
    /// A value of the class, for people.
    pub witness: String,
}

/// How a value gets its class.
#[derive(Clone, Debug)]
pub enum AttributeKind {
    /// A string of the request. The method is the header `:method`.
    Text(Attribute, TextClasses),
    /// The path, by an automaton over its segments.
    Path(Automaton),
    /// The caller's identity.
    Identity(IdentityClasses),
    /// The caller's address.
    Ip(AddressClasses),
    /// A condition: class 0 is false, class 1 true.
    Condition(Condition),
}

/// The classes of a plan.
///
/// # Errors
/// If an invariant of the compiler does not hold.
pub fn classify(plan: &Plan) -> Result<Classes, Bug> {
    let unlimited =
        classify_within(plan, ClassLimits { members_max: usize::MAX, star_depths_max: usize::MAX })?;
    unlimited.map_err(|_| Bug::new("classes without a limit are not too many"))
}

/// Guards that overlap at too many places, and the statement that does most of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The statement.
    pub span: Span,
    /// Whether it is that paths have `*` at too many different depths; else it is members.
    pub is_of_depths: bool,
}

/// How many classes there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassLimits {
    /// The most members: predicates by which a class differs from class 0, summed over all classes.
    pub members_max: usize,
    /// The most sets of depths at which paths have `*`: each may be a walk over the path of a request.
    pub star_depths_max: usize,
}

/// The classes of a plan, unless there are too many.
///
/// # Errors
/// If an invariant of the compiler does not hold.
pub fn classify_within(plan: &Plan, limits: ClassLimits) -> Result<Result<Classes, Overlap>, Bug> {
    let of_strand = |strand: &Strand| -> Vec<Literals> {
        strand.entries.iter().map(|entry| literals_of(&entry.guard)).collect()
    };
    let literals: Vec<Vec<Literals>> = plan.strands.iter().map(of_strand).collect();
    let mut formulas: BTreeMap<Subject, Predicates> = BTreeMap::new();
    for (subject, formula) in literals.iter().flatten().flatten() {
        formulas.entry(subject.clone()).or_default().number(formula);
    }
    let (attributes, places) = match attributes(&plan.trust_domain, &formulas, limits) {
        Ok(made) => made,
        Err(Stop::Bug(bug)) => return Err(bug),
        Err(Stop::Overlap(formula, is_of_depths)) => {
            let mut entries = plan.strands.iter().flat_map(|strand| &strand.entries);
            let has_it = literals.iter().flatten().position(|of| of.values().any(|known| known == &*formula));
            let entry = has_it.and_then(|at| entries.nth(at)).or_bug("each formula is of a guard")?;
            return Ok(Err(Overlap { span: entry.span, is_of_depths }));
        }
    };
    let strands = literals.iter().map(|entries| {
        let sharing = sharing(entries);
        entries.iter().map(|literals| predicates_of(literals, &sharing, &places, &formulas)).collect()
    });
    Ok(Ok(Classes { strands: strands.collect::<Result<_, Bug>>()?, attributes }))
}

/// Why classes are not made.
enum Stop {
    /// An invariant does not hold.
    Bug(Bug),
    /// There are too many members, of which this predicate makes most, or too many depths of `*`.
    Overlap(Box<Formula>, bool),
}

impl From<Bug> for Stop {
    fn from(bug: Bug) -> Self {
        Self::Bug(bug)
    }
}

/// How many members classes may still have.
#[derive(Clone, Debug)]
struct Members {
    left: usize,
}

impl Members {
    /// As many, but no more than this.
    fn at_most(&self, count: usize) -> Self {
        Self { left: self.left.min(count) }
    }
}

/// The attributes, and where the predicates of each subject stand in them.
fn attributes(
    trust_domain: &str,
    formulas: &BTreeMap<Subject, Predicates>,
    limits: ClassLimits,
) -> Result<(Vec<AttributeClasses>, HashMap<Subject, Place>), Stop> {
    let stars: Vec<path::Set<'_>> = formulas
        .iter()
        .filter_map(|(subject, predicates)| match subject {
            Subject::Path(stars) => Some((stars, predicates)),
            _ => None,
        })
        .collect();
    let too_many = stars.get(limits.star_depths_max).and_then(|(_, predicates)| predicates.list.first());
    if let Some(first) = too_many {
        return Err(Stop::Overlap(Box::new(first.clone()), true));
    }
    let members = &mut Members { left: limits.members_max };
    let mut attributes = Vec::new();
    let mut places: HashMap<Subject, Place> = HashMap::new();
    for group in path::groups(&stars, members)? {
        for (stars, offset) in &group.offsets {
            places
                .insert(Subject::Path(stars.clone()), Place { attribute: attributes.len(), offset: *offset });
        }
        attributes.push(group.classes);
    }
    for (subject, predicates) in formulas {
        let classes = match subject {
            Subject::Path(_) => continue,
            Subject::Text(attribute) => text::classify(attribute, &predicates.list, members)?,
            Subject::Method => {
                text::classify(&Attribute::Header(METHOD_HEADER.into()), &predicates.list, members)?
            }
            Subject::Identity => identity::classify(trust_domain, &predicates.list, members)?,
            Subject::Ip => address::classify(&predicates.list, members)?,
            Subject::Condition(condition) => of_condition(condition, &predicates.list, members)?,
        };
        places.insert(subject.clone(), Place { attribute: attributes.len(), offset: 0 });
        attributes.push(classes);
    }
    Ok((attributes, places))
}

fn predicates_of(
    literals: &Literals,
    sharing: &Sharing,
    places: &HashMap<Subject, Place>,
    formulas: &BTreeMap<Subject, Predicates>,
) -> Result<GuardLiterals, Bug> {
    let place = |subject: &Subject| places.get(subject).copied().or_bug("each subject is an attribute");
    let mut predicates = BTreeMap::new();
    for (subject, formula) in literals {
        let place = place(subject)?;
        let number = formulas.get(subject).and_then(|predicates| predicates.numbers.get(formula));
        predicates.insert(place.attribute, place.offset + number.or_bug("each formula is numbered")?);
    }
    let pivot = pivot(literals, sharing).map(|subject| place(subject).map(|place| place.attribute));
    Ok(GuardLiterals { predicates, pivot: pivot.transpose()? })
}

/// Where the predicates of a subject stand.
#[derive(Clone, Copy)]
struct Place {
    attribute: usize,
    /// What is added to the number of a predicate.
    offset: usize,
}

/// The distinct formulas over one subject, numbered in the order of the rules.
#[derive(Clone, Debug, Default)]
struct Predicates {
    list: Vec<Formula>,
    numbers: HashMap<Formula, usize>,
}

impl Predicates {
    fn number(&mut self, formula: &Formula) {
        if !self.numbers.contains_key(formula) {
            self.numbers.insert(formula.clone(), self.list.len());
            self.list.push(formula.clone());
        }
    }
}

fn of_condition(
    condition: &Condition,
    predicates: &[Formula],
    members: &mut Members,
) -> Result<AttributeClasses, Stop> {
    let mut builder = Builder::new(predicates, members, |_| false);
    let all: Vec<u32> = builder.all()?;
    builder.class(&all, vec![Atom::Holds], || "true".to_owned())?;
    Ok(builder.finish(AttributeKind::Condition(condition.clone()), "false"))
}

/// Collects the classes of one attribute; equal ones become one.
struct Builder<'a> {
    predicates: &'a [Formula],
    base: Vec<bool>,
    classes: Vec<Class>,
    known: HashMap<Vec<u32>, ClassId>,
    members: &'a mut Members,
}

impl<'a> Builder<'a> {
    /// Begins with class 0, in which the atoms have this truth.
    fn new(predicates: &'a [Formula], members: &'a mut Members, truth: impl Fn(&Atom) -> bool) -> Self {
        let base = predicates.iter().map(|formula| formula.evaluate(&truth)).collect();
        Self {
            predicates,
            base,
            classes: vec![Class { flips: Vec::new(), witness: String::new() }],
            known: HashMap::from([(Vec::new(), 0)]),
            members,
        }
    }

    /// Counts members that are about to be looked at or kept.
    fn spend(&mut self, count: usize) -> Result<(), Stop> {
        match self.members.left.checked_sub(count) {
            Some(left) => {
                self.members.left = left;
                Ok(())
            }
            None => {
                let commonest = self.commonest().or_bug("without predicates nothing is counted")?;
                Err(Stop::Overlap(Box::new(commonest), false))
            }
        }
    }

    /// How many members there may still be.
    fn left(&self) -> usize {
        self.members.left
    }

    /// The predicate by which most classes differ from class 0.
    fn commonest(&self) -> Option<Formula> {
        let mut counts = vec![0_usize; self.predicates.len()];
        for flip in self.classes.iter().flat_map(|class| &class.flips) {
            if let Some(count) = counts.get_mut(*flip as usize) {
                *count += 1;
            }
        }
        // Of equal ones the first.
        let most = (0..counts.len()).rev().max_by_key(|at| counts.get(*at));
        most.and_then(|at| self.predicates.get(at)).cloned()
    }

    /// The numbers of all predicates.
    fn all(&self) -> Result<Vec<u32>, Bug> {
        Ok((0..number(self.predicates.len())?).collect())
    }

    /// The class of a value in which these atoms are true; only the candidates can differ from class 0.
    fn class(
        &mut self,
        candidates: &[u32],
        mut true_atoms: Vec<Atom>,
        witness: impl FnOnce() -> String,
    ) -> Result<ClassId, Stop> {
        self.spend(candidates.len())?;
        true_atoms.sort_unstable();
        let differs = |number: &u32| {
            let at = *number as usize;
            match (self.predicates.get(at), self.base.get(at)) {
                (Some(formula), Some(base)) => formula.holds(&true_atoms) != *base,
                _ => false,
            }
        };
        let mut flips: Vec<u32> = candidates.iter().copied().filter(differs).collect();
        flips.sort_unstable();
        flips.dedup();
        self.class_of_flips(flips, witness)
    }

    /// The class in which exactly these predicates differ from class 0.
    fn class_of_flips(&mut self, flips: Vec<u32>, witness: impl FnOnce() -> String) -> Result<ClassId, Stop> {
        if let Some(known) = self.known.get(&flips) {
            return Ok(*known);
        }
        self.spend(flips.len())?;
        let id = number(self.classes.len())?;
        self.known.insert(flips.clone(), id);
        self.classes.push(Class { flips, witness: witness() });
        Ok(id)
    }

    fn finish(mut self, kind: AttributeKind, witness: &str) -> AttributeClasses {
        if let Some(first) = self.classes.first_mut() {
            first.witness = witness.to_owned();
        }
        AttributeClasses {
            kind,
            predicates: self.predicates.to_vec(),
            base: self.base,
            classes: self.classes,
        }
    }
}

/// For each key, the predicates in whose atoms it stands.
type Mentions<K> = HashMap<K, Vec<u32>>;

fn mention<K: std::hash::Hash + Eq>(mentions: &mut Mentions<K>, key: K, predicate: u32) {
    let list = mentions.entry(key).or_default();
    if list.last() != Some(&predicate) {
        list.push(predicate);
    }
}
