//! Boolean formulas over the atoms of one subject, in a canonical form.

use crate::checked::{PathPattern, ServiceRef};
use ipnet::IpNet;
use std::sync::Arc;

/// The smallest question that can be asked of a subject.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Atom {
    /// It is there at all.
    Present,
    /// It is this text (of an identity: this is its principal).
    Equals(Arc<str>),
    /// It begins with this text.
    StartsWith(Arc<str>),
    /// The identity is that of some service.
    AnyService,
    /// The identity is that of a service of this namespace.
    Namespace(Arc<str>),
    /// The identity is that of this service.
    Service(ServiceRef),
    /// The address lies in this network.
    Net(IpNet),
    /// The path matches.
    Path(PathPattern),
    /// The condition is true.
    Holds,
}

/// A boolean combination of atoms. Operands are sorted and without duplicates, so that formulas
/// that were written in another order are equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Formula {
    /// The atom is true.
    Atom(Atom),
    /// The formula is false.
    Not(Box<Formula>),
    /// All are true; true when empty.
    All(Vec<Formula>),
    /// At least one is true; false when empty.
    Any(Vec<Formula>),
}

impl Formula {
    /// All of these.
    #[must_use]
    pub fn all(operands: Vec<Self>) -> Self {
        let flat = operands.into_iter().flat_map(|operand| match operand {
            Self::All(inner) => inner,
            other => vec![other],
        });
        canonical(flat.collect(), Self::All)
    }

    /// Any of these.
    #[must_use]
    pub fn any(operands: Vec<Self>) -> Self {
        let flat = operands.into_iter().flat_map(|operand| match operand {
            Self::Any(inner) => inner,
            other => vec![other],
        });
        canonical(flat.collect(), Self::Any)
    }

    /// The opposite of a formula.
    #[must_use]
    pub fn not(formula: Self) -> Self {
        match formula {
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }

    /// The truth of the formula, given that of its atoms.
    pub fn evaluate(&self, truth: &impl Fn(&Atom) -> bool) -> bool {
        match self {
            Self::Atom(atom) => truth(atom),
            Self::Not(inner) => !inner.evaluate(truth),
            Self::All(operands) => operands.iter().all(|operand| operand.evaluate(truth)),
            Self::Any(operands) => operands.iter().any(|operand| operand.evaluate(truth)),
        }
    }

    /// The truth of the formula, given all atoms that are true, sorted. Of a long list of alternatives only
    /// those are looked at that can be true.
    #[must_use]
    pub fn holds(&self, true_atoms: &[Atom]) -> bool {
        match self {
            Self::Atom(atom) => true_atoms.binary_search(atom).is_ok(),
            Self::Not(inner) => !inner.holds(true_atoms),
            Self::All(operands) => operands.iter().all(|operand| operand.holds(true_atoms)),
            Self::Any(operands) => {
                // Atoms come before other operands.
                let is_there = |atom: &Atom| {
                    let order = |operand: &Self| match operand {
                        Self::Atom(other) => other.cmp(atom),
                        _ => std::cmp::Ordering::Greater,
                    };
                    operands.binary_search_by(order).is_ok()
                };
                let others = operands.iter().rev().take_while(|operand| !matches!(operand, Self::Atom(_)));
                true_atoms.iter().any(is_there) || others.into_iter().any(|operand| operand.holds(true_atoms))
            }
        }
    }

    /// Calls `visit` with every atom.
    pub fn atoms<'a>(&'a self, visit: &mut impl FnMut(&'a Atom)) {
        match self {
            Self::Atom(atom) => visit(atom),
            Self::Not(inner) => inner.atoms(visit),
            Self::All(operands) | Self::Any(operands) => {
                operands.iter().for_each(|operand| operand.atoms(visit))
            }
        }
    }
}

fn canonical(mut operands: Vec<Formula>, join: fn(Vec<Formula>) -> Formula) -> Formula {
    operands.sort();
    operands.dedup();
    match operands.len() {
        1 => operands.remove(0),
        _ => join(operands),
    }
}
