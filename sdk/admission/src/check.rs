//! What is wrong with a module: its form first, for nothing else can be read of one that is not valid, then its
//! imports, exports and memory.

mod contract;
mod form;

use crate::outline::Outline;
use crate::{Capability, Finding, Terms, errors};
use std::collections::BTreeSet;

/// What was found.
pub(crate) struct Checked {
    pub(crate) findings: Vec<Finding>,
    pub(crate) uses: BTreeSet<Capability>,
    /// Of a module that is valid.
    pub(crate) outline: Option<Outline>,
}

/// Checks a module on these terms.
pub(crate) fn check(bytes: &[u8], terms: &Terms) -> Checked {
    let refused = |finding| Checked { findings: vec![finding], uses: BTreeSet::new(), outline: None };
    if let Err(finding) = form::check_valid(bytes) {
        return refused(finding);
    }
    let outline = match Outline::read(bytes) {
        Ok(outline) => outline,
        Err(error) => return refused(errors::invalid(error.offset(), error.message())),
    };
    let mut findings = form::check_limits(&outline);
    let uses = contract::uses(&outline);
    contract::check(&outline, terms, &mut findings);
    Checked { findings, uses, outline: Some(outline) }
}
