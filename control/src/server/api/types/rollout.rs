//! What the REST API says of rollouts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a revision is to reach the sidecars that it changes.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct RolloutPlanBody {
    /// Shares such as `5%` that grow up to `100%`; those that the control plane was started with if absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<String>,
    /// `name=value`: sidecars with this label come before the stages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary_label: Option<String>,
    /// How long nothing may be wrong in a stage before the next one; 30 seconds if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soak_ms: Option<u64>,
    /// How long a stage waits for sidecars that are away; 60 seconds if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent_wait_ms: Option<u64>,
    /// By how much the share of answers 5xx of those that have it may be above that of the others; `1%` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_5xx: Option<String>,
}

/// `GET /v1/rollout`, and what changes a rollout
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct RolloutResponse {
    /// The newest revision.
    pub revision: u64,
    /// The newest rollout, under way or over; absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutBody>,
}

/// Whether a rollout goes on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum RolloutState {
    /// It does.
    Running,
    /// It stays where it is until somebody resumes it.
    Paused,
    /// Everybody was reached.
    Done,
    /// It was taken back.
    Undone,
}

/// A rollout.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct RolloutBody {
    /// The revision before it.
    pub from: u64,
    /// The revision that is rolled out.
    pub to: u64,
    /// Whether it goes on.
    pub state: RolloutState,
    /// When it began.
    pub begun: String,
    /// Its stages: shares, or a label.
    pub stages: Vec<String>,
    /// The stage that it is in, from 1; absent before the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<usize>,
    /// Since when it is in that stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// How long nothing may be wrong in a stage before the next one.
    pub soak_ms: u64,
    /// By how much the share of answers 5xx may be above that of the others.
    pub max_5xx: String,
    /// How many sidecars it changes; 0 when it is over.
    pub changes: usize,
    /// How many of those it has reached.
    pub reached: usize,
    /// How many of those acknowledged all of it.
    pub acknowledged: usize,
    /// Those that were reached and have not answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<String>,
    /// Those that were reached and are away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub away: Vec<String>,
    /// What those answered that it has reached; absent when it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<AnsweredBody>,
    /// What those answered that it has not reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_elsewhere: Option<AnsweredBody>,
    /// Why it was taken back, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone: Option<UndoneBody>,
    /// The sidecars that it changes, each with the revision that it is given; only where the rollout itself is asked
    /// for, and while it is under way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proxies: Vec<RolloutProxyBody>,
}

/// How many requests sidecars answered.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct AnsweredBody {
    /// All of them.
    pub requests: u64,
    /// Those with 5xx.
    pub errors: u64,
    /// How often filters failed.
    pub failures: u64,
}

/// Why a rollout was taken back.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct UndoneBody {
    /// The revision that has the policies before it again.
    pub revision: u64,
    /// One sentence.
    pub reason: String,
    /// The policies to blame, as far as that is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// The sidecars at which it showed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proxies: Vec<String>,
}

/// A sidecar that a rollout changes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct RolloutProxyBody {
    /// Its id.
    pub id: String,
    /// The revision that it is given.
    pub revision: u64,
    /// How it stands to that: `has it`, `waiting`, `away` or `refuses`.
    pub state: String,
}
