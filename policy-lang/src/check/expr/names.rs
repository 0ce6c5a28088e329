//! The names that an expression can begin with or ask for, for whoever offers them.

use super::super::scope::ROOTS;
use super::attribute::{FIELDS, FIELDS_OF_ANSWERS, FIELDS_OF_LOGS};
use super::call::{MACROS, METHODS};

/// Roots that mean nothing yet: what is asked of them is an error.
const ROOTS_NOT_YET: [&str; 3] = ["cookies", "jwt", "route"];
/// What is under a root beside its fields: maps, and names for an entry of one.
const MAPS: [(&str, &str); 3] = [("response", "headers"), ("target", "labels"), ("target", "version")];
/// Functions that stand before their arguments.
const FUNCTIONS: [&str; 5] = ["cidr", "has", "int", "ip", "size"];
/// Functions that stand behind a value, beside those of strings.
const OTHER_METHODS: [&str; 3] = ["containsIP", "matches", "size"];

/// The names that begin an attribute.
pub(crate) fn roots() -> impl Iterator<Item = &'static str> {
    ROOTS.iter().copied().filter(|root| !ROOTS_NOT_YET.contains(root))
}

/// What can be asked of a root, such as `method` of `request`.
pub(crate) fn names_under(root: &str) -> impl Iterator<Item = &'static str> {
    let fields = FIELDS.iter().chain(FIELDS_OF_ANSWERS).chain(FIELDS_OF_LOGS);
    let of_fields = fields.filter(move |field| field.root == root).map(|field| field.name);
    of_fields.chain(MAPS.into_iter().filter(move |(of, _)| *of == root).map(|(_, name)| name))
}

/// Functions that stand before their arguments, as in `size(x)`.
pub(crate) fn function_names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.into_iter()
}

/// Functions and macros that stand behind a value, as in `x.size()`.
pub(crate) fn method_names() -> impl Iterator<Item = &'static str> {
    let of_strings = METHODS.iter().map(|(name, ..)| *name);
    of_strings.chain(MACROS.iter().map(|(name, _)| *name)).chain(OTHER_METHODS)
}
