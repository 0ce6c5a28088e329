//! `/v1/proxies` and `/v1/status`: who is in the mesh, what each has, and how far it is.

use super::access::Caller;
use super::client::REQUEST_TIMEOUT;
use super::extract::{Json, Path, Query};
use super::policies::blocking;
use super::types::{
    Done, Evicted, InboundBody, NowhereBody, OutboundBody, Progress, ProxyBody, ProxyList, ReadinessBody,
    ReadinessState, Rejection, StatusResponse,
};
use super::{Api, ApiError, plaintext};
use crate::delivery::acks::{ProxyStatus, Refused};
use crate::delivery::envoy::yaml;
use crate::delivery::fleet::Standpoint;
use crate::delivery::snapshot::ResourceType;
use crate::delivery::xds::{Application, UnopenedListeners};
use crate::mesh::identity::spiffe;
use crate::mesh::model::{ProxyId, ProxyRegistration, Readiness, Revision};
use crate::mesh::store::{Actor, Change, StoreError};
use crate::policies::in_force::InForce;
use crate::policies::nowhere::nowhere;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use chancery_policy_lang::checked::Destination;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

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
    wait: Option<u64>,
    #[serde(default)]
    proxies: Shown,
}

/// Which sidecars a status lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Shown {
    #[default]
    All,
    Behind,
}

/// The longest that a status is waited for; less than a client waits for its answer.
const WAIT_MAX: Duration = Duration::from_secs(30);
const _: () = assert!(WAIT_MAX.as_secs() < REQUEST_TIMEOUT.as_secs());
/// How long changes of the board are left to gather before it is looked at again.
const GATHERED: Duration = Duration::from_millis(10);

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
    if let Some(seconds) = query.wait {
        let wait = Duration::from_secs(seconds).min(WAIT_MAX);
        // That the time is over is no mistake: the answer says who is still behind.
        let _late = tokio::time::timeout(wait, settled(&api, revision)).await;
    }
    let desired = api.store.watch().borrow().clone();
    let standing = Standing::of(&api, revision);
    let listed = match query.proxies {
        Shown::All => proxies(&api),
        Shown::Behind => standing.behind,
    };
    let (nowhere, plaintext) = match query.proxies {
        Shown::All => {
            let mut counts = api.board.counts_of(desired.proxies.keys());
            // What one that is away said last says nothing of now.
            counts.retain(|id, _| api.board.is_connected(id));
            let (in_force, desired) = (api.in_force.clone(), desired.clone());
            blocking(move || {
                let in_force = in_force.at(&desired);
                (nowhere_bodies(&in_force), plaintext::bodies(&in_force, &counts))
            })
            .await?
        }
        Shown::Behind => (Vec::new(), Vec::new()),
    };
    Ok(Json(StatusResponse {
        revision: revision.0,
        trust_domain: desired.trust_domain.clone(),
        policies: desired.policies.len(),
        on_revision: standing.on_revision,
        connected: standing.connected,
        away: standing.away,
        proxies: listed,
        rollout: desired
            .rollout
            .as_ref()
            .filter(|rollout| {
                rollout.is_under_way() || rollout.to == revision || rollout.is_undone_by(revision)
            })
            .map(|rollout| super::rollout::body(&api, rollout, false)),
        nowhere,
        plaintext,
    }))
}

/// Where policies send requests and nobody is.
fn nowhere_bodies(in_force: &InForce) -> Vec<NowhereBody> {
    let body = |(destination, policies): (Destination, BTreeSet<String>)| NowhereBody {
        destination: destination.to_string(),
        policies: policies.into_iter().collect(),
    };
    nowhere(in_force).into_iter().map(body).collect()
}

