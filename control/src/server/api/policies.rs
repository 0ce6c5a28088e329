//! `/v1/policies` and `/v1/documents`: putting policies in force, reading them, taking them out.

use super::access::Caller;
use super::client::REQUEST_TIMEOUT;
use super::extract::{Json, Path, Query};
use super::history::state_at;
use super::rollout::{check_canaries, plan_of};
use super::types::{
    ApplyRequest, ApplyResponse, DeleteRequest, DeleteResponse, DocumentBody, DocumentDiff, DocumentList,
    PolicyBody, PolicyList,
};
use super::{Api, ApiError};
use crate::mesh::identity::spiffe;
use crate::mesh::model::rollout::RolloutPlan;
use crate::mesh::model::{
    DesiredState, Document, Labels, PolicyRecord, ProxyId, ProxyRegistration, Revision,
};
use crate::mesh::store::{Change, PolicyChange, StagedFrom, StoreError};
use crate::policies::admission::{Admission, Deletion, LeftBehind, Refusal, Terms, admit, admit_deletion};
use crate::policies::differences::document_differences;
use crate::policies::documents::Standing;
use crate::policies::effort::Effort;
use crate::policies::in_force::InForce;
use crate::policies::population::workload;
use crate::policies::programs::Programs;
use axum::extract::State;
use axum::http::StatusCode;
use chancery_policy_lang::checked::{CheckedPolicy, Mode, ServiceRef};
use chancery_policy_lang::link::covers;
use chancery_policy_lang::linked::Workload;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How often a change is prepared anew because one came in between that did not wait for its turn, such as
/// that of another control plane.
const ATTEMPTS_MAX: usize = 8;
/// How long a change of policies may take altogether: waiting for those before it, compiling, trying, testing. A
/// client waits longer for its answer.
const CHANGE_TIME_MAX: Duration = Duration::from_secs(100);
/// How long a change waits for those before it.
const TURN_WAIT_MAX: Duration = Duration::from_secs(60);
const _: () = assert!(CHANGE_TIME_MAX.as_secs() < REQUEST_TIMEOUT.as_secs());
const _: () = assert!(TURN_WAIT_MAX.as_secs() < CHANGE_TIME_MAX.as_secs());

/// Puts policies in force; all of the files or none.
pub(super) async fn apply(
    State(api): State<Api>,
    caller: Caller,
    Json(request): Json<ApplyRequest>,
) -> Result<Json<ApplyResponse>, ApiError> {
    let ApplyRequest { files, dry_run, skip_tests, set, prune, since, rollout, at_once } = request;
    let plan = plan_of(rollout, at_once, &api.rollout_stages)?;
    if since.is_some() && !dry_run {
        return Err(
            ApiError::bad_request("`since` is for a dry run").help("say `dry_run` too, or leave it out")
        );
    }
    let files: Vec<Document> = files.into_iter().map(Into::into).collect();
    let terms = OwnedTerms { set, prune, ..terms_of(&api, skip_tests).await? };
    change_policies(&api, &caller, dry_run, since, plan, move |in_force, programs, effort| {
        admit(in_force, files.clone(), terms.borrow(), programs, effort)
    })
    .await
}

/// How a change of policies is meant, on its way to the thread that prepares it.
pub(super) struct OwnedTerms {
    today: String,
    skip_tests: bool,
    invited: BTreeSet<ServiceRef>,
    set: Option<String>,
    prune: bool,
}

impl OwnedTerms {
    pub(super) fn borrow(&self) -> Terms<'_> {
        let (today, set) = (self.today.as_str(), self.set.as_deref());
        Terms { today, skip_tests: self.skip_tests, invited: &self.invited, set, prune: self.prune }
    }
}

/// The terms of today.
pub(super) async fn terms_of(api: &Api, skip_tests: bool) -> Result<OwnedTerms, ApiError> {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date().to_string();
    Ok(OwnedTerms { today, skip_tests, invited: invited(api).await?, set: None, prune: false })
}

