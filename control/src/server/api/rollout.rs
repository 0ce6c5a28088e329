//! `/v1/rollout`: how far the rollout is that is under way, holding it, and taking it back.

use super::access::Caller;
use super::extract::Json;
use super::policies::now;
use super::types::{
    AnsweredBody, RolloutBody, RolloutPlanBody, RolloutProxyBody, RolloutResponse, RolloutState, UndoneBody,
};
use super::{Api, ApiError};
use crate::delivery::fleet::Split;
use crate::delivery::rollout::{Member, Stand, members};
use crate::delivery::xds::Counts;
use crate::mesh::model::rollout::{RolloutPlan, Share, Stage, Undoing};
use crate::mesh::model::{DesiredState, Phase, ProxyId, Rollout};
use crate::mesh::store::{Change, RolloutChange, RolloutStep, StoreError};
use axum::extract::State;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What a plan says that is not stated in a request.
const SOAK_DEFAULT: Duration = Duration::from_secs(30);
const ABSENT_WAIT_DEFAULT: Duration = Duration::from_secs(60);
const ERRORS_MAX_DEFAULT: &str = "1%";
/// The longest that a stage may be told to wait.
const WAIT_MAX: Duration = Duration::from_secs(7 * 86_400);

/// How far the newest rollout is.
pub(super) async fn show(State(api): State<Api>) -> Json<RolloutResponse> {
    Json(response(&api, &now(&api)))
}

/// Holds it where it is.
pub(super) async fn pause(State(api): State<Api>, caller: Caller) -> Result<Json<RolloutResponse>, ApiError> {
    step(&api, &caller, RolloutStep::Pause).await
}