/// Waits until every registered sidecar has taken a revision or refused it.
async fn settled(api: &Api, revision: Revision) {
    let (mut board, mut fleet) = (api.board.watch(), api.fleet.built());
    loop {
        board.borrow_and_update();
        fleet.borrow_and_update();
        if Standing::of(api, revision).is_settled {
            return;
        }
        let changed = tokio::select! {
            changed = board.changed() => changed,
            changed = fleet.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
        tokio::time::sleep(GATHERED).await;
    }
}

/// How the registered sidecars stand to a revision.
struct Standing {
    connected: usize,
    away: usize,
    /// How many of those that are connected have it.
    on_revision: usize,
    /// Those that do not have it, connected or not. One that went away with all that is expected of it has it.
    behind: Vec<ProxyBody>,
    /// Whether all of those have refused something, or cannot be given it.
    is_settled: bool,
}

impl Standing {
    /// Costs what those cost that are behind or away.
    fn of(api: &Api, revision: Revision) -> Self {
        // The revision of the fleet before the board: what is then expected of a proxy is of that one, or newer.
        let fleet = api.fleet.standpoint();
        if fleet.built < Some(revision) {
            return Self::none(proxies(api));
        }
        let standing = api.board.standing();
        let desired = api.store.watch().borrow().clone();
        let away = standing.absent.len();
        let body = |(id, status): (ProxyId, ProxyStatus)| {
            Some(body(desired.proxies.get(&id)?, Some(status), &fleet))
        };
        let mut behind: BTreeMap<ProxyId, ProxyStatus> = standing.behind;
        behind.extend(standing.absent);
        if let Some(split) = fleet.split.as_ref().filter(|split| split.from < revision) {
            behind.extend(api.board.statuses_of(split.waiting()));
        }
        let mut behind: Vec<ProxyBody> = behind.into_iter().filter_map(body).collect();
        behind.retain(|proxy| proxy.revision < Some(revision.0));
        behind.sort_by(|one, other| one.id.cmp(&other.id));
        let has_answered = |proxy: &ProxyBody| proxy.progress(revision.0) == Progress::Refused;
        let behind_count = behind.iter().filter(|proxy| proxy.connected).count();
        Self {
            connected: standing.connected,
            away,
            on_revision: standing.connected.saturating_sub(behind_count),
            is_settled: behind.iter().all(has_answered),
            behind,
        }
    }

    /// While the configuration of the revision is being built, nobody has it.
    fn none(all: Vec<ProxyBody>) -> Self {
        let connected = all.iter().filter(|proxy| proxy.connected).count();
        Self { connected, away: all.len() - connected, on_revision: 0, behind: all, is_settled: false }
    }
}

/// What a sidecar is given, as YAML.
pub(super) async fn snapshot(
    State(api): State<Api>,
    Path(id): Path<IdParts>,
) -> Result<([(HeaderName, &'static str); 1], String), ApiError> {
    let id = ProxyId(format!("{}/{}/{}", id.namespace, id.service, id.instance));
    let snapshot = api.fleet.snapshot(&id).ok_or(StoreError::NoSuchProxy(id.0))?;
    let text = yaml::of_snapshot(&snapshot).map_err(|error| ApiError::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, "application/yaml")], text))
}

/// Shuts a sidecar out: one that is registered, or of which a certificate may be somewhere.
pub(super) async fn evict(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<IdParts>,
) -> Result<Json<Evicted>, ApiError> {
    let IdParts { namespace, service, instance } = id;
    let text = format!("{namespace}/{service}");
    if spiffe::parse_service(&text).is_err() || !spiffe::is_name(&instance) {
        return Err(StoreError::NoSuchProxy(format!("{text}/{instance}")).into());
    }
    let id = ProxyId(format!("{text}/{instance}"));
    evict_one(&api, &id, caller.now()).await?;
    Ok(Json(Evicted { evicted: vec![id.0] }))
}

/// Shuts a sidecar out, in this order: nothing that it does meanwhile can undo it.
pub(super) async fn evict_one(api: &Api, id: &ProxyId, by: Actor) -> Result<(), ApiError> {
    api.evictions.evict(id, by.clone()).await?;
    api.ender.end(id);
    api.places.give_back(id);
    api.board.leave(id);
    match api.store.commit(Change::RemoveProxy(id.clone()), by).await {
        Ok(_) | Err(StoreError::NoSuchProxy(_)) => {}
        Err(error) => return Err(error.into()),
    }
    tracing::warn!(proxy = %id, "evicted");
    Ok(())
}

/// Forgets a sidecar that is away, as if it had left: nobody waits for it, and nobody is sent to it. Its certificate
/// stays good, so it registers again if it comes back.
pub(super) async fn forget(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<IdParts>,
) -> Result<Json<Done>, ApiError> {
    let id = ProxyId(format!("{}/{}/{}", id.namespace, id.service, id.instance));
    if api.board.is_connected(&id) {
        let message = format!("proxy `{id}` is connected");
        return Err(ApiError::new(StatusCode::CONFLICT, "proxy-connected", message)
            .help("stop it, and it leaves by itself; or shut it out with `chancery proxies evict`"));
    }
    api.store.commit(Change::RemoveProxy(id.clone()), caller.now()).await?;
    api.places.give_back(&id);
    tracing::info!(proxy = %id, "forgotten");
    Ok(Json(Done {}))
}