/// Prepares a change of policies and makes it; of a dry run tells what it would change, counted from the
/// revision `since`, or from the newest.
pub(super) async fn change_policies(
    api: &Api,
    caller: &Caller,
    dry_run: bool,
    since: Option<u64>,
    plan: Option<RolloutPlan>,
    prepare: impl Fn(&InForce, &Programs, &Effort) -> Result<Admission, Refusal> + Send + Sync + 'static,
) -> Result<Json<ApplyResponse>, ApiError> {
    let prepare = Arc::new(prepare);
    let (effort, _waiting) = effort();
    let _turn = if dry_run {
        None
    } else {
        caller.must_be_admin()?;
        Some(turn(api).await?)
    };
    for _ in 0..ATTEMPTS_MAX {
        let state = now(api);
        if !dry_run {
            check_no_rollout(&state)?;
        }
        let (of_work, base) = (api.clone(), Arc::clone(&state));
        let (prepare, effort) = (Arc::clone(&prepare), effort.clone());
        // Compiling takes a while; other requests go on meanwhile.
        let admission = blocking(move || prepare(&of_work.in_force.at(&base), &of_work.programs, &effort));
        let mut admission = admission.await??;
        if let Some(plan) = &plan {
            check_canaries(plan, &state, &admission.concerned)?;
        }
        match admission.change.take().map(|change| in_stages(change, plan.clone())) {
            change if dry_run => {
                let documents = told(api, &state, change, since).await?;
                let response = response(state.revision.0, true, admission, plan.as_ref());
                return Ok(Json(ApplyResponse { documents, ..response }));
            }
            Some(change) => match api.store.commit(change, caller.now()).await {
                Ok(state) => {
                    tracing::info!(revision = %state.revision, "policies changed");
                    return Ok(Json(response(state.revision.0, false, admission, plan.as_ref())));
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            },
            None => return Ok(Json(response(state.revision.0, false, admission, None))),
        }
    }
    Err(too_busy())
}

/// How the documents would differ.
async fn told(
    api: &Api,
    state: &Arc<DesiredState>,
    change: Option<Change>,
    since: Option<u64>,
) -> Result<Vec<DocumentDiff>, ApiError> {
    let before = match since {
        Some(revision) => state_at(api, Revision(revision)).await?,
        None => Arc::clone(state),
    };
    let after = match change {
        Some(change) => Arc::new(change.apply_to(state)?),
        None => Arc::clone(state),
    };
    let differences = blocking(move || document_differences(&before, &after)).await?;
    Ok(differences.into_iter().map(Into::into).collect())
}

/// The change, delivered by a plan.
fn in_stages(change: Change, plan: Option<RolloutPlan>) -> Change {
    match (change, plan) {
        (Change::Policies(change), Some(plan)) => {
            let rollout = Some(StagedFrom { plan, at: Timestamp::now() });
            Change::Policies(PolicyChange { rollout, ..change })
        }
        (change, _) => change,
    }
}

/// Refuses a change of policies while one is on its way.
fn check_no_rollout(state: &DesiredState) -> Result<(), ApiError> {
    match state.rollout_under_way() {
        Some(rollout) => Err(StoreError::RolloutUnderWay { revision: rollout.to }.into()),
        None => Ok(()),
    }
}

fn response(revision: u64, dry_run: bool, admission: Admission, plan: Option<&RolloutPlan>) -> ApplyResponse {
    let Admission { change: _, outcomes, tests, warnings, left_out, concerned } = admission;
    ApplyResponse {
        revision,
        dry_run,
        policies: outcomes.into_iter().map(Into::into).collect(),
        tests,
        warnings: warnings.into_iter().map(Into::into).collect(),
        left_out: left_out.into_iter().map(Into::into).collect(),
        sidecars: concerned.into_iter().map(|id| id.0).collect(),
        documents: Vec::new(),
        stages: plan.into_iter().flat_map(|plan| &plan.stages).map(ToString::to_string).collect(),
    }
}

/// The services for which there are join tokens.
async fn invited(api: &Api) -> Result<BTreeSet<ServiceRef>, ApiError> {
    let tokens = api.tokens.list(Timestamp::now()).await?;
    let service = |grants: &str| spiffe::parse_service(grants.strip_prefix("join ")?).ok();
    Ok(tokens.iter().filter_map(|token| service(&token.grants)).collect())
}

/// All policies in force.
pub(super) async fn list(
    State(api): State<Api>,
    Query(about): Query<About>,
) -> Result<Json<PolicyList>, ApiError> {
    let state = now(&api);
    let revision = state.revision.0;
    let workloads = about.workloads(&state)?;
    let policies = blocking(move || {
        let in_force = api.in_force.at(&state);
        let mut records: Vec<&PolicyRecord> = in_force.state.policies.values().collect();
        if let Some(workloads) = workloads {
            records.retain(|record| {
                let policy = in_force.policies.get(&record.name);
                policy
                    .is_some_and(|policy| workloads.iter().any(|workload| concerns(&policy.policy, workload)))
            });
        }
        records.into_iter().map(|record| body(&in_force, record)).collect()
    });
    Ok(Json(PolicyList { revision, policies: policies.await? }))
}

/// Of whom the policies are asked for: one sidecar, the sidecars of a service, or everybody.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct About {
    proxy: Option<String>,
    service: Option<String>,
}

