//! `/v1/proxies` and `/v1/status`: who is in the mesh, what each has, and how far it is.

use super::extract::{Json, Path, Query};
use super::types::{InboundBody, OutboundBody, ProxyBody, ProxyList, Rejection, StatusResponse};
use super::{Api, ApiError};
use crate::delivery::acks::{ProxyStatus, Refused};
use crate::delivery::envoy::yaml;
use crate::mesh::model::{ProxyId, ProxyRegistration, Revision};
use crate::mesh::store::StoreError;
use axum::extract::State;
use axum::http::{HeaderName, header};
use serde::Deserialize;

/// What a proxy's id is made of.
#[derive(Debug, Deserialize)]
pub(super) struct IdParts {
    namespace: String,
    service: String,
    instance: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatusQuery {
    revision: Option<u64>,
}

/// All sidecars that joined.
pub(super) async fn list(State(api): State<Api>) -> Json<ProxyList> {
    Json(ProxyList { proxies: proxies(&api) })
}

/// Whether everyone is on a revision.
pub(super) async fn status(
    State(api): State<Api>,
    Query(query): Query<StatusQuery>,
) -> Result<Json<StatusResponse>, ApiError> {
    let desired = api.store.watch().borrow().clone();
    let revision = query.revision.map_or(desired.revision, Revision);
    if revision > desired.revision {
        return Err(ApiError::bad_request(format!("revision {revision} is not there yet"))
            .help(format!("the newest is {}", desired.revision)));
    }
    let proxies = proxies(&api);
    let connected: Vec<_> = proxies.iter().filter(|proxy| proxy.connected).collect();
    let on_revision = connected.iter().filter(|proxy| proxy.revision >= Some(revision.0)).count();
    Ok(Json(StatusResponse {
        revision: revision.0,
        trust_domain: desired.trust_domain.clone(),
        policies: desired.policies.len(),
        on_revision,
        connected: connected.len(),
        proxies,
    }))
}

/// What a sidecar is given, as YAML.
pub(super) async fn snapshot(
    State(api): State<Api>,
    Path(id): Path<IdParts>,
) -> Result<([(HeaderName, &'static str); 1], String), ApiError> {
    let id = ProxyId(format!("{}/{}/{}", id.namespace, id.service, id.instance));
    let snapshot = api.fleet.borrow().snapshots.get(&id).cloned();
    let snapshot = snapshot.ok_or(StoreError::NoSuchProxy(id.0))?;
    let text = yaml::of_snapshot(&snapshot).map_err(|error| ApiError::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, "application/yaml")], text))
}

fn proxies(api: &Api) -> Vec<ProxyBody> {
    let desired = api.store.watch().borrow().clone();
    let mut statuses = api.board.statuses();
    desired.proxies.iter().map(|(id, registration)| body(registration, statuses.remove(id))).collect()
}

fn body(registration: &ProxyRegistration, status: Option<ProxyStatus>) -> ProxyBody {
    let service = |service: &chancery_policy_lang::checked::ServiceRef| {
        format!("{}/{}", service.namespace, service.name)
    };
    let refused = status.as_ref().map(|status| status.refused.as_slice()).unwrap_or_default();
    ProxyBody {
        id: registration.id.0.clone(),
        service: service(&registration.service),
        labels: registration.labels.clone(),
        inbound: registration
            .inbound
            .map(|inbound| InboundBody { listen: inbound.listen, application: inbound.application }),
        outbounds: registration
            .outbounds
            .iter()
            .map(|outbound| OutboundBody { service: service(&outbound.service), listen: outbound.listen })
            .collect(),
        connected: status.as_ref().is_some_and(|status| status.is_connected),
        revision: status.as_ref().and_then(|status| status.applied).map(|revision| revision.0),
        offered: status.as_ref().map(|status| status.offered.0),
        rejections: refused.iter().map(rejection).collect(),
        problems: status.map(|status| status.problems.to_vec()).unwrap_or_default(),
    }
}

fn rejection(refused: &Refused) -> Rejection {
    Rejection {
        resource_type: refused.kind.as_str().to_owned(),
        resource: refused.name.clone(),
        policies: refused.policies.to_vec(),
        message: refused.message.to_string(),
    }
}
