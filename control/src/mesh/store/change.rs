//! Changes of the desired state as pure functions, so that every store makes the same of them.
//!
//! A change of policies is prepared on one state and made on another, when others changed policies in between.
//! Each policy that it concerns says from which document it was in force then: only if that is no longer so, the
//! change is refused. Changes of different policies never stand in each other's way.

mod rollout;

pub use rollout::{RolloutChange, RolloutStep};

use super::StoreError;
use super::filters::{FilterDeletion, FilterPush, check_used};
use crate::mesh::model::rollout::{Phase, RolloutPlan};
use crate::mesh::model::{
    DesiredState, Document, FilterId, PolicyRecord, ProxyId, ProxyRegistration, Readiness, Revision, Rollout,
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One change of the desired state.
#[derive(Clone, Debug)]
pub enum Change {
    /// Puts policies in force, replaces them, or takes them out of force; makes a revision.
    Policies(PolicyChange),
    /// Adds a sidecar, or states it anew; how ready it is stays ([`ProxyRegistration::after`]).
    RegisterProxy(Arc<ProxyRegistration>),
    /// Says how ready replicas are. Who was stated anew meanwhile is left as it is.
    Readiness(Vec<ReadinessChange>),
    /// Forgets a sidecar.
    RemoveProxy(ProxyId),
    /// Adds a version of a filter.
    PushFilter(Box<FilterPush>),
    /// Takes a version of a filter away that no policy needs.
    DeleteFilter(FilterDeletion),
    /// Moves the rollout that is under way.
    Rollout(RolloutChange),
}

/// How ready a replica is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadinessChange {
    /// The registration that was looked at.
    pub seen: Arc<ProxyRegistration>,
    /// What was found out.
    pub now: Readiness,
}

/// A change of policies; all that it does not name stay as they are.
#[derive(Clone, Debug)]
pub struct PolicyChange {
    /// The revision on which it was prepared.
    pub base: Revision,
    /// What it is for, which the audit log says.
    pub intent: Intent,
    /// Texts that `placed` refers to and that are not stored yet, or are; any order.
    pub documents: Vec<Arc<Document>>,
    /// Where each policy stands now.
    pub placed: BTreeMap<String, Placement>,
    /// Policies that go, each with the digest of the document that it was in force from.
    pub removed: BTreeMap<String, String>,
    /// How the revision reaches the sidecars that it changes; all at once if absent.
    pub rollout: Option<StagedFrom>,
}

/// A plan, and when it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedFrom {
    /// The plan.
    pub plan: RolloutPlan,
    /// When.
    pub at: Timestamp,
}

/// What a change of policies is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Somebody applied files.
    Apply {
        /// Whether their tests were not run, because somebody wanted it so.
        tests_skipped: bool,
    },
    /// Somebody deleted policies.
    Delete,
    /// Somebody went back to an earlier revision.
    RollBack {
        /// That revision.
        to: Revision,
        /// Whether their tests were not run, because somebody wanted it so.
        tests_skipped: bool,
    },
}

/// Where an applied policy stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The digest of its document ([`Document::digest`]).
    pub document: String,
    /// The digest of the document that it was in force from when the change was prepared; `None` if it was not.
    pub before: Option<String>,
    /// Whether its own text differs from what was in force; if not, it keeps its revision.
    pub changed: bool,
    /// The set that it is in from now on.
    pub set: Option<String>,
    /// The filters that it uses.
    pub filters: BTreeSet<FilterId>,
}

impl Change {
    /// The state after this change; costs in proportion to the change.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if a policy that it concerns is not where it was when the change was prepared;
    /// [`StoreError::NoSuchPolicy`] and [`StoreError::NoSuchProxy`] if there is nothing to remove; what is said about
    /// [`FilterPush`] and [`FilterDeletion`].
    pub fn apply_to(&self, state: &DesiredState) -> Result<DesiredState, StoreError> {
        let mut next = state.clone();
        match self {
            Self::Policies(change) => change.apply_to(&mut next)?,
            Self::RegisterProxy(registration) => {
                let registration =
                    registration.after(next.proxies.get(&registration.id).map(|present| &**present));
                next.register(Arc::new(registration));
            }
            Self::Readiness(changes) => {
                for ReadinessChange { seen, now } in changes {
                    if next.proxies.get(&seen.id) == Some(seen) {
                        let registration = ProxyRegistration { readiness: *now, ..(**seen).clone() };
                        next.register(Arc::new(registration));
                    }
                }
            }
            Self::Rollout(change) => change.apply_to(&mut next)?,
            Self::RemoveProxy(id) => {
                if next.unregister(id).is_none() {
                    return Err(StoreError::NoSuchProxy(id.0.clone()));
                }
            }
            Self::PushFilter(push) => push.apply_to(&mut next)?,
            Self::DeleteFilter(deletion) => deletion.apply_to(&mut next)?,
        }
        Ok(next)
    }