impl About {
    /// The workloads that are meant; all if there are none.
    fn workloads(&self, state: &DesiredState) -> Result<Option<Vec<Workload>>, ApiError> {
        let of =
            |proxy: &Arc<ProxyRegistration>| workload(&proxy.service, &proxy.labels, &state.trust_domain);
        if let Some(id) = &self.proxy {
            let proxy = state.proxies.get(&ProxyId(id.clone()));
            let proxy = proxy.ok_or_else(|| StoreError::NoSuchProxy(id.clone()))?;
            return Ok(Some(heeded(proxy, &state.trust_domain)));
        }
        let Some(service) = &self.service else { return Ok(None) };
        let service = spiffe::parse_service(service).map_err(ApiError::bad_request)?;
        // Nobody may have joined yet: what is said of the service as such concerns it.
        let mut workloads = vec![workload(&service, &Labels::default(), &state.trust_domain)];
        workloads.extend(state.proxies.values().filter(|proxy| proxy.service == service).map(of));
        Ok(Some(workloads))
    }
}

/// Whether a policy speaks of what comes to a workload, or of what it sends.
fn concerns(policy: &CheckedPolicy, workload: &Workload) -> bool {
    policy.targets.iter().any(|scope| covers(&scope.target, workload).is_some())
}

/// The workloads whose policies a sidecar heeds: its own, and those that it calls.
fn heeded(proxy: &ProxyRegistration, trust_domain: &str) -> Vec<Workload> {
    let called = proxy.outbounds.iter();
    let called = called.map(|outbound| workload(&outbound.service, &Labels::default(), trust_domain));
    std::iter::once(workload(&proxy.service, &proxy.labels, trust_domain)).chain(called).collect()
}

/// The sidecars that a policy concerns.
fn concerned(in_force: &InForce, name: &str) -> Option<Vec<String>> {
    let policy = &in_force.policies.get(name)?.policy;
    let state = &in_force.state;
    let those = state
        .proxies
        .values()
        .filter(|proxy| heeded(proxy, &state.trust_domain).iter().any(|workload| concerns(policy, workload)));
    Some(those.map(|proxy| proxy.id.to_string()).collect())
}

/// One policy in force, and the file that it stands in.
pub(super) async fn get(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<PolicyBody>, ApiError> {
    let state = now(&api);
    let wanted = name.clone();
    let found = blocking(move || {
        let record = state.policies.get(&wanted)?;
        let in_force = api.in_force.at(&state);
        let document = document(&in_force, &record.document);
        Some(PolicyBody { document, proxies: concerned(&in_force, &wanted), ..body(&in_force, record) })
    });
    found.await?.map(Json).ok_or_else(|| StoreError::NoSuchPolicy(name).into())
}

/// The files of all policies in force.
pub(super) async fn documents(State(api): State<Api>) -> Result<Json<DocumentList>, ApiError> {
    let state = now(&api);
    let revision = state.revision.0;
    let mut documents = blocking(move || {
        let in_force = api.in_force.at(&state);
        let all = state.documents.keys().filter_map(|digest| document(&in_force, digest));
        all.collect::<Vec<_>>()
    })
    .await?;
    documents.sort_by(|a, b| (&a.file, &a.policies).cmp(&(&b.file, &b.policies)));
    Ok(Json(DocumentList { revision, documents }))
}

/// Takes a policy out of force.
pub(super) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<DeleteResponse>, ApiError> {
    take_away(&api, &caller, [name].into()).await
}

/// Takes policies out of force, all or none.
pub(super) async fn delete_all(
    State(api): State<Api>,
    caller: Caller,
    Json(DeleteRequest { policies }): Json<DeleteRequest>,
) -> Result<Json<DeleteResponse>, ApiError> {
    if policies.is_empty() {
        return Err(ApiError::bad_request("no policy is named").help("name at least one"));
    }
    take_away(&api, &caller, policies.into_iter().collect()).await
}

async fn take_away(
    api: &Api,
    caller: &Caller,
    names: BTreeSet<String>,
) -> Result<Json<DeleteResponse>, ApiError> {
    let (effort, _waiting) = effort();
    let _turn = turn(api).await?;
    for _ in 0..ATTEMPTS_MAX {
        let state = now(api);
        check_no_rollout(&state)?;
        let (of_work, unwanted, effort) = (api.clone(), names.clone(), effort.clone());
        let admitted = blocking(move || {
            admit_deletion(&of_work.in_force.at(&state), &unwanted, &of_work.programs, &effort)
        });
        let Deletion { change, left_out } = admitted.await??;
        match api.store.commit(change, caller.now()).await {
            Ok(state) => {
                tracing::info!(revision = %state.revision, policies = ?names, "policies deleted");
                let left_out = left_out.into_iter().map(Into::into).collect();
                return Ok(Json(DeleteResponse { revision: state.revision.0, left_out }));
            }
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(too_busy())
}

/// Waits until those who came before have changed the policies.
async fn turn(api: &Api) -> Result<OwnedMutexGuard<()>, ApiError> {
    let turn = Arc::clone(&api.turn).lock_owned();
    tokio::time::timeout(TURN_WAIT_MAX, turn).await.map_err(|_elapsed| too_busy())
}

/// The bounds of the work for one request, and what has to be kept for as long as somebody waits for the answer:
/// whoever gives up drops it, and the work ends.
pub(super) fn effort() -> (Effort, DropGuard) {
    let given_up = CancellationToken::new();
    (Effort::until(Instant::now() + CHANGE_TIME_MAX, given_up.clone()), given_up.drop_guard())
}

pub(super) fn now(api: &Api) -> Arc<DesiredState> {
    api.store.watch().borrow().clone()
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "the compiler broke an invariant of its own");
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the policies could not be compiled")
            .help("this is a fault of chancery, not of the policies: nothing was changed; its log says more")
    })
}

