//! `/v1/tokens` and `/v1/audit`: who may do what, and who did what.

use super::access::Caller;
use super::extract::{Json, Path, Query};
use super::proxies::evict_one;
use super::types::{
    AuditBody, AuditChangeBody, AuditList, Evicted, TokenBody, TokenList, TokenRequest, TokenResponse,
};
use super::{Api, ApiError};
use crate::mesh::identity::{spiffe, tokens};
use crate::mesh::model::ProxyRegistration;
use crate::mesh::store::{AUDIT_ENTRIES_MAX, AuditChange, AuditEntry, AuditLog};
use axum::extract::State;
use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use std::sync::Arc;

/// How many audit entries are given unless the request says.
const AUDIT_COUNT_DEFAULT: usize = 100;
/// How many are given at most.
const AUDIT_COUNT_MAX: usize = AUDIT_ENTRIES_MAX;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditQuery {
    count: Option<usize>,
    log: Option<LogName>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokeQuery {
    #[serde(default)]
    members: bool,
}

/// Whose writes are asked for.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum LogName {
    People,
    Machines,
}

/// Makes a token.
pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    Json(request): Json<TokenRequest>,
) -> Result<Json<TokenResponse>, ApiError> {
    let new = match request {
        TokenRequest::Join { service, lifetime_seconds } => {
            let service = spiffe::parse_service(&service).map_err(ApiError::bad_request)?;
            let lifetime = lifetime(lifetime_seconds)?.unwrap_or(tokens::JOIN_LIFETIME_DEFAULT);
            api.tokens.issue_join(service, lifetime, &api.url, caller.now()).await?
        }
        TokenRequest::Role { role, lifetime_seconds } => {
            api.tokens.issue_role(role, lifetime(lifetime_seconds)?, caller.now()).await?
        }
    };
    let expires_at = new.expires_at.map(|at| at.to_string());
    Ok(Json(TokenResponse { token: new.text, id: new.id, expires_at }))
}

/// All tokens in force.
pub(super) async fn list(State(api): State<Api>) -> Result<Json<TokenList>, ApiError> {
    let tokens = api.tokens.list(Timestamp::now()).await?;
    let body = |token: tokens::TokenRecord| TokenBody {
        id: token.id,
        grants: token.grants,
        expires_at: token.expires_at.map(|at| at.to_string()),
    };
    Ok(Json(TokenList { tokens: tokens.into_iter().map(body).collect() }))
}

/// Ends a token, and if that is asked for shuts out who joined with it.
pub(super) async fn revoke(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<RevokeQuery>,
) -> Result<Json<Evicted>, ApiError> {
    // First the token: nobody joins with it while its members go. One that has ended has members, too.
    let is_revoked = api.tokens.revoke(&id, caller.now()).await?;
    let mut evicted = Vec::new();
    if query.members {
        let state = api.store.watch().borrow().clone();
        let is_member = |proxy: &&Arc<ProxyRegistration>| proxy.token.as_ref() == Some(&id);
        for proxy in state.proxies.values().filter(is_member) {
            evict_one(&api, &proxy.id, caller.now()).await?;
            evicted.push(proxy.id.0.clone());
        }
    }
    if is_revoked || !evicted.is_empty() {
        return Ok(Json(Evicted { evicted }));
    }
    Err(ApiError::new(StatusCode::NOT_FOUND, "unknown-token", format!("there is no token `{id}`"))
        .help("list the tokens with `chancery get token`"))
}

/// The newest writes.
pub(super) async fn audit(
    State(api): State<Api>,
    Query(query): Query<AuditQuery>,
) -> Result<Json<AuditList>, ApiError> {
    let count = query.count.unwrap_or(AUDIT_COUNT_DEFAULT).min(AUDIT_COUNT_MAX);
    let log = match query.log {
        None | Some(LogName::People) => AuditLog::People,
        Some(LogName::Machines) => AuditLog::Machines,
    };
    let change = |AuditChange { what, before, after }| AuditChangeBody { what, before, after };
    let body = |entry: AuditEntry| AuditBody {
        number: entry.number,
        at: entry.at.to_string(),
        actor: entry.actor,
        action: entry.action,
        revision: entry.revision.0,
        changes: entry.changes.into_iter().map(change).collect(),
    };
    Ok(Json(AuditList { entries: api.store.audit(log, count).await?.into_iter().map(body).collect() }))
}

fn lifetime(seconds: Option<u64>) -> Result<Option<SignedDuration>, ApiError> {
    match seconds {
        None => Ok(None),
        Some(0) => Err(ApiError::bad_request("`lifetime_seconds` is 0").help("state at least one second")),
        Some(seconds) => {
            let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
            Ok(Some(SignedDuration::from_secs(seconds).min(tokens::LIFETIME_MAX)))
        }
    }
}
