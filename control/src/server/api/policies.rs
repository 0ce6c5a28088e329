//! `/v1/policies` and `/v1/documents`: putting policies in force, reading them, taking them out.

use super::access::Caller;
use super::client::REQUEST_TIMEOUT;
use super::extract::{Json, Path};
use super::types::{
    ApplyRequest, ApplyResponse, DeleteResponse, DocumentBody, DocumentList, PolicyBody, PolicyList,
};
use super::{Api, ApiError};
use crate::mesh::identity::spiffe;
use crate::mesh::model::{DesiredState, Document, PolicyRecord};
use crate::mesh::store::StoreError;
use crate::policies::admission::{Admission, Deletion, LeftBehind, Refusal, Terms, admit, admit_deletion};
use crate::policies::documents::Standing;
use crate::policies::effort::Effort;
use crate::policies::in_force::InForce;
use axum::extract::State;
use axum::http::StatusCode;
use chancery_policy_lang::checked::{Mode, ServiceRef};
use jiff::Timestamp;
use jiff::tz::TimeZone;
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
    let ApplyRequest { files, dry_run, skip_tests } = request;
    let files: Vec<Document> = files.into_iter().map(Into::into).collect();
    let (effort, _waiting) = effort();
    let invited = Arc::new(invited(&api).await?);
    let _turn = if dry_run { None } else { Some(turn(&api).await?) };
    for _ in 0..ATTEMPTS_MAX {
        let state = now(&api);
        let (api, base, files) = (api.clone(), Arc::clone(&state), files.clone());
        let (invited, effort) = (Arc::clone(&invited), effort.clone());
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date().to_string();
        // Compiling takes a while; other requests go on meanwhile.
        let admission = blocking(move || {
            let terms = Terms { today: &today, skip_tests, invited: &invited };
            admit(&api.in_force.at(&base), files, terms, &api.programs, &effort)
        });
        let Admission { change, outcomes: policies, tests, warnings, left_out } = admission.await??;
        let respond = |revision: u64| {
            Json(ApplyResponse {
                revision,
                dry_run,
                policies: policies.into_iter().map(Into::into).collect(),
                tests,
                warnings: warnings.into_iter().map(Into::into).collect(),
                left_out: left_out.into_iter().map(Into::into).collect(),
            })
        };
        match change {
            Some(change) if !dry_run => match api.store.commit(change, caller.now()).await {
                Ok(state) => {
                    tracing::info!(revision = %state.revision, "policies applied");
                    return Ok(respond(state.revision.0));
                }
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            },
            _ => return Ok(respond(state.revision.0)),
        }
    }
    Err(too_busy())
}

/// The services for which there are join tokens.
async fn invited(api: &Api) -> Result<BTreeSet<ServiceRef>, ApiError> {
    let tokens = api.tokens.list(Timestamp::now()).await?;
    let service = |grants: &str| spiffe::parse_service(grants.strip_prefix("join ")?).ok();
    Ok(tokens.iter().filter_map(|token| service(&token.grants)).collect())
}

/// All policies in force.
pub(super) async fn list(State(api): State<Api>) -> Result<Json<PolicyList>, ApiError> {
    let state = now(&api);
    let revision = state.revision.0;
    let policies = blocking(move || bodies(&api.in_force.at(&state))).await?;
    Ok(Json(PolicyList { revision, policies }))
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
        Some(PolicyBody { document, ..body(&in_force, record) })
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
    let (effort, _waiting) = effort();
    let _turn = turn(&api).await?;
    for _ in 0..ATTEMPTS_MAX {
        let state = now(&api);
        if !state.policies.contains_key(&name) {
            return Err(StoreError::NoSuchPolicy(name).into());
        }
        let (of_work, unwanted, effort) = (api.clone(), name.clone(), effort.clone());
        let admitted = blocking(move || {
            admit_deletion(&of_work.in_force.at(&state), &unwanted, &of_work.programs, &effort)
        });
        let admitted = admitted.await??;
        let Deletion { change, left_out } = admitted;
        match api.store.commit(change, caller.now()).await {
            Ok(state) => {
                tracing::info!(revision = %state.revision, policy = name, "policy deleted");
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
fn effort() -> (Effort, DropGuard) {
    let given_up = CancellationToken::new();
    (Effort::until(Instant::now() + CHANGE_TIME_MAX, given_up.clone()), given_up.drop_guard())
}

fn now(api: &Api) -> Arc<DesiredState> {
    api.store.watch().borrow().clone()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
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

fn bodies(in_force: &InForce) -> Vec<PolicyBody> {
    in_force.state.policies.values().map(|record| body(in_force, record)).collect()
}

fn body(in_force: &InForce, record: &PolicyRecord) -> PolicyBody {
    let InForce { state, policies, .. } = in_force;
    let policy = policies.get(&record.name).map(|policy| &policy.policy);
    let line = policy.and_then(|policy| {
        let file = policies.sources.get(policy.span.file)?;
        Some(file.line_column(policy.span.start).line)
    });
    let targets = policy.into_iter().flat_map(|policy| &policy.targets);
    PolicyBody {
        name: record.name.clone(),
        revision: record.revision.0,
        targets: targets.map(|scope| policies.sources.snippet(scope.span).to_owned()).collect(),
        mode: policy.map_or("unreadable", |policy| mode(&policy.mode)).to_owned(),
        file: state.documents.get(&record.document).map(|document| document.name.clone()).unwrap_or_default(),
        line: line.unwrap_or(0),
        document: None,
    }
}

fn document(in_force: &InForce, digest: &str) -> Option<DocumentBody> {
    let file = in_force.state.documents.get(digest)?.name.clone();
    let Standing { text, policies, left_out } = in_force.policies.standing(&in_force.state, digest)?;
    let left_out = left_out.into_iter().map(|left| LeftBehind { file: file.clone(), left }.into()).collect();
    Some(DocumentBody { file, text, policies, left_out })
}

fn mode(mode: &Mode) -> &'static str {
    match mode {
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
