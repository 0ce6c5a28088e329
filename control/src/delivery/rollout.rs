//! Drives a rollout: from stage to stage while nothing is wrong, and back by itself when something is.
//!
//! ```text
//! board: who took it, who refuses --+
//! fleet: whom it changes, reached --+--> members --> Judge (pure) --> Verdict --> store --> reconcile
//! reports: answers 5xx, failures ---+
//! ```
//!
//! What was decided is in the store; what is only being waited for is not. So a control plane that has just started goes
//! on with the stage that it finds, and lets it soak anew.

mod judge;
mod members;
mod traffic;

pub use judge::{Judge, Look, Verdict};
pub use members::{Fault, Member, Stand, members};
pub use traffic::{Meter, Traffic};

use crate::delivery::acks::AckBoard;
use crate::delivery::fleet::{Fleet, Split};
use crate::mesh::model::{DesiredState, Rollout};
use crate::mesh::store::{Actor, Change, RolloutChange, RolloutStep, Store, StoreError};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// How often is looked while a rollout is under way and nothing happens.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// How long changes are left to gather before it is looked again.
const GATHERED: Duration = Duration::from_millis(20);
/// When it is tried again what could not be written.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// The task that drives rollouts.
pub(crate) struct RolloutDriver {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) board: Arc<AckBoard>,
    pub(crate) fleet: Arc<Fleet>,
    /// What was answered while the rollout is under way, for whoever asks.
    pub(crate) traffic: watch::Sender<Traffic>,
}

impl RolloutDriver {
    /// Drives until it is dropped.
    pub(crate) async fn run(self) {
        let (mut states, mut board, mut split) = (self.store.watch(), self.board.watch(), self.fleet.split());
        let (mut judge, mut meter) = (Judge::default(), Meter::default());
        loop {
            let state = states.borrow_and_update().clone();
            board.borrow_and_update();
            let present = split.borrow_and_update().clone();
            let Some(rollout) = state.rollout_under_way() else {
                judge = Judge::default();
                self.traffic.send_replace(Traffic::default());
                if states.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let present = present.filter(|split| split.to == rollout.to);
            if let Some(split) = present
                && let Err(error) = self.look((&mut judge, &mut meter), &state, rollout, &split).await
            {
                tracing::error!(%error, "the rollout cannot go on; tried again");
                sleep(TRY_AGAIN).await;
            }
            tokio::select! {
                changed = states.changed() => if changed.is_err() { return },
                changed = board.changed() => if changed.is_err() { return },
                changed = split.changed() => if changed.is_err() { return },
                () = sleep(LOOK_INTERVAL) => {}
            }
            sleep(GATHERED).await;
        }
    }

    async fn look(
        &self,
        (judge, meter): (&mut Judge, &mut Meter),
        state: &DesiredState,
        rollout: &Rollout,
        split: &Split,
    ) -> Result<(), StoreError> {
        let members = members(split, &self.board);
        let traffic = meter.measure(split, &self.board.counts_of(split.stable.keys()));
        self.traffic.send_replace(traffic.clone());
        let (now, changed) = (Instant::now().into_std(), split.stable.len());
        let look = Look { now, changed, members: &members, traffic: &traffic };
        let step = match judge.judge(rollout, &look) {
            Verdict::Wait => return Ok(()),
            Verdict::GoOn => match rollout.next_stage() {
                Some(stage) => {
                    let bound = rollout.bound(stage, split.stable.keys());
                    RolloutStep::GoOn { stage, bound, at: Timestamp::now() }
                }
                None => RolloutStep::Finish,
            },
            Verdict::Finish => RolloutStep::Finish,
            Verdict::Undo { reason, policies, proxies } => RolloutStep::Undo { reason, policies, proxies },
        };
        let to = rollout.to;
        match &step {
            RolloutStep::Undo { reason, policies, .. } => {
                tracing::error!(revision = to.0, reason, policies = policies.join(", "), "rollout is undone");
            }
            step => tracing::info!(revision = to.0, ?step, of = state.proxies.len(), "rollout goes on"),
        }
        let by = Actor { name: "control plane".to_owned(), at: Timestamp::now() };
        match self.store.commit(Change::Rollout(RolloutChange { of: to, step }), by).await {
            // Somebody else was faster: the next look sees what they made of it.
            Ok(_) | Err(StoreError::RolloutMoved(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