/// Lets it go on.
pub(super) async fn resume(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<RolloutResponse>, ApiError> {
    step(&api, &caller, RolloutStep::Resume).await
}

/// Takes it back.
pub(super) async fn undo(State(api): State<Api>, caller: Caller) -> Result<Json<RolloutResponse>, ApiError> {
    let reason = format!("{} wanted it", caller.now().name);
    step(&api, &caller, RolloutStep::Undo { reason, policies: Vec::new(), proxies: Vec::new() }).await
}

async fn step(api: &Api, caller: &Caller, step: RolloutStep) -> Result<Json<RolloutResponse>, ApiError> {
    let state = now(api);
    let Some(rollout) = state.rollout_under_way() else {
        return Err(StoreError::RolloutMoved("no rollout is under way".to_owned()).into());
    };
    let change = Change::Rollout(RolloutChange { of: rollout.to, step });
    let state = api.store.commit(change, caller.now()).await?;
    Ok(Json(response(api, &state)))
}

fn response(api: &Api, state: &DesiredState) -> RolloutResponse {
    let rollout = state.rollout.as_ref().map(|rollout| body(api, rollout, true));
    RolloutResponse { revision: state.revision.0, rollout }
}

/// What is said of a rollout, with or without a line for each sidecar that it changes.
pub(super) fn body(api: &Api, rollout: &Rollout, with_proxies: bool) -> RolloutBody {
    let split = api.fleet.split().borrow().clone().filter(|split| split.to == rollout.to);
    let members = split.as_ref().map(|split| members(split, &api.board)).unwrap_or_default();
    let those = |wanted: &Stand| {
        let those = members.iter().filter(|member| member.stand == *wanted);
        those.map(|member| member.id.0.clone()).collect::<Vec<_>>()
    };
    let (waiting, away) = (those(&Stand::Waiting), those(&Stand::Away));
    let acknowledged = members.iter().filter(|member| member.stand == Stand::Has).count();
    let traffic = api.traffic.borrow().clone();
    let proxies = match &split {
        Some(split) if with_proxies => proxy_bodies(api, split, &members),
        _ => Vec::new(),
    };
    RolloutBody {
        from: rollout.from.0,
        to: rollout.to.0,
        state: match &rollout.phase {
            Phase::Running => RolloutState::Running,
            Phase::Paused => RolloutState::Paused,
            Phase::Done => RolloutState::Done,
            Phase::Undone(_) => RolloutState::Undone,
        },
        begun: rollout.begun.to_string(),
        stages: rollout.plan.stages.iter().map(ToString::to_string).collect(),
        stage: rollout.reached.map(|reached| reached.stage + 1),
        since: rollout.reached.map(|reached| reached.since.to_string()),
        soak_ms: u64::try_from(rollout.plan.soak.as_millis()).unwrap_or(u64::MAX),
        max_5xx: rollout.plan.errors_max.to_string(),
        changes: split.as_ref().map_or(0, |split| split.stable.len()),
        reached: members.len(),
        acknowledged,
        waiting,
        away,
        answered: split.as_ref().map(|_| answered(&traffic.reached)),
        answered_elsewhere: split.as_ref().map(|_| answered(&traffic.others)),
        undone: match &rollout.phase {
            Phase::Undone(undoing) => Some(undone(undoing)),
            _ => None,
        },
        proxies,
    }
}

fn answered(counts: &Counts) -> AnsweredBody {
    AnsweredBody { requests: counts.requests, errors: counts.errors, failures: counts.failed() }
}

fn undone(Undoing { revision, reason, policies, proxies }: &Undoing) -> UndoneBody {
    UndoneBody {
        revision: revision.0,
        reason: reason.clone(),
        policies: policies.clone(),
        proxies: proxies.iter().map(|id| id.0.clone()).collect(),
    }
}

fn proxy_bodies(api: &Api, split: &Split, members: &[Member]) -> Vec<RolloutProxyBody> {
    let stands: BTreeMap<&ProxyId, &Stand> =
        members.iter().map(|member| (&member.id, &member.stand)).collect();
    let body = |id: &ProxyId| {
        let (revision, state) = match stands.get(id) {
            Some(Stand::Has) => (split.to, "has it"),
            Some(Stand::Waiting) => (split.to, "waiting"),
            Some(Stand::Faulty(_)) => (split.to, "refuses"),
            Some(Stand::Away) => (split.to, "away"),
            None if api.board.is_connected(id) => (split.from, "has it"),
            None => (split.from, "away"),
        };
        RolloutProxyBody { id: id.0.clone(), revision: revision.0, state: state.to_owned() }
    };
    split.stable.keys().map(body).collect()
}

/// The plan that an apply asks for; `None` if it is to reach all at once.
pub(super) fn plan_of(
    asked: Option<RolloutPlanBody>,
    at_once: bool,
    stages_default: &[Share],
) -> Result<Option<RolloutPlan>, ApiError> {
    let asked = match (asked, at_once) {
        (Some(_), true) => {
            return Err(ApiError::bad_request("`at_once` and `rollout` contradict each other")
                .help("leave one of them out"));
        }
        (None, true) => return Ok(None),
        (None, false) if stages_default.is_empty() => return Ok(None),
        (asked, false) => asked.unwrap_or_default(),
    };
    let RolloutPlanBody { stages, canary_label, soak_ms, absent_wait_ms, max_5xx } = asked;
    let mut shares = Vec::new();
    for text in &stages {
        shares.push(share(text)?);
    }
    if shares.is_empty() {
        shares = match (stages_default, &canary_label) {
            ([], Some(_)) => vec![Share::ALL],
            ([], None) => {
                return Err(ApiError::bad_request("it is not said in which stages")
                    .help("name them, such as `--stages 5%,50%,100%`"));
            }
            (stages, _) => stages.to_vec(),
        };
    }
    let label = canary_label.as_deref().map(label).transpose()?;
    let plan = RolloutPlan {
        stages: label.into_iter().chain(shares.into_iter().map(Stage::Share)).collect(),
        soak: wait(soak_ms, SOAK_DEFAULT)?,
        absent_wait: wait(absent_wait_ms, ABSENT_WAIT_DEFAULT)?,
        errors_max: share(max_5xx.as_deref().unwrap_or(ERRORS_MAX_DEFAULT))?,
    };
    match plan.problem() {
        Some(problem) => Err(ApiError::bad_request(format!("these cannot be the stages: {problem}"))
            .help("let shares grow up to all, such as `--stages 5%,50%,100%`")),
        None => Ok(Some(plan)),
    }
}

fn share(text: &str) -> Result<Share, ApiError> {
    Share::parse(text).ok_or_else(|| {
        ApiError::bad_request(format!("`{}` is not a share", text.escape_debug()))
            .help("write a percentage such as 5% or 0.5%, at most 100%")
    })
}

fn label(text: &str) -> Result<Stage, ApiError> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            Ok(Stage::Labelled { name: name.to_owned(), value: value.to_owned() })
        }
        _ => Err(ApiError::bad_request(format!("`{}` is not a label", text.escape_debug()))
            .help("write its name and value, such as track=canary")),
    }
}