fn too_busy() -> ApiError {
    ApiError::new(StatusCode::CONFLICT, "conflict", "other changes kept coming in between")
        .help("do it again")
}

pub(super) fn body(in_force: &InForce, record: &PolicyRecord) -> PolicyBody {
    let InForce { state, policies, .. } = in_force;
    let policy = policies.get(&record.name).map(|policy| &policy.policy);
    let line = policy.and_then(|policy| {
        let file = policies.sources.get(policy.span.file)?;
        Some(file.line_column(policy.span.start).line)
    });
    let targets = policy.into_iter().flat_map(|policy| &policy.targets).map(|scope| scope.span);
    let goal = policy.and_then(CheckedPolicy::sink).map(|sink| sink.span);
    PolicyBody {
        name: record.name.clone(),
        revision: record.revision.0,
        targets: targets.chain(goal).map(|span| policies.sources.snippet(span).to_owned()).collect(),
        set: record.set.clone(),
        mode: policy.map_or("unreadable", mode).to_owned(),
        file: state.documents.get(&record.document).map(|document| document.name.clone()).unwrap_or_default(),
        line: line.unwrap_or(0),
        document: None,
        proxies: None,
    }
}

fn document(in_force: &InForce, digest: &str) -> Option<DocumentBody> {
    let file = in_force.state.documents.get(digest)?.name.clone();
    let Standing { text, policies, left_out } = in_force.policies.standing(&in_force.state, digest)?;
    let left_out = left_out.into_iter().map(|left| LeftBehind { file: file.clone(), left }.into()).collect();
    Some(DocumentBody { file, text, policies, left_out })
}

fn mode(policy: &CheckedPolicy) -> &'static str {
    match policy.mode {
        _ if policy.sink().is_some() => "sink",
        Mode::Enforce => "enforce",
        Mode::Shadow { .. } => "shadow",
        Mode::Off => "off",
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::Request { help, .. } => Self::bad_request(message).help(help),
            Refusal::Trial(_) | Refusal::Broken(_) => {
                tracing::error!(error = message, "a compiled policy failed its trial");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "trial", message).help(
                    "this is a fault of chancery, not of the policies: nothing was changed; please report it",
                )
            }
            Refusal::Store(error) => error.into(),
            Refusal::Tests { failed, .. } => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "failed-test",
                message,
            )
            .help(
                "correct the policy, or the test if it asks for the wrong thing; to apply all the same, \
                         do not run the tests (`--no-tests`): the audit log says so",
            )
            .failed_tests(failed.into_iter().map(Into::into).collect()),
            Refusal::Policies(diagnostics) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-policy", message)
                    .help("the findings name the place and the remedy of each")
                    .diagnostics(diagnostics.into_iter().map(Into::into).collect())
            }
        }
    }
}
