//! `/v1/filters`: pushing versions of filters, reading what there is, deleting what nobody uses.

use super::access::Caller;
use super::extract::{Json, Path};
use super::policies::{blocking, effort, now};
use super::types::{
    FilterBody, FilterList, FilterVersions, ModuleFindingBody, PushRequest, PushResponse, RetiredFilterBody,
};
use super::{Api, ApiError};
use crate::mesh::model::filter::{FilterName, FilterSource, FilterWordsError};
use crate::mesh::model::{DesiredState, FilterId};
use crate::mesh::store::{Change, FilterDeletion, StoreError};
use crate::policies::filters::admission::{Admitted, Proposal, PushRefusal, PushTerms, admit_push};
use crate::policies::filters::dry_run::DryRun;
use crate::policies::filters::look::LookError;
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chancery_sdk_admission::limits::MODULE_BYTES_MAX;
use chancery_sdk_admission::{Capability, Finding};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of a configuration with which a module is tried.
const CONFIGURATION_BYTES_MAX: usize = 1 << 20;
/// Bytes of whatever else is in a request.
const REST_BYTES_MAX: usize = 64 * 1024;
/// The largest body of a push: module and configuration in base64, and the rest.
pub(super) const PUSH_BODY_BYTES_MAX: usize =
    (MODULE_BYTES_MAX + CONFIGURATION_BYTES_MAX).div_ceil(3) * 4 + REST_BYTES_MAX;
/// The longest name of where a module came from, in bytes.
const SOURCE_BYTES_MAX: usize = 1024;
/// How many pushes are read and looked at at a time: each is held in memory, and compiled.
const PUSHES_MAX: usize = 2;
/// How many more wait for it.
const PUSHES_WAITING_MAX: usize = 16;
/// How long a push waits.
const PUSH_WAIT_MAX: Duration = Duration::from_secs(60);
/// When those come again for whom there was no room to wait.
const WAIT_FULL: Duration = Duration::from_secs(5);

/// How filters are admitted, and how many at a time.
#[derive(Debug)]
pub struct Pushes {
    terms: PushTerms,
    looking: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

/// The turn of a push; taken before its body is read.
pub(super) struct PushTurn(#[expect(dead_code, reason = "held")] OwnedSemaphorePermit);

impl Pushes {
    /// Pushes on these terms.
    #[must_use]
    pub fn on(terms: PushTerms) -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self { terms, looking: semaphore(PUSHES_MAX), waiting: semaphore(PUSHES_WAITING_MAX) }
    }

    async fn turn(&self) -> Result<PushTurn, ApiError> {
        let _waits = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| too_many())?;
        let turn = Arc::clone(&self.looking).acquire_owned();
        let turn = tokio::time::timeout(PUSH_WAIT_MAX, turn).await.map_err(|_elapsed| too_many())?;
        turn.map(PushTurn).map_err(|_| too_many())
    }
}

/// Looks at a module and keeps it under a name and version.
pub(super) async fn push(
    State(api): State<Api>,
    caller: Caller,
    _turn: PushTurn,
    Json(request): Json<PushRequest>,
) -> Result<Json<PushResponse>, ApiError> {
    let dry_run = request.dry_run;
    if !dry_run {
        caller.must_be_admin()?;
    }
    let proposal = proposal(request)?;
    let id = proposal.id.clone();
    let (effort, _waiting) = effort();
    let (state, by, pushes) = (now(&api), caller.now(), Arc::clone(&api.pushes));
    let admitted = blocking(move || admit_push(&state, &proposal, &pushes.terms, &by, &effort));
    let Admitted { push, findings, notes, dry_run: tried } = admitted.await??;
    let outcome = if push.is_some() { "pushed" } else { "unchanged" };
    let state = match push {
        Some(push) if dry_run => Arc::new(Change::PushFilter(Box::new(push)).apply_to(&now(&api))?),
        Some(push) => {
            let state = api.store.commit(Change::PushFilter(Box::new(push)), caller.now()).await?;
            tracing::info!(filter = %id, "filter pushed");
            state
        }
        None => now(&api),
    };
    // What a commit answers may be a later state, from which it was deleted.
    let filter = body(&state, &id)?;
    let findings = findings.into_iter().map(ModuleFindingBody::from).collect();
    let tried = tried.map(DryRun::in_words);
    Ok(Json(PushResponse { filter, dry_run, outcome: outcome.to_owned(), findings, notes, tried }))
}

/// Every version of every filter.
pub(super) async fn list(State(api): State<Api>) -> Result<Json<FilterList>, ApiError> {
    let state = now(&api);
    let filters = state.filters.values().map(|record| FilterBody::of(record, &state)).collect();
    Ok(Json(FilterList { filters }))
}

