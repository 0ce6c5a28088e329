//! `/v1/policies` and `/v1/documents`: putting policies in force, reading them, taking them out.

use super::access::Caller;
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
use crate::policies::in_force::PoliciesInForce;
use axum::extract::State;
use axum::http::StatusCode;
use chancery_policy_lang::checked::{Mode, ServiceRef};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;

/// How often a change is prepared anew because one came in between that did not wait for its turn, such as
/// that of another control plane.
const ATTEMPTS_MAX: usize = 8;
/// How long a change waits for those before it; less than a client waits for its answer.
const TURN_WAIT_MAX: Duration = Duration::from_secs(90);

/// Puts policies in force; all of the files or none.
pub(super) async fn apply(
    State(api): State<Api>,
    caller: Caller,
    Json(request): Json<ApplyRequest>,
) -> Result<Json<ApplyResponse>, ApiError> {
    let ApplyRequest { files, dry_run, skip_tests } = request;
    let files: Vec<Document> = files.into_iter().map(Into::into).collect();
    let invited = Arc::new(invited(&api).await?);
    let _turn = if dry_run { None } else { Some(turn(&api).await?) };
    for _ in 0..ATTEMPTS_MAX {
        let state = now(&api);
        let (base, files, preflight) = (Arc::clone(&state), files.clone(), Arc::clone(&api.preflight));
        let invited = Arc::clone(&invited);
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date().to_string();
        // Compiling takes a while; other requests go on meanwhile.
        let admission = blocking(move || {
            let terms = Terms { today: &today, skip_tests, invited: &invited };
            admit(&base, files, terms, &preflight)
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
    let policies = blocking(move || bodies(&state)).await?;
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
        let in_force = PoliciesInForce::of(&state);
        let record = state.policies.get(&wanted)?;
        let document = document(&state, &in_force, &record.document);
        Some(PolicyBody { document, ..body(&state, &in_force, record) })
    });
    found.await?.map(Json).ok_or_else(|| StoreError::NoSuchPolicy(name).into())
}

/// The files of all policies in force.
pub(super) async fn documents(State(api): State<Api>) -> Result<Json<DocumentList>, ApiError> {
    let state = now(&api);
    let revision = state.revision.0;
    let mut documents = blocking(move || {
        let in_force = PoliciesInForce::of(&state);
        let all = state.documents.keys().filter_map(|digest| document(&state, &in_force, digest));
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
    let _turn = turn(&api).await?;
    for _ in 0..ATTEMPTS_MAX {
        let state = now(&api);
        if !state.policies.contains_key(&name) {
            return Err(StoreError::NoSuchPolicy(name).into());
        }
        let (unwanted, preflight) = (name.clone(), Arc::clone(&api.preflight));
        let admitted = blocking(move || admit_deletion(&state, &unwanted, &preflight)).await??;
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

fn bodies(state: &DesiredState) -> Vec<PolicyBody> {
    let in_force = PoliciesInForce::of(state);
    state.policies.values().map(|record| body(state, &in_force, record)).collect()
}

fn body(state: &DesiredState, in_force: &PoliciesInForce, record: &PolicyRecord) -> PolicyBody {
    let policy = in_force.policies.get(&record.name);
    let line = policy.and_then(|policy| {
        let file = in_force.sources.get(policy.span.file)?;
        Some(file.line_column(policy.span.start).line)
    });
    let targets = policy.into_iter().flat_map(|policy| &policy.targets);
    PolicyBody {
        name: record.name.clone(),
        revision: record.revision.0,
        targets: targets.map(|scope| in_force.sources.snippet(scope.span).to_owned()).collect(),
        mode: policy.map_or("unreadable", |policy| mode(&policy.mode)).to_owned(),
        file: state.documents.get(&record.document).map(|document| document.name.clone()).unwrap_or_default(),
        line: line.unwrap_or(0),
        document: None,
    }
}

fn document(state: &DesiredState, in_force: &PoliciesInForce, digest: &str) -> Option<DocumentBody> {
    let file = state.documents.get(digest)?.name.clone();
    let Standing { text, policies, left_out } = in_force.standing(state, digest)?;
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
