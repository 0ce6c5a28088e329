//! Schemas: a part of JSON Schema (2020-12), compiled once into nodes that refer to each other by number.
//!
//! What this does not know is refused by name when the filter is configured: a keyword that is passed over would let
//! bodies pass that the operator thinks refused.

mod compile;
pub mod pattern;

use pattern::Pattern;
use serde_json::{Number, Value};
use std::cmp::Ordering;
use std::collections::BTreeMap;

pub use compile::compile;

/// Members that one schema may require.
pub const REQUIRED_MAX: usize = 64;
/// Schemas within one, references apart.
pub const NODES_MAX: usize = 4_096;

/// Which schema of a [`Schema`].
pub(crate) type NodeId = usize;

/// A compiled schema with all that it refers to.
#[derive(Debug)]
pub struct Schema {
    nodes: Vec<Node>,
}

/// The types that a value may have, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Types(u8);

/// What one schema says of a value.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) types: Types,
    /// One of these it must be; `const` is the only one.
    pub(crate) one_of: Option<OneOf>,
    pub(crate) numbers: Numbers,
    /// Characters of a text.
    pub(crate) length: Range,
    pub(crate) pattern: Option<Pattern>,
    /// Members by name.
    pub(crate) members: BTreeMap<String, Member>,
    /// Members that are not among these.
    pub(crate) additional: Additional,
    /// The names of members that must be there, in the order of their bits.
    pub(crate) required: Vec<String>,
    pub(crate) member_count: Range,
    pub(crate) items: Option<NodeId>,
    pub(crate) item_count: Range,
}

/// Values that are allowed, and the keyword that says so.
#[derive(Debug)]
pub(crate) struct OneOf {
    pub(crate) keyword: &'static str,
    pub(crate) values: Vec<Value>,
}

/// A member that a schema names.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Member {
    /// Its schema; `None` if it is only required, and an additional one otherwise.
    pub(crate) node: Option<NodeId>,
    /// Its place in [`Node::required`].
    pub(crate) required: Option<usize>,
}

/// What is said of members that a schema does not name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Additional {
    Any,
    None,
    Of(NodeId),
}

/// How many of something there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) min: usize,
    pub(crate) max: usize,
}

/// Between which bounds a number must be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers {
    pub(crate) minimum: Option<Number>,
    pub(crate) maximum: Option<Number>,
    pub(crate) exclusive_minimum: Option<Number>,
    pub(crate) exclusive_maximum: Option<Number>,
}

impl Schema {
    /// The schema of the whole body.
    pub(crate) const ROOT: NodeId = 0;

    pub(crate) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id)
    }
}

impl Types {
    pub(crate) const NULL: Self = Self(1);
    pub(crate) const BOOLEAN: Self = Self(2);
    pub(crate) const OBJECT: Self = Self(4);
    pub(crate) const ARRAY: Self = Self(8);
    /// Numbers that are not whole.
    pub(crate) const FRACTION: Self = Self(16);
    pub(crate) const TEXT: Self = Self(32);
    pub(crate) const INTEGER: Self = Self(64);
    pub(crate) const ALL: Self = Self(127);
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "null" => Self::NULL,
            "boolean" => Self::BOOLEAN,
            "object" => Self::OBJECT,
            "array" => Self::ARRAY,
            "number" => Self::FRACTION.and(Self::INTEGER),
            "integer" => Self::INTEGER,
            "string" => Self::TEXT,
            _ => return None,
        })
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl Range {
    pub(crate) const ANY: Self = Self { min: 0, max: usize::MAX };
}

impl Node {
    /// What says nothing of a value.
    pub(crate) fn any() -> Self {
        Self {
            types: Types::ALL,
            one_of: None,
            numbers: Numbers::default(),
            length: Range::ANY,
            pattern: None,
            members: BTreeMap::new(),
            additional: Additional::Any,
            required: Vec::new(),
            member_count: Range::ANY,
            items: None,
            item_count: Range::ANY,
        }
    }
}

impl Numbers {
    /// The keyword that a number breaks.
    pub(crate) fn broken_by(&self, number: &Number) -> Option<&'static str> {
        let is = |bound: &Option<Number>, wrong: &[Ordering]| {
            bound.as_ref().is_some_and(|bound| wrong.contains(&compare(number, bound)))
        };
        let checks: [(&str, &Option<Number>, &[Ordering]); 4] = [
            ("minimum", &self.minimum, &[Ordering::Less]),
            ("maximum", &self.maximum, &[Ordering::Greater]),
            ("exclusiveMinimum", &self.exclusive_minimum, &[Ordering::Less, Ordering::Equal]),
            ("exclusiveMaximum", &self.exclusive_maximum, &[Ordering::Greater, Ordering::Equal]),
        ];
        checks.into_iter().find(|(_, bound, wrong)| is(bound, wrong)).map(|(keyword, ..)| keyword)
    }
}

/// Compares whole numbers exactly, and others as floating point.
fn compare(left: &Number, right: &Number) -> Ordering {
    match (whole(left), whole(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        _ => {
            let float = |number: &Number| number.as_f64().unwrap_or(f64::NAN);
            // There is no number that is none: JSON has no way to write it.
            float(left).partial_cmp(&float(right)).unwrap_or(Ordering::Less)
        }
    }
}

fn whole(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

/// Whether two values are the same as JSON Schema sees it: `1` and `1.0` are.
pub(crate) fn is_same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => compare(left, right) == Ordering::Equal,
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| is_same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            let is_in =
                |(name, value): (&String, &Value)| right.get(name).is_some_and(|other| is_same(value, other));
            left.len() == right.len() && left.iter().all(is_in)
        }
        _ => left == right,
    }
}
