//! Desired state behind one writer and many readers, durable before anything is acknowledged.
//!
//! A [`Store`] keeps five things:
//!
//! * the [`DesiredState`]: policies, documents, proxies, filters. A [`Change`] makes a new one; readers hold
//!   a `watch` receiver and always see a whole state, never half of a change;
//! * the modules of filters, by the digest of their bytes, each as long as a filter has it;
//! * the *history*: each revision of the policies, as far back as is kept;
//! * *items*: small named secrets and settings (the sealed CA key, hashes of tokens);
//! * the audit logs: one [`AuditEntry`] a write, in the same transaction as the write. What people write has a log
//!   of its own ([`AuditLog`]), so that machines, of which there are many, never push it out.
//!
//! Every implementation passes the tests in `store/conformance.rs`.

pub mod change;
#[cfg(test)]
pub(crate) mod conformance;
mod errors;
mod filters;
pub mod follow;
pub mod history;
mod record;
pub mod redb;
mod rollout_record;

pub use change::{
    Change, Intent, Placement, PolicyChange, ReadinessChange, RolloutChange, RolloutStep, StagedFrom,
};
pub use errors::StoreError;
pub use filters::{FilterDeletion, FilterPush, is_pushed};
pub use follow::{Changes, Follower, Step, Update};
pub use history::{PoliciesAt, RevisionRecord};

use crate::mesh::model::filter::FilterDigest;
use crate::mesh::model::{DesiredState, Revision};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::watch;

/// How many entries of each of the two audit logs are kept; the oldest go first.
pub const AUDIT_ENTRIES_MAX: usize = 10_000;

/// What a store gives back: a future that ends when the answer is there, and for writes when it is durable.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Keeps desired state, items and the audit log.
pub trait Store: Send + Sync + 'static {
    /// The desired state, now and whenever it changes. Never shows what is not durable.
    fn watch(&self) -> watch::Receiver<Arc<DesiredState>>;

    /// The desired state step by step, with what changed, beginning with all that there is.
    fn follow(&self) -> Follower {
        Follower::new(self.watch())
    }

    /// Whether writes can be made, now and whenever that changes.
    fn health(&self) -> watch::Receiver<Health>;

    /// Makes one change. When the future ends well, the change survives a crash, and the state that
    /// it gives (or a later one) is what [`Store::watch`] shows.
    fn commit(&self, change: Change, by: Actor) -> Pending<'_, Arc<DesiredState>>;

    /// The bytes of a module that a filter has, as they were pushed or as sidecars get them; `None` if none has it.
    fn blob(&self, digest: FilterDigest) -> Pending<'_, Option<Arc<[u8]>>>;

    /// The value of an item, if there is one.
    fn item(&self, key: &str) -> Pending<'_, Option<Vec<u8>>>;

    /// All items whose key begins so.
    fn items(&self, prefix: &str) -> Pending<'_, BTreeMap<String, Vec<u8>>>;

    /// Creates an item unless there is one of this key; gives the value that is there afterwards.
    fn create_item(&self, key: &str, value: Vec<u8>, by: Actor) -> Pending<'_, Vec<u8>>;

    /// Removes an item; says whether there was one.
    fn remove_item(&self, key: &str, by: Actor) -> Pending<'_, bool>;

    /// The newest entries of an audit log, newest first.
    fn audit(&self, log: AuditLog, count_max: usize) -> Pending<'_, Vec<AuditEntry>>;

    /// What the newest revisions changed, newest first; as many as are kept, at most.
    fn revisions(&self, count_max: usize) -> Pending<'_, Vec<RevisionRecord>>;

    /// The policies of a revision and their documents. [`StoreError::NoSuchRevision`] if it is not kept, or not
    /// made yet.
    fn policies_at(&self, revision: Revision) -> Pending<'_, PoliciesAt>;
}

/// Whether a store can be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Good,
    /// Writes are refused until the store has mended itself; reads go on.
    Failing {
        /// Why, with the remedy.
        detail: String,
    },
}

/// Who makes a write, and when; becomes part of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Such as `token 3f2a (admin)`, `proxy shop/orders/1` or `control plane`.
    pub name: String,
    /// When.
    pub at: Timestamp,
}

impl Actor {
    /// The log that its writes are in. Sidecars and the control plane itself are machines; whoever shows a role
    /// token, or works in the data directory, is a person.
    #[must_use]
    pub fn log(&self) -> AuditLog {
        let is_machine =
            ["proxy ", "join token ", "control plane"].iter().any(|kind| self.name.starts_with(kind));
        if is_machine { AuditLog::Machines } else { AuditLog::People }
    }
}

/// Whose writes an audit log has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditLog {
    /// Those of people: policies, filters, tokens, evictions.
    People,
    /// Those of sidecars and of the control plane: who joined, left and states something else than before.
    Machines,
}

/// One write that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Counts from 1 in each log, without a gap.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What, in one line, such as ``apply policies `orders`, `cart` ``.
    pub action: String,
    /// The revision of the desired state after it.
    pub revision: Revision,
    /// What changed, and from what to what; nothing for items.
    pub changes: Vec<AuditChange>,
}

/// One thing that a write changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditChange {
    /// Such as ``policy `orders` ``, ``filter `pii-guard@1.2.0` `` or ``proxy `shop/orders/1` ``.
    pub what: String,
    /// The SHA-256, in hex, of what it was: of a policy's document, of a proxy's registration, of a
    /// filter's bytes as they were pushed. `None` if it was not.
    pub before: Option<String>,
    /// The same of what it is now; `None` if it is no more.
    pub after: Option<String>,
}
