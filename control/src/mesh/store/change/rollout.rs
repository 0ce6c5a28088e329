//! Steps of a rollout that is under way: to the next stage, to its end, or back.

use crate::mesh::model::rollout::{Phase, StageReached, Undoing};
use crate::mesh::model::{DesiredState, ProxyId, Revision, Rollout};
use crate::mesh::store::{Changes, StoreError};
use jiff::Timestamp;
use std::sync::Arc;

/// A step of the rollout of one revision. It is refused if that one is not under way any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutChange {
    /// The revision that is rolled out.
    pub of: Revision,
    /// What happens to it.
    pub step: RolloutStep,
}

/// What happens to a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutStep {
    /// It goes to its next stage, unless it is paused.
    GoOn {
        /// That stage, which must be the next one.
        stage: usize,
        /// Whom it reaches; see [`Rollout::bound`].
        bound: Option<u64>,
        /// When.
        at: Timestamp,
    },
    /// It stays where it is.
    Pause,
    /// It goes on.
    Resume,
    /// Everybody has the revision.
    Finish,
    /// The policies before it are in force again, as a new revision.
    Undo {
        /// One sentence.
        reason: String,
        /// The policies to blame.
        policies: Vec<String>,
        /// The sidecars at which it showed.
        proxies: Vec<ProxyId>,
    },
}

impl RolloutChange {
    pub(super) fn apply_to(&self, next: &mut DesiredState) -> Result<(), StoreError> {
        let Some(rollout) = next.rollout_under_way().filter(|rollout| rollout.to == self.of).cloned() else {
            return Err(StoreError::RolloutMoved(format!("revision {} is not being rolled out", self.of)));
        };
        let moved = match &self.step {
            RolloutStep::GoOn { stage, bound, at } => {
                if rollout.phase == Phase::Paused || rollout.next_stage() != Some(*stage) {
                    let message = format!("the rollout of revision {} does not go to that stage", self.of);
                    return Err(StoreError::RolloutMoved(message));
                }
                let reached = Some(StageReached { stage: *stage, bound: *bound, since: *at });
                Rollout { reached, ..(*rollout).clone() }
            }
            RolloutStep::Pause => Rollout { phase: Phase::Paused, ..(*rollout).clone() },
            RolloutStep::Resume => Rollout { phase: Phase::Running, ..(*rollout).clone() },
            RolloutStep::Finish => Rollout { phase: Phase::Done, stable: None, ..(*rollout).clone() },
            RolloutStep::Undo { reason, policies, proxies } => {
                go_back(next, &rollout);
                let phase = Phase::Undone(Undoing {
                    revision: next.revision,
                    reason: reason.clone(),
                    policies: policies.clone(),
                    proxies: proxies.clone(),
                });
                Rollout { phase, stable: None, ..(*rollout).clone() }
            }
        };
        next.rollout = Some(Arc::new(moved));
        Ok(())
    }

    pub(super) fn describe(&self) -> String {
        let of = self.of;
        match &self.step {
            RolloutStep::GoOn { stage, .. } => format!("roll out revision {of}: stage {}", stage + 1),
            RolloutStep::Pause => format!("pause the rollout of revision {of}"),
            RolloutStep::Resume => format!("resume the rollout of revision {of}"),
            RolloutStep::Finish => format!("finish the rollout of revision {of}"),
            RolloutStep::Undo { reason, .. } => format!("undo the rollout of revision {of}: {reason}"),
        }
    }
}

/// Puts the policies before a rollout in force again, exactly as they were: who never had others is told nothing.
fn go_back(next: &mut DesiredState, rollout: &Rollout) {
    let Some(stable) = &rollout.stable else { return };
    let before = DesiredState { policies: stable.policies.clone(), ..DesiredState::default() };
    let now = DesiredState { policies: next.policies.clone(), ..DesiredState::default() };
    for (name, step) in Changes::between(&now, &before).policies {
        match step.after {
            Some(record) => {
                if let Some(document) = stable.documents.get(&record.document) {
                    next.documents.insert(record.document.clone(), document.clone());
                }
                next.place(record);
            }
            None => {
                next.displace(&name);
            }
        }
    }
    next.revision = Revision(next.revision.0 + 1);
}
