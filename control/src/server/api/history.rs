//! `/v1/revisions`, `/v1/diff` and `/v1/rollback`: what was in force, how it differs, and going back to it.

use super::access::Caller;
use super::extract::{Json, Query};
use super::policies::{blocking, change_policies, now, terms_of};
use super::types::{
    ApplyResponse, DiffResponse, RevisionBody, RevisionList, RevisionPolicy, RevisionStep, RollbackRequest,
};
use super::{Api, ApiError};
use crate::mesh::model::{DesiredState, PolicyRecord, Revision};
use crate::mesh::store::{RevisionRecord, Step};
use crate::policies::admission::admit_rollback;
use crate::policies::differences::{document_differences, state_of};
use axum::extract::State;
use serde::Deserialize;
use std::sync::Arc;

/// How many revisions are listed unless the request says otherwise.
const REVISIONS_COUNT_DEFAULT: usize = 100;

/// What may be asked of the list of revisions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RevisionsQuery {
    count: Option<usize>,
}

/// Which revisions are compared.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DiffQuery {
    from: Option<u64>,
    to: Option<u64>,
}

/// The newest revisions, and what each changed.
pub(super) async fn revisions(
    State(api): State<Api>,
    Query(query): Query<RevisionsQuery>,
) -> Result<Json<RevisionList>, ApiError> {
    let revision = now(&api).revision.0;
    let records = api.store.revisions(query.count.unwrap_or(REVISIONS_COUNT_DEFAULT)).await?;
    Ok(Json(RevisionList { revision, revisions: records.into_iter().map(body).collect() }))
}

/// How the policies of two revisions differ; of the newest and the one before unless said otherwise.
pub(super) async fn diff(
    State(api): State<Api>,
    Query(query): Query<DiffQuery>,
) -> Result<Json<DiffResponse>, ApiError> {
    let to = query.to.map_or_else(|| now(&api).revision, Revision);
    let from = query.from.map_or_else(|| Revision(to.0.saturating_sub(1)), Revision);
    let (before, after) = (state_at(&api, from).await?, state_at(&api, to).await?);
    let differences = blocking(move || document_differences(&before, &after)).await?;
    let documents = differences.into_iter().map(Into::into).collect();
    Ok(Json(DiffResponse { from: from.0, to: to.0, documents }))
}

/// Puts the policies of an earlier revision in force again.
pub(super) async fn roll_back(
    State(api): State<Api>,
    caller: Caller,
    Json(request): Json<RollbackRequest>,
) -> Result<Json<ApplyResponse>, ApiError> {
    let RollbackRequest { revision, dry_run, skip_tests } = request;
    let earlier = Arc::new(api.store.policies_at(Revision(revision)).await?);
    let terms = terms_of(&api, skip_tests).await?;
    change_policies(&api, &caller, dry_run, None, None, move |in_force, programs, effort| {
        admit_rollback(in_force, &earlier, terms.borrow(), programs, effort)
    })
    .await
}

/// The policies of a revision, as a state without sidecars.
pub(super) async fn state_at(api: &Api, revision: Revision) -> Result<Arc<DesiredState>, ApiError> {
    let newest = now(api);
    if newest.revision == revision {
        return Ok(newest);
    }
    let at = api.store.policies_at(revision).await?;
    Ok(Arc::new(state_of(at, &newest.trust_domain)))
}

fn body(record: RevisionRecord) -> RevisionBody {
    let policy = |(name, step): (String, Step<PolicyRecord>)| {
        let step = match (step.before, step.after) {
            (None, _) => RevisionStep::Created,
            (Some(_), None) => RevisionStep::Deleted,
            (Some(before), Some(after)) if before.revision == after.revision => RevisionStep::Moved,
            (Some(_), Some(_)) => RevisionStep::Changed,
        };
        RevisionPolicy { name, step }
    };
    RevisionBody {
        revision: record.revision.0,
        at: record.at.to_string(),
        actor: record.actor,
        action: record.action,
        policies: record.policies.into_iter().map(policy).collect(),
    }
}
