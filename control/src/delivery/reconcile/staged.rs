//! Two sets of policies at once: what a rollout has reached is given the candidate, all others the stable set.
//!
//! ```text
//!                 +-- as before the rollout --> stable Reconciler ----+
//! DesiredState ---+                                                   +--> each proxy its own --> FleetChange
//!                 +-- as it is now -----------> candidate Reconciler -+
//! ```
//!
//! Both are whole reconcilers: the candidate's is a copy of the stable one that takes in the new policies, so that
//! whatever did not change is shared, and the snapshot of a proxy is consistent whichever set it has. A proxy whose two
//! snapshots are the same is not part of the rollout. When the rollout is over, one of the two goes on alone.

use super::{Reconciler, Tools};
use crate::delivery::fleet::{FleetChange, Split};
use crate::delivery::snapshot::Snapshot;
use crate::mesh::model::rollout::StageReached;
use crate::mesh::model::{DesiredState, ProxyId, Revision, Rollout};
use crate::policies::in_force::Current;
use imbl::{OrdMap, OrdSet};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Makes snapshots of one set of policies, or of two.
#[derive(Debug)]
pub struct Staged {
    tools: Tools,
    /// The only one unless a rollout is under way.
    stable: Reconciler,
    candidate: Option<Candidate>,
}

/// The policies that are rolled out, and whom that concerns.
#[derive(Debug)]
struct Candidate {
    to: Revision,
    reconciler: Reconciler,
    /// Proxies that get something else, each with what it has in the stable set.
    stable: OrdMap<ProxyId, Arc<Snapshot>>,
    /// Those of them that are given the candidate.
    reached: OrdSet<ProxyId>,
    /// The stage for which that was found out.
    stage: Option<StageReached>,
}

impl Staged {
    /// One that has made nothing yet.
    #[must_use]
    pub fn new(tools: Tools) -> Self {
        Self { stable: Reconciler::new(tools.clone()), tools, candidate: None }
    }

    /// Takes in a state, and who was evicted: gives the snapshots that are others now than before.
    pub fn take_in(&mut self, state: &Arc<DesiredState>) -> FleetChange {
        let rollout = state.rollout_under_way().cloned();
        let (Some(rollout), Some(stable)) = (rollout, state.stable().map(Arc::new)) else {
            return match self.candidate.take() {
                Some(candidate) => self.end(candidate, state),
                None => self.stable.take_in(state),
            };
        };
        // It may have slept through the end of a rollout and the beginning of another.
        let another = self.candidate.take_if(|candidate| candidate.to != rollout.to);
        let ended = another.map(|candidate| self.end(candidate, &stable));
        let (stable_change, mut candidate, candidate_change) = match self.candidate.take() {
            Some(mut candidate) => {
                let stable_change = self.stable.take_in(&stable);
                let candidate_change = candidate.reconciler.take_in(state);
                (stable_change, candidate, candidate_change)
            }
            None => self.begin(&rollout, &stable, state),
        };
        let stable_change = match ended {
            Some(ended) => followed(ended, stable_change),
            None => stable_change,
        };
        candidate.compare(&self.stable, &stable_change, &candidate_change);
        let change = candidate.divide(&rollout, state, stable_change, candidate_change);
        self.candidate = Some(candidate);
        change
    }

    /// Brings the stable set up to date and makes the candidate beside it.
    fn begin(
        &mut self,
        rollout: &Rollout,
        stable: &Arc<DesiredState>,
        state: &Arc<DesiredState>,
    ) -> (FleetChange, Candidate, FleetChange) {
        let stable_change = self.stable.take_in(stable);
        let mut reconciler = self.stable.clone();
        // What is known of the newest state is shared with others; the stable set has its own from now on.
        self.stable.tools.in_force = Arc::new(Current::beginning_with(self.stable.known.clone()));
        let candidate_change = reconciler.take_in(state);
        let (stable, reached) = (OrdMap::new(), OrdSet::new());
        let candidate = Candidate { to: rollout.to, reconciler, stable, reached, stage: None };
        (stable_change, candidate, candidate_change)
    }

