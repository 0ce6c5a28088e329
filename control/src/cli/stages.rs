//! Options of commands that can deliver a revision in stages.

use crate::cli::durations;
use crate::server::api::types::RolloutPlanBody;
use clap::Args;
use std::time::Duration;

/// How a revision is to reach the sidecars that it changes.
#[derive(Args, Debug)]
pub struct StageArguments {
    /// Deliver it in stages: shares of the sidecars that it changes, up to 100%
    #[arg(long, value_name = "SHARES", value_delimiter = ',')]
    stages: Vec<String>,
    /// Sidecars with this label come before the stages
    #[arg(long, value_name = "NAME=VALUE")]
    canary_label: Option<String>,
    /// How long nothing may be wrong in a stage before the next one [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = durations::parse)]
    soak: Option<Duration>,
    /// How long a stage waits for sidecars that are away [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = durations::parse)]
    absent_wait: Option<Duration>,
    /// By how much the share of answers 5xx of sidecars that have it may be above that of the others [default: 1%]
    #[arg(long = "max-5xx", value_name = "SHARE")]
    max_5xx: Option<String>,
    /// Deliver it to all at once, also where the control plane was started with --rollout-stages
    #[arg(long, conflicts_with_all = ["stages", "canary_label", "soak", "absent_wait", "max_5xx"])]
    pub at_once: bool,
}

impl StageArguments {
    /// What is asked of the control plane; `None` if nothing is said of stages.
    pub(super) fn plan(&self) -> Option<RolloutPlanBody> {
        let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let plan = RolloutPlanBody {
            stages: self.stages.clone(),
            canary_label: self.canary_label.clone(),
            soak_ms: self.soak.map(milliseconds),
            absent_wait_ms: self.absent_wait.map(milliseconds),
            max_5xx: self.max_5xx.clone(),
        };
        (plan != RolloutPlanBody::default()).then_some(plan)
    }
}