/// The versions of one filter.
pub(super) async fn versions(
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<FilterVersions>, ApiError> {
    let name: FilterName = name.parse()?;
    let state = now(&api);
    let of_name = state.filters.iter().filter(|(id, _)| id.name == name);
    let versions: Vec<_> = of_name.map(|(_, record)| FilterBody::of(record, &state)).collect();
    let of_name = state.retired_filters.iter().filter(|(id, _)| id.name == name);
    let deleted: Vec<_> = of_name.map(|(id, retired)| RetiredFilterBody::of(id, retired)).collect();
    if versions.is_empty() && deleted.is_empty() {
        let message = format!("there is no filter `{name}`");
        return Err(ApiError::new(StatusCode::NOT_FOUND, "unknown-filter", message)
            .help("list the filters with `chancery filter list`"));
    }
    Ok(Json(FilterVersions { name: name.to_string(), versions, deleted }))
}

/// One version of a filter.
pub(super) async fn get(
    State(api): State<Api>,
    Path((name, version)): Path<(String, String)>,
) -> Result<Json<FilterBody>, ApiError> {
    body(&now(&api), &id(&name, &version)?).map(Json)
}

/// Takes a version away that no policy needs.
pub(super) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Path((name, version)): Path<(String, String)>,
) -> Result<Json<RetiredFilterBody>, ApiError> {
    let id = id(&name, &version)?;
    let by = caller.now();
    let deletion = FilterDeletion { id: id.clone(), by: by.name.clone(), at: by.at };
    let state = api.store.commit(Change::DeleteFilter(deletion), by).await?;
    tracing::info!(filter = %id, "filter deleted");
    let retired = state.retired_filters.get(&id).ok_or_else(|| StoreError::NoSuchFilter(id.clone()))?;
    Ok(Json(RetiredFilterBody::of(&id, retired)))
}

fn body(state: &DesiredState, id: &FilterId) -> Result<FilterBody, ApiError> {
    let record = state.filters.get(id).ok_or_else(|| StoreError::NoSuchFilter(id.clone()))?;
    Ok(FilterBody::of(record, state))
}

fn id(name: &str, version: &str) -> Result<FilterId, ApiError> {
    Ok(FilterId { name: name.parse()?, version: version.parse()? })
}

/// What a request asks for.
fn proposal(request: PushRequest) -> Result<Proposal, ApiError> {
    let PushRequest { name, version, module, source, may, configuration, signature, dry_run: _ } = request;
    let source = FilterSource::from(source);
    let source_bytes = match &source {
        FilterSource::File(name) => name.len(),
        FilterSource::Registry { reference, manifest } => reference.len() + manifest.len(),
    };
    if source_bytes > SOURCE_BYTES_MAX {
        return Err(ApiError::bad_request("where the module came from is too long to be kept")
            .help(format!("say it in at most {SOURCE_BYTES_MAX} bytes")));
    }
    let configuration = configuration.map(|text| decode(&text, "the configuration")).transpose()?;
    if configuration.as_ref().is_some_and(|bytes| bytes.len() > CONFIGURATION_BYTES_MAX) {
        return Err(ApiError::bad_request(format!(
            "the configuration has more than {CONFIGURATION_BYTES_MAX} bytes"
        ))
        .help("a sidecar is not sent as much either"));
    }
    Ok(Proposal {
        id: id(&name, &version)?,
        bytes: decode(&module, "the module")?,
        configuration,
        may: may.as_deref().map(capabilities).transpose()?,
        source,
        signature,
    })
}

fn decode(text: &str, what: &str) -> Result<Vec<u8>, ApiError> {
    STANDARD.decode(text).map_err(|error| {
        ApiError::bad_request(format!("{what} is not in base64: {error}"))
            .help("encode it as RFC 4648 says, with padding")
    })
}

fn capabilities(words: &[String]) -> Result<BTreeSet<Capability>, ApiError> {
    let capability = |words: &String| {
        let known = words.parse::<Capability>().map_err(|unknown| ApiError::bad_request(unknown.to_string()));
        match known {
            Ok(known) if !known.can_be_allowed() => {
                let message = format!("no filter may be allowed to `{known}`");
                Err(ApiError::bad_request(message).help("leave it out of `may`"))
            }
            known => known,
        }
    };
    words.iter().map(capability).collect()
}

fn too_many() -> ApiError {
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too-often", "too many filters are pushed at a time")
        .help("come again later; the answer says in `retry-after` when")
        .retry_after(WAIT_FULL)
}

impl FromRequestParts<Api> for PushTurn {
    type Rejection = ApiError;

    async fn from_request_parts(_: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        api.pushes.turn().await
    }
}

impl From<FilterWordsError> for ApiError {
    fn from(error: FilterWordsError) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<PushRefusal> for ApiError {
    fn from(refusal: PushRefusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            PushRefusal::Findings(findings) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-module", message)
                    .help("the findings name the place and the remedy of each")
                    .findings(findings)
            }
            PushRefusal::Signature(_) => Self::new(StatusCode::FORBIDDEN, "bad-signature", message)
                .help("sign it with `--sign KEY`; which keys are trusted is in `--filter-keys` of the control plane"),
            PushRefusal::NotTried { help, .. } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "not-tried", message).help(help)
            }
            PushRefusal::Look(LookError::Stopped(_)) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "too-slow", message).help("push it again later")
            }
            PushRefusal::Look(LookError::Envoy(_)) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "envoy", message)
                    .help("mend the Envoy where the control plane runs: `chancery envoy path` there says more")
            }
            PushRefusal::Look(error @ LookError::Host(_)) => Self::internal(&error),
            PushRefusal::Store(error) => error.into(),
        }
    }
}

impl ApiError {
    /// Adds findings in a module.
    #[must_use]
    fn findings(mut self, findings: Vec<Finding>) -> Self {
        self.body.findings = findings.into_iter().map(ModuleFindingBody::from).collect();
        self
    }
}
