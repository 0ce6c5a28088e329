//! What a store says when it does not do what it was asked, each with its remedy.

use crate::mesh::model::filter::FilterDigest;
use crate::mesh::model::{FilterId, Revision};
use std::path::PathBuf;

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// A policy of the change was changed since it was prepared; prepare it again.
    #[error(
        "policy `{policy}` was changed meanwhile: this change was prepared on revision {base}, now it is {now}"
    )]
    Conflict {
        /// The policy.
        policy: String,
        /// What the change was prepared on.
        base: Revision,
        /// What it is now.
        now: Revision,
    },
    /// There is no policy of this name.
    #[error("there is no policy `{0}`")]
    NoSuchPolicy(String),
    /// There is no proxy of this name.
    #[error("there is no proxy `{0}`")]
    NoSuchProxy(String),
    /// There is no such version of a filter.
    #[error("there is no filter `{0}`")]
    NoSuchFilter(FilterId),
    /// A policy uses a version of a filter that is not there, maybe since it was deleted meanwhile.
    #[error("policy `{policy}` uses the filter `{id}`, which is not there")]
    FilterMissing {
        /// The policy.
        policy: String,
        /// The filter.
        id: FilterId,
    },
    /// A version stands for the same bytes for ever.
    #[error(
        "the filter `{id}` was pushed before with other bytes, their digest is {digest}; a version never gets others"
    )]
    FilterTaken {
        /// The filter.
        id: FilterId,
        /// The digest of its bytes.
        digest: FilterDigest,
    },
    /// The version has the same bytes, but may do something else.
    #[error("the filter `{0}` was pushed before with other permissions; a version never gets others")]
    FilterOnOtherTerms(FilterId),
    /// Policies need the filter.
    #[error("the filter `{id}` is in use by {}", policy_list(.policies))]
    FilterInUse {
        /// The filter.
        id: FilterId,
        /// The policies, by name.
        policies: Vec<String>,
    },
    /// There are as many filters as may be.
    #[error("there is no room for the filter: {0}")]
    NoRoomForFilter(String),
    /// The policies of this revision are not kept, or it has not been made.
    #[error("there is no revision {wanted}: kept are {oldest} to {newest}")]
    NoSuchRevision {
        /// Asked for.
        wanted: Revision,
        /// The oldest one that is kept.
        oldest: Revision,
        /// The newest one.
        newest: Revision,
    },
    /// Policies cannot change while a revision of them is delivered in stages.
    #[error("revision {revision} is being rolled out")]
    RolloutUnderWay {
        /// That revision.
        revision: Revision,
    },
    /// No rollout is under way, or another one, or it is further.
    #[error("{0}")]
    RolloutMoved(String),
    /// Another process has the data directory.
    #[error("`{}` is in use by another control plane: stop that one, or choose another --data-dir", .0.display())]
    InUse(PathBuf),
    /// The file is not a store of this program, or damaged.
    #[error(
        "`{}` cannot be read: {detail}. Restore it from a backup; for a new mesh, choose an empty --data-dir",
        .path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The file is not there, though it should be.
    #[error(
        "`{}` is missing, though the data directory is not new: restore it from a backup; \
         for a new mesh, choose an empty --data-dir",
        .0.display()
    )]
    Missing(PathBuf),
    /// The file was copied: the original may be in use.
    #[error(
        "`{}` is a copy, and two control planes with one identity would both speak for the mesh: if the original is \
         not used any more (this is a restored backup, or was moved), start once with --restored; \
         else choose another --data-dir",
        .0.display()
    )]
    Copied(PathBuf),
    /// The trust domain asked for is not that of the data.
    #[error(
        "the data directory belongs to trust domain `{stored}`, not `{asked}`: \
         leave out --trust-domain, or choose another --data-dir"
    )]
    OtherTrustDomain {
        /// Of the data.
        stored: String,
        /// Asked for.
        asked: String,
    },
    /// The disk failed, or is full.
    #[error("`{}` cannot be written: {detail}. Nothing of this change was kept", .path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// The store does not take writes any more, which is our fault.
    #[error("the store has stopped: {0}. Restart the control plane")]
    Stopped(String),
}

/// How many policies are named in an error.
const NAMED_MAX: usize = 5;

/// The first policies by name, and how many more there are.
fn policy_list(policies: &[String]) -> String {
    let noun = if policies.len() == 1 { "policy" } else { "policies" };
    let named: Vec<_> = policies.iter().take(NAMED_MAX).map(|name| format!("`{name}`")).collect();
    let more = match policies.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("the {noun} {}{more}", named.join(", "))
}
