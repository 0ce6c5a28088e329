//! How deep and how dear an operation is, fragments and lists included.
//!
//! ```text
//! cost of a field = size of its list × (its weight + cost of what is selected in it)
//! ```
//!
//! A fragment is measured once, however often it is spread, so that the work does not grow with what a document unfolds to.

use crate::document::{Amount, Document, Operation, Selection, SetId};
use crate::json::Json;
use std::collections::BTreeMap;

/// Selection sets and fragments that are entered in each other: no operation of use has more, and memory for calls is limited.
const LEVELS_MAX: usize = 256;

/// What fields cost.
#[derive(Clone, Debug, Default)]
pub struct Prices {
    /// Of a field without a weight of its own.
    pub weight: u64,
    /// By names of fields.
    pub weights: BTreeMap<String, u64>,
    /// How long a list is taken for whose length no argument says, by names of fields.
    pub list_sizes: BTreeMap<String, u64>,
    /// Names of members in variables that say how long a list is.
    pub sizes: Vec<String>,
}

/// What was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    /// Fields in each other.
    pub depth: usize,
    /// By the prices; more than can be counted is the most that can.
    pub cost: u64,
}

/// Why an operation cannot be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmeasured {
    /// A fragment is in itself.
    Cycle,
    /// There is no fragment of a name that is spread.
    NoFragment,
    /// Too much is in each other.
    Levels,
}

/// Measures an operation with the variables of a request.
///
/// # Errors
/// When fragments are missing or in themselves, or too much is in each other.
pub fn measure(
    document: &Document<'_>,
    operation: &Operation<'_>,
    variables: &BTreeMap<String, Json>,
    prices: &Prices,
) -> Result<Measure, Unmeasured> {
    let mut meter = Meter {
        document,
        operation,
        variables,
        prices,
        fragments: BTreeMap::new(),
        insides: BTreeMap::new(),
    };
    meter.set(operation.set, 0)
}

struct Meter<'a, 'text> {
    document: &'a Document<'text>,
    operation: &'a Operation<'text>,
    variables: &'a BTreeMap<String, Json>,
    prices: &'a Prices,
    /// What was measured of fragments; `None` of those that are being measured.
    fragments: BTreeMap<&'text str, Option<Measure>>,
    /// What members of variables say: each is looked through once.
    insides: BTreeMap<&'text str, Option<u64>>,
}

impl<'text> Meter<'_, 'text> {
    fn set(&mut self, id: SetId, level: usize) -> Result<Measure, Unmeasured> {
        if level > LEVELS_MAX {
            return Err(Unmeasured::Levels);
        }
        let document = self.document;
        let mut all = Measure::default();
        for selection in document.set(id) {
            let one = match selection {
                Selection::Inline(set) => self.set(*set, level + 1)?,
                Selection::Spread(name) => self.fragment(name, level)?,
                Selection::Field { name, amounts, set } => {
                    let inner = set.map_or(Ok(Measure::default()), |set| self.set(set, level + 1))?;
                    let weight = self.prices.weights.get(*name).copied().unwrap_or(self.prices.weight);
                    let cost = inner.cost.saturating_add(weight).saturating_mul(self.size(name, amounts));
                    Measure { depth: inner.depth + 1, cost }
                }
            };
            all = Measure { depth: all.depth.max(one.depth), cost: all.cost.saturating_add(one.cost) };
        }
        Ok(all)
    }

    fn fragment(&mut self, name: &'text str, level: usize) -> Result<Measure, Unmeasured> {
        match self.fragments.get(name) {
            Some(Some(measured)) => return Ok(*measured),
            Some(None) => return Err(Unmeasured::Cycle),
            None => {}
        }
        let set = *self.document.fragments.get(name).ok_or(Unmeasured::NoFragment)?;
        self.fragments.insert(name, None);
        let measured = self.set(set, level + 1)?;
        self.fragments.insert(name, Some(measured));
        Ok(measured)
    }

    /// How long the list of a field is: the most that an argument says, or what is stated of the field.
    fn size(&mut self, name: &str, amounts: &[Amount<'text>]) -> u64 {
        let said = amounts.iter().filter_map(|amount| self.amount(*amount)).max();
        said.or_else(|| self.prices.list_sizes.get(name).copied()).unwrap_or(1).max(1)
    }

    fn amount(&mut self, amount: Amount<'text>) -> Option<u64> {
        let operation = self.operation;
        let default_of = |name: &str| operation.defaults.get(name);
        match amount {
            Amount::Number(number) => Some(number),
            Amount::Nothing => None,
            Amount::Unknown => Some(u64::MAX),
            Amount::Variable(name) => match self.variables.get(name) {
                Some(Json::Null) => None,
                Some(Json::Number(number)) => Some(whole(*number)),
                Some(_) => Some(u64::MAX),
                None => default_of(name).and_then(|default| constant(default.direct)),
            },
            Amount::Inside(name) => {
                if let Some(known) = self.insides.get(name) {
                    return *known;
                }
                let said = match self.variables.get(name) {
                    Some(value) => self.inside(value),
                    None => default_of(name).and_then(|default| constant(default.inside?)),
                };
                self.insides.insert(name, said);
                said
            }
        }
    }

    /// The most that members of a value say of how long a list is.
    fn inside(&self, value: &Json) -> Option<u64> {
        let of_member = |(name, value): (&String, &Json)| match value {
            Json::Null => None,
            Json::Number(number) if self.prices.sizes.contains(name) => Some(whole(*number)),
            value => self.inside(value),
        };
        match value {
            Json::Object(members) => members.iter().filter_map(of_member).max(),
            Json::Array(items) => items.iter().filter_map(|item| self.inside(item)).max(),
            _ => None,
        }
    }
}

/// What a default says: no variable is in it.
fn constant(amount: Amount<'_>) -> Option<u64> {
    match amount {
        Amount::Number(number) => Some(number),
        Amount::Nothing => None,
        Amount::Unknown | Amount::Variable(_) | Amount::Inside(_) => Some(u64::MAX),
    }
}

/// A number of items; what is negative or no number is more than any.
fn whole(number: f64) -> u64 {
    if number >= 0.0 { number.ceil() as u64 } else { u64::MAX }
}
