//! What was in force, and since when: every revision of the policies, as long as it is kept.
//!
//! A revision is kept as what it changed, before and after. The policies of an older one are those of today with
//! the changes since then undone, the newest first; their documents are kept as long as a revision that is kept
//! speaks of them.

use super::{Step, StoreError};
use crate::mesh::model::{Document, PolicyRecord, Revision};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many revisions are kept; the oldest go first.
pub const REVISIONS_MAX: usize = 1_000;
/// How many bytes of documents are kept for the revisions; if there are more, the oldest go earlier.
pub const HISTORY_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What one revision changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionRecord {
    /// Its number.
    pub revision: Revision,
    /// When it was made.
    pub at: Timestamp,
    /// By whom.
    pub actor: String,
    /// By what, in the words of the audit log.
    pub action: String,
    /// The policies that it changed, by name. One that only moved to another document is there too.
    pub policies: BTreeMap<String, Step<PolicyRecord>>,
}

/// The policies of one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoliciesAt {
    /// The revision.
    pub revision: Revision,
    /// Its policies, by name.
    pub policies: BTreeMap<String, PolicyRecord>,
    /// Their documents, by digest.
    pub documents: BTreeMap<String, Arc<Document>>,
}

/// Which revisions there are: their policies can be read, beginning with the oldest.
///
/// # Errors
/// [`StoreError::NoSuchRevision`] if the revision is not one of them.
pub fn check_kept(wanted: Revision, oldest: Revision, newest: Revision) -> Result<(), StoreError> {
    if (oldest..=newest).contains(&wanted) {
        Ok(())
    } else {
        Err(StoreError::NoSuchRevision { wanted, oldest, newest })
    }
}

/// Undoes what a revision changed; says which policy is not as that revision left it.
///
/// # Errors
/// The name of the policy.
pub fn undo(
    policies: &mut BTreeMap<String, PolicyRecord>,
    changed: &BTreeMap<String, Step<PolicyRecord>>,
) -> Result<(), String> {
    for (name, step) in changed {
        if policies.get(name) != step.after.as_ref() {
            return Err(name.clone());
        }
        match &step.before {
            Some(before) => policies.insert(name.clone(), before.clone()),
            None => policies.remove(name),
        };
    }
    Ok(())
}