fn wait(asked_ms: Option<u64>, default: Duration) -> Result<Duration, ApiError> {
    let wait = asked_ms.map_or(default, Duration::from_millis);
    if wait > WAIT_MAX {
        return Err(ApiError::bad_request("a stage cannot wait that long").help("wait a week at most"));
    }
    Ok(wait)
}

/// Refuses a canary stage that would reach nobody, which is mostly a label that is misspelt.
pub(super) fn check_canaries(
    plan: &RolloutPlan,
    state: &Arc<DesiredState>,
    concerned: &[ProxyId],
) -> Result<(), ApiError> {
    let Some(Stage::Labelled { name, value }) = plan.stages.first() else { return Ok(()) };
    let has_it =
        |id: &ProxyId| state.proxies.get(id).is_some_and(|proxy| proxy.labels.get(name) == Some(value));
    if concerned.is_empty() || concerned.iter().any(has_it) {
        return Ok(());
    }
    let message = format!("no sidecar that this changes has the label {name}={value}");
    Err(ApiError::bad_request(message).help(
        "labels are listed by `chancery proxies --json`; `--dry-run` names the sidecars that it changes",
    ))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
mod tests {
    use super::*;

    fn stages(asked: Option<RolloutPlanBody>, at_once: bool, default: &[&str]) -> String {
        let default: Vec<Share> = default.iter().map(|text| Share::parse(text).unwrap()).collect();
        match plan_of(asked, at_once, &default) {
            Ok(Some(plan)) => plan.stages.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            Ok(None) => "at once".to_owned(),
            Err(error) => error.body.message.clone(),
        }
    }

    fn of(shares: &[&str], label: Option<&str>) -> Option<RolloutPlanBody> {
        let stages = shares.iter().map(|&share| share.to_owned()).collect();
        Some(RolloutPlanBody { stages, canary_label: label.map(str::to_owned), ..Default::default() })
    }

    #[test]
    fn a_plan_is_what_is_asked_or_what_the_operator_wants() {
        let rows = [
            (None, false, &[][..], "at once"),
            (None, false, &["5%", "100%"], "5%,100%"),
            (None, true, &["5%", "100%"], "at once"),
            (of(&["10%", "100%"], None), false, &["5%", "100%"], "10%,100%"),
            (of(&[], Some("a=b")), false, &["5%", "100%"], "a=b,5%,100%"),
            (of(&[], Some("a=b")), false, &[], "a=b,100%"),
            (of(&[], None), false, &[], "it is not said in which stages"),
            (of(&["5"], None), false, &[], "`5` is not a share"),
            (of(&["5%"], None), false, &[], "these cannot be the stages: the last stage must be 100%"),
            (of(&[], Some("a")), false, &[], "`a` is not a label"),
            (of(&["100%"], None), true, &[], "`at_once` and `rollout` contradict each other"),
        ];
        for (asked, at_once, default, expected) in rows {
            assert_eq!(stages(asked.clone(), at_once, default), expected, "{asked:?}");
        }
    }
}