    /// What the audit log says of it.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Policies(change) => change.describe(),
            Self::RegisterProxy(registration) => format!("register proxy `{}`", registration.id.0),
            Self::Readiness(changes) => {
                let each = changes.iter().map(ReadinessChange::describe);
                each.collect::<Vec<_>>().join("; ")
            }
            Self::RemoveProxy(id) => format!("remove proxy `{}`", id.0),
            Self::PushFilter(push) => push.describe(),
            Self::DeleteFilter(deletion) => deletion.describe(),
            Self::Rollout(change) => change.describe(),
        }
    }
}

impl ReadinessChange {
    fn describe(&self) -> String {
        let found = match self.now {
            Readiness::Starting => "is starting",
            Readiness::Silent { .. } => "has an application that does not answer",
            Readiness::Ready => "is ready",
        };
        format!("proxy `{}` {found}", self.seen.id.0)
    }
}

impl PolicyChange {
    fn apply_to(&self, next: &mut DesiredState) -> Result<(), StoreError> {
        if let Some(rollout) = next.rollout_under_way() {
            return Err(StoreError::RolloutUnderWay { revision: rollout.to });
        }
        self.check_meanwhile(next)?;
        check_used(next, &self.filters())?;
        let before = self.rollout.as_ref().map(|_| next.policy_set());
        let from = next.revision;
        next.revision = Revision(next.revision.0 + 1);
        let new: BTreeMap<_, _> = self.documents.iter().map(|text| (text.digest(), text)).collect();
        for placement in self.placed.values() {
            if let Some((digest, document)) = new.get_key_value(&placement.document) {
                next.documents.insert(digest.clone(), Arc::clone(document));
            }
        }
        for (name, placement) in &self.placed {
            let revision = match next.policies.get(name) {
                Some(record) if !placement.changed => record.revision,
                _ => next.revision,
            };
            let Placement { document, set, filters, .. } = placement.clone();
            next.place(PolicyRecord { name: name.clone(), document, revision, set, filters });
        }
        for name in self.removed.keys() {
            next.displace(name);
        }
        if let Some(StagedFrom { plan, at }) = self.rollout.clone() {
            let (to, reached, phase, stable) = (next.revision, None, Phase::Running, before);
            next.rollout = Some(Arc::new(Rollout { from, to, plan, begun: at, reached, phase, stable }));
        }
        Ok(())
    }

    /// The filters that policies use from now on, each with a policy that does.
    fn filters(&self) -> BTreeMap<&FilterId, &str> {
        let placed = self.placed.iter();
        placed
            .flat_map(|(name, placement)| placement.filters.iter().map(|filter| (filter, name.as_str())))
            .collect()
    }

    /// Refuses the change if one of its policies is not where it was when the change was prepared.
    fn check_meanwhile(&self, state: &DesiredState) -> Result<(), StoreError> {
        let removed = self.removed.iter().map(|(name, document)| (name, Some(document)));
        let placed = self.placed.iter().map(|(name, placement)| (name, placement.before.as_ref()));
        for (name, before) in removed.chain(placed) {
            let now = state.policies.get(name).map(|record| &record.document);
            if now.is_none() && self.removed.contains_key(name) {
                return Err(StoreError::NoSuchPolicy(name.clone()));
            }
            if now != before {
                return Err(StoreError::Conflict {
                    policy: name.clone(),
                    base: self.base,
                    now: state.revision,
                });
            }
        }
        Ok(())
    }

    fn describe(&self) -> String {
        let list = |names: Vec<&String>| {
            let noun = if names.len() == 1 { "policy" } else { "policies" };
            let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            format!("{noun} {}", names.join(", "))
        };
        let mut text = String::new();
        if !self.placed.is_empty() {
            text.push_str(&format!("apply {}", list(self.placed.keys().collect())));
        }
        if !self.removed.is_empty() {
            let separator = if text.is_empty() { "" } else { "; " };
            text.push_str(&format!("{separator}delete {}", list(self.removed.keys().collect())));
        }
        if let Intent::RollBack { to, .. } = self.intent {
            text = format!("roll back to revision {to}: {text}");
        }
        if let Intent::Apply { tests_skipped: true } | Intent::RollBack { tests_skipped: true, .. } =
            self.intent
        {
            text.push_str(" without running their tests");
        }
        if let Some(StagedFrom { plan, .. }) = &self.rollout {
            let stages: Vec<String> = plan.stages.iter().map(ToString::to_string).collect();
            text.push_str(&format!(" in stages {}", stages.join(",")));
        }
        text
    }
}