pub(super) fn proxies(api: &Api) -> Vec<ProxyBody> {
    let desired = api.store.watch().borrow().clone();
    let fleet = api.fleet.standpoint();
    let mut statuses = api.board.statuses();
    let body = |(id, registration): (&ProxyId, &Arc<ProxyRegistration>)| {
        body(registration, statuses.remove(id), &fleet)
    };
    desired.proxies.iter().map(body).collect()
}

/// What is said of a sidecar, where the fleet is so far.
fn body(registration: &ProxyRegistration, status: Option<ProxyStatus>, fleet: &Standpoint) -> ProxyBody {
    let fleet = fleet.of(&registration.id);
    let service = |service: &chancery_policy_lang::checked::ServiceRef| {
        format!("{}/{}", service.namespace, service.name)
    };
    let refused = status.as_ref().map(|status| status.refused.as_slice()).unwrap_or_default();
    ProxyBody {
        id: registration.id.0.clone(),
        service: service(&registration.service),
        labels: (*registration.labels).clone(),
        inbound: registration.inbound.map(|inbound| InboundBody {
            listen: inbound.listen,
            advertised: Some(inbound.advertised).filter(|advertised| *advertised != inbound.listen),
            application: inbound.application,
            protocol: Some(inbound.protocol.into()),
            check: registration.check.clone(),
            probes: inbound.probes,
        }),
        outbounds: registration
            .outbounds
            .iter()
            .map(|outbound| OutboundBody { service: service(&outbound.service), listen: outbound.listen })
            .collect(),
        connected: status.as_ref().is_some_and(|status| status.is_connected),
        revision: status.as_ref().and_then(|status| status.applied_of(fleet)).map(|revision| revision.0),
        offered: status.as_ref().and_then(|status| status.offered_of(fleet)).map(|revision| revision.0),
        rejections: refused.iter().map(rejection).chain(unopened(status.as_ref())).collect(),
        readiness: registration.inbound.map(|_| readiness(registration, status.as_ref())),
        problems: status.map(|status| status.problems.to_vec()).unwrap_or_default(),
    }
}

fn readiness(registration: &ProxyRegistration, status: Option<&ProxyStatus>) -> ReadinessBody {
    let said = status.and_then(|status| match &status.application {
        Some(Application::Silent { reason }) => Some(reason.to_string()),
        _ => None,
    });
    let missing = || match status {
        Some(status) if status.is_connected && status.can_serve => {
            "whether its application answers is not known yet"
        }
        Some(status) if status.is_connected => "its sidecar has not taken its configuration yet",
        _ => "its sidecar is not connected",
    };
    let (state, since, reason) = match registration.readiness {
        Readiness::Ready => (ReadinessState::Ready, None, None),
        Readiness::Silent { since } => (ReadinessState::NotAnswering, Some(since.to_string()), said),
        Readiness::Starting => {
            let said = said.map(|said| format!("its application does not answer: {said}"));
            (ReadinessState::Starting, None, Some(said.unwrap_or_else(|| missing().to_owned())))
        }
    };
    ReadinessBody { state, since, reason }
}

/// Listeners that were taken and are not open: for whoever looks the same as those that were refused for their address.
fn unopened(status: Option<&ProxyStatus>) -> impl Iterator<Item = Rejection> {
    let unopened = status.and_then(|status| status.unopened.clone());
    let of = |unopened: Arc<UnopenedListeners>| {
        let rejection = |name: &String| Rejection {
            resource_type: ResourceType::Listener.noun().to_owned(),
            resource: name.clone(),
            policies: Vec::new(),
            statements: Vec::new(),
            message: unopened.reason.clone(),
            keeps_earlier: false,
        };
        unopened.names.iter().map(rejection).collect::<Vec<_>>()
    };
    unopened.map(of).into_iter().flatten()
}

fn rejection(refused: &Refused) -> Rejection {
    Rejection {
        resource_type: refused.kind.noun().to_owned(),
        resource: refused.name.clone(),
        policies: refused.policies.to_vec(),
        statements: refused.statements.iter().map(|id| id.to_string()).collect(),
        message: refused.message.to_string(),
        keeps_earlier: refused.keeps_earlier,
    }
}
