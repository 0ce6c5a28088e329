//! The stored form of a rollout. The policies that it can go back to are not part of it: they are in the history.

use super::record::Record;
use crate::mesh::model::rollout::{Phase, RolloutPlan, Share, Stage, StageReached, Undoing};
use crate::mesh::model::{ProxyId, Revision, Rollout};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Serialize, Deserialize)]
pub(super) struct StoredRollout {
    from: u64,
    to: u64,
    begun_ms: i64,
    stages: Vec<StoredStage>,
    soak_ms: u64,
    absent_wait_ms: u64,
    errors_max_hundredths: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reached: Option<StoredReached>,
    phase: StoredPhase,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredStage {
    Label(String, String),
    ShareHundredths(u16),
}

#[derive(Serialize, Deserialize)]
struct StoredReached {
    stage: usize,
    bound: Option<u64>,
    since_ms: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredPhase {
    Running,
    Paused,
    Done,
    Undone { revision: u64, reason: String, policies: Vec<String>, proxies: Vec<String> },
}

fn time(at_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(at_ms).unwrap_or_default()
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A share that was one when it was written.
fn share(hundredths: u16) -> Share {
    Share::of_hundredths(hundredths).unwrap_or(Share::ALL)
}

impl Record for StoredRollout {
    type Model = Rollout;

    fn of(model: &Rollout) -> Self {
        let stage = |stage: &Stage| match stage {
            Stage::Labelled { name, value } => StoredStage::Label(name.clone(), value.clone()),
            Stage::Share(share) => StoredStage::ShareHundredths(share.hundredths()),
        };
        Self {
            from: model.from.0,
            to: model.to.0,
            begun_ms: model.begun.as_millisecond(),
            stages: model.plan.stages.iter().map(stage).collect(),
            soak_ms: milliseconds(model.plan.soak),
            absent_wait_ms: milliseconds(model.plan.absent_wait),
            errors_max_hundredths: model.plan.errors_max.hundredths(),
            reached: model.reached.map(|reached| StoredReached {
                stage: reached.stage,
                bound: reached.bound,
                since_ms: reached.since.as_millisecond(),
            }),
            phase: match &model.phase {
                Phase::Running => StoredPhase::Running,
                Phase::Paused => StoredPhase::Paused,
                Phase::Done => StoredPhase::Done,
                Phase::Undone(Undoing { revision, reason, policies, proxies }) => StoredPhase::Undone {
                    revision: revision.0,
                    reason: reason.clone(),
                    policies: policies.clone(),
                    proxies: proxies.iter().map(|id| id.0.clone()).collect(),
                },
            },
        }
    }

    fn into_model(self, _key: &str) -> Rollout {
        let stage = |stage: StoredStage| match stage {
            StoredStage::Label(name, value) => Stage::Labelled { name, value },
            StoredStage::ShareHundredths(hundredths) => Stage::Share(share(hundredths)),
        };
        Rollout {
            from: Revision(self.from),
            to: Revision(self.to),
            plan: RolloutPlan {
                stages: self.stages.into_iter().map(stage).collect(),
                soak: Duration::from_millis(self.soak_ms),
                absent_wait: Duration::from_millis(self.absent_wait_ms),
                errors_max: share(self.errors_max_hundredths),
            },
            begun: time(self.begun_ms),
            reached: self.reached.map(|reached| StageReached {
                stage: reached.stage,
                bound: reached.bound,
                since: time(reached.since_ms),
            }),
            phase: match self.phase {
                StoredPhase::Running => Phase::Running,
                StoredPhase::Paused => Phase::Paused,
                StoredPhase::Done => Phase::Done,
                StoredPhase::Undone { revision, reason, policies, proxies } => Phase::Undone(Undoing {
                    revision: Revision(revision),
                    reason,
                    policies,
                    proxies: proxies.into_iter().map(ProxyId).collect(),
                }),
            },
            stable: None,
        }
    }
}
