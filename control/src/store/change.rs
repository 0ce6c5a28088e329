//! Changes of the desired state as pure functions, so that every store makes the same of them.

use super::StoreError;
use crate::model::{DesiredState, Document, PolicyRecord, ProxyId, ProxyRegistration, Revision};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One change of the desired state.
#[derive(Clone, Debug)]
pub enum Change {
    /// Puts policies in force, or replaces them by name; all others stay.
    ApplyPolicies {
        /// The revision on which the change was checked.
        base: Revision,
        /// Texts that `policies` refer to and that are not stored yet, or are; any order.
        documents: Vec<Arc<Document>>,
        /// Where each policy stands now.
        policies: BTreeMap<String, Placement>,
        /// Whether their tests were not run, because somebody wanted it so.
        tests_skipped: bool,
    },
    /// Takes a policy out of force.
    DeletePolicy {
        /// The revision on which the change was checked.
        base: Revision,
        /// The policy's name.
        name: String,
    },
    /// Adds a sidecar, or states it anew.
    RegisterProxy(Arc<ProxyRegistration>),
    /// Forgets a sidecar.
    RemoveProxy(ProxyId),
}

/// Where an applied policy stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The digest of its document ([`Document::digest`]).
    pub document: String,
    /// Whether its own text differs from what was in force; if not, it keeps its revision.
    pub changed: bool,
}

impl Change {
    /// The state after this change.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the policies are not those on which the change was prepared;
    /// [`StoreError::NoSuchPolicy`] and [`StoreError::NoSuchProxy`] if there is nothing to remove.
    pub fn apply_to(&self, state: &DesiredState) -> Result<DesiredState, StoreError> {
        let mut next = state.clone();
        match self {
            Self::ApplyPolicies { base, documents, policies, .. } => {
                next.revision = successor(*base, state)?;
                let new: BTreeMap<_, _> = documents.iter().map(|text| (text.digest(), text)).collect();
                for (digest, document) in new {
                    next.documents.entry(digest).or_insert_with(|| Arc::clone(document));
                }
                for (name, placement) in policies {
                    place(&mut next, name, placement);
                }
                remove_unused_documents(&mut next);
            }
            Self::DeletePolicy { base, name } => {
                if next.policies.remove(name).is_none() {
                    return Err(StoreError::NoSuchPolicy(name.clone()));
                }
                next.revision = successor(*base, state)?;
                remove_unused_documents(&mut next);
            }
            Self::RegisterProxy(registration) => {
                next.proxies.insert(registration.id.clone(), Arc::clone(registration));
            }
            Self::RemoveProxy(id) => {
                if next.proxies.remove(id).is_none() {
                    return Err(StoreError::NoSuchProxy(id.0.clone()));
                }
            }
        }
        Ok(next)
    }

    /// What the audit log says of it.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::ApplyPolicies { policies, tests_skipped, .. } => {
                let names: Vec<_> = policies.keys().map(|name| format!("`{name}`")).collect();
                let untested = if *tests_skipped { " without running their tests" } else { "" };
                format!("apply policies {}{untested}", names.join(", "))
            }
            Self::DeletePolicy { name, .. } => format!("delete policy `{name}`"),
            Self::RegisterProxy(registration) => format!("register proxy `{}`", registration.id.0),
            Self::RemoveProxy(id) => format!("remove proxy `{}`", id.0),
        }
    }
}

fn successor(base: Revision, state: &DesiredState) -> Result<Revision, StoreError> {
    if base == state.revision {
        Ok(Revision(base.0 + 1))
    } else {
        Err(StoreError::Conflict { base, now: state.revision })
    }
}

fn place(next: &mut DesiredState, name: &str, placement: &Placement) {
    let revision = match next.policies.get(name) {
        Some(record) if !placement.changed => record.revision,
        _ => next.revision,
    };
    let record = PolicyRecord { name: name.to_owned(), document: placement.document.clone(), revision };
    next.policies.insert(name.to_owned(), record);
}

fn remove_unused_documents(next: &mut DesiredState) {
    let used: BTreeSet<&String> = next.policies.values().map(|record| &record.document).collect();
    next.documents.retain(|digest, _| used.contains(digest));
}