    /// Goes on with the set that is in force alone now.
    fn end(&mut self, candidate: Candidate, state: &Arc<DesiredState>) -> FleetChange {
        let Candidate { reconciler, stable, reached, .. } = candidate;
        let is_done = reconciler.known.as_ref().is_some_and(|known| known.state.policies == state.policies);
        let moved: Vec<ProxyId> = if is_done {
            self.stable = reconciler;
            stable.keys().filter(|id| !reached.contains(*id)).cloned().collect()
        } else {
            reached.into_iter().collect()
        };
        self.stable.tools = self.tools.clone();
        let mut change = self.stable.take_in(state);
        for id in moved {
            if let Some(snapshot) = self.stable.snapshots.get(&id) {
                change.given.entry(id).or_insert_with(|| snapshot.clone());
            }
        }
        change
    }
}

impl Candidate {
    /// Finds out which of the proxies that were given something have two different snapshots.
    fn compare(&mut self, stable: &Reconciler, of_stable: &FleetChange, of_candidate: &FleetChange) {
        for id in of_stable.gone.iter().chain(&of_candidate.gone) {
            self.stable.remove(id);
            self.reached.remove(id);
        }
        for id in of_stable.given.keys().chain(of_candidate.given.keys()) {
            match (stable.snapshots.get(id), self.reconciler.snapshots.get(id)) {
                (Some(one), Some(other)) if differ(one, other) => {
                    self.stable.insert(id.clone(), one.clone());
                }
                _ => {
                    self.stable.remove(id);
                    self.reached.remove(id);
                }
            }
        }
    }

    /// Gives each proxy what it gets of the set that it has.
    fn divide(
        &mut self,
        rollout: &Rollout,
        state: &DesiredState,
        of_stable: FleetChange,
        of_candidate: FleetChange,
    ) -> FleetChange {
        let given: BTreeSet<&ProxyId> = of_stable.given.keys().chain(of_candidate.given.keys()).collect();
        let is_new_stage = self.stage != rollout.reached;
        self.stage = rollout.reached;
        let is_reached =
            |id: &ProxyId| state.proxies.get(id).is_some_and(|proxy| rollout.reaches(id, &proxy.labels));
        let looked_at = self.stable.keys().filter(|id| is_new_stage || given.contains(id));
        let newly: Vec<ProxyId> =
            looked_at.filter(|id| !self.reached.contains(*id) && is_reached(id)).cloned().collect();
        let mut change = FleetChange { revision: state.revision, ..of_stable };
        let waits = |id: &ProxyId| self.stable.contains_key(id) && !self.reached.contains(id);
        // What a proxy gets that has the same of both sets may come of one of them alone.
        let is_same = |id: &ProxyId| !self.stable.contains_key(id) && !of_candidate.given.contains_key(id);
        change.given.retain(|id, _| waits(id) || is_same(id));
        change.given.extend(of_candidate.given.into_iter().filter(|(id, _)| !waits(id)));
        for id in newly {
            if let Some(snapshot) = self.reconciler.snapshots.get(&id) {
                change.given.insert(id.clone(), snapshot.clone());
            }
            self.reached.insert(id);
        }
        change.gone.extend(of_candidate.gone);
        change.split = Some(Arc::new(Split {
            from: rollout.from,
            to: rollout.to,
            stable: self.stable.clone(),
            reached: self.reached.clone(),
        }));
        change
    }
}

/// Whether two snapshots of a proxy are not the same, whichever revision they were made from.
fn differ(one: &Snapshot, other: &Snapshot) -> bool {
    one.resources != other.resources || one.unmade != other.unmade || one.problems != other.problems
}

/// Two changes as one.
fn followed(mut first: FleetChange, then: FleetChange) -> FleetChange {
    first.given.retain(|id, _| !then.gone.contains(id));
    first.gone.retain(|id| !then.given.contains_key(id));
    first.given.extend(then.given);
    first.gone.extend(then.gone);
    FleetChange { revision: then.revision, is_whole: first.is_whole || then.is_whole, ..first }
}

#[cfg(test)]
mod tests;
