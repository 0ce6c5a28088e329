//! `/v1/join`, `/v1/renew`, `/v1/leave`: how sidecars get their identity, keep it and give it back.

use super::access::{Caller, Sidecar};
use super::extract::Json;
use super::types::{Done, IdentityResponse, JoinRequest, LeaveRequest, ProxyStatement, RenewRequest};
use super::{Api, ApiError};
use crate::mesh::identity::authority::Holder;
use crate::mesh::identity::spiffe::{self, is_name};
use crate::mesh::model::{Inbound, Outbound, ProxyId, ProxyRegistration, hex};
use crate::mesh::store::{Actor, Change, StoreError};
use crate::server::connections::Standing;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use chancery_policy_lang::checked::ServiceRef;
use chancery_policy_lang::request::ServiceIdentity;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// The most labels of a workload.
const LABELS_MAX: usize = 64;
/// The longest name and the longest value of a label, in bytes.
const LABEL_BYTES_MAX: usize = 253;
/// The most services that a workload calls.
const OUTBOUNDS_MAX: usize = 256;

/// The most sidecars of the mesh, of one service, and that joined with one token.
const PROXIES_MAX: usize = 20_000;
const PROXIES_OF_SERVICE_MAX: usize = 2_000;
const PROXIES_OF_TOKEN_MAX: usize = 1_000;
/// The most sidecars that joined with one token and have no stream: each costs work, and none serves anybody.
const PROXIES_AWAY_OF_TOKEN_MAX: usize = 100;
/// When a sidecar for which there is no room comes again: those that are gone are forgotten by then.
const FULL_WAIT: Duration = Duration::from_secs(30);

/// Lets a sidecar in that shows a good token, and gives it a certificate.
pub(super) async fn join(
    State(api): State<Api>,
    standing: Option<Extension<Standing>>,
    Json(request): Json<JoinRequest>,
) -> Result<Json<IdentityResponse>, ApiError> {
    let service = spiffe::parse_service(&request.service).map_err(ApiError::bad_request)?;
    let now = Timestamp::now();
    let token = api.tokens.check_join(&request.token, &service, now).await?;
    if let Some(Extension(standing)) = standing {
        standing.recognise(&token.id);
    }
    api.rates.join(&token.id)?;
    let instance = match &request.proxy.instance {
        Some(instance) if is_name(instance) => instance.clone(),
        Some(instance) => return Err(bad_instance(instance)),
        None => hex(&api.authority.random_bytes::<4>()?),
    };
    let by = Actor { name: format!("join token {}", token.id), at: now };
    let token = Some(token.id);
    let joining = Joining { service, instance, token, csr_pem: request.csr_pem, proxy: request.proxy };
    check_alone(&api, &joining, now)?;
    let id = joining.id();
    let joined = admit(&api, joining, by).await;
    if joined.is_err() {
        api.places.give_back(&id);
    }
    joined
}

/// Renews the certificate of a sidecar, and takes its statement anew.
pub(super) async fn renew(
    State(api): State<Api>,
    Sidecar(peer): Sidecar,
    caller: Caller,
    Json(request): Json<RenewRequest>,
) -> Result<Json<IdentityResponse>, ApiError> {
    api.rates.renewal(&peer.proxy)?;
    api.authority.check_key(&request.csr_pem, &peer.key)?;
    let instance = peer.proxy.0.rsplit('/').next().unwrap_or_default().to_owned();
    let service = peer.service;
    let joining =
        Joining { service, instance, token: peer.token, csr_pem: request.csr_pem, proxy: request.proxy };
    admit(&api, joining, caller.now()).await
}

/// Forgets a sidecar that goes; one that is not known any more has left already, and so has one whose
/// id another sidecar has now.
pub(super) async fn leave(
    State(api): State<Api>,
    Sidecar(peer): Sidecar,
    caller: Caller,
    Json(request): Json<LeaveRequest>,
) -> Result<Json<Done>, ApiError> {
    if let Some(present) = registered(&api, &peer.proxy)
        && listens(&present) != stated_listens(&request.proxy)
    {
        let listens = shown(&listens(&present));
        tracing::warn!(proxy = %peer.proxy, listens, "another sidecar of this id left; this one stays");
        return Ok(Json(Done {}));
    }
    api.places.give_back(&peer.proxy);
    api.board.leave(&peer.proxy);
    match api.store.commit(Change::RemoveProxy(peer.proxy.clone()), caller.now()).await {
        Ok(_) => tracing::info!(proxy = %peer.proxy, "left"),
        Err(StoreError::NoSuchProxy(_)) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(Json(Done {}))
}

/// A sidecar whose right to be this service is established.
struct Joining {
    service: ServiceRef,
    instance: String,
    /// The token that it joined with, if that is known.
    token: Option<String>,
    csr_pem: String,
    proxy: ProxyStatement,
}

impl Joining {
    fn id(&self) -> ProxyId {
        ProxyId(format!("{}/{}/{}", self.service.namespace, self.service.name, self.instance))
    }
}

/// Refuses a sidecar that would take the place of one that is alive or about to connect. The same one,
/// started anew, listens where it did and is let in, also while its old stream is not yet known to be gone.
fn check_alone(api: &Api, joining: &Joining, now: Timestamp) -> Result<(), ApiError> {
    let id = joining.id();
    let stated = stated_listens(&joining.proxy);
    let refused = |present: &BTreeSet<SocketAddr>, state: &str| {
        let (present, stated) = (shown(present), shown(&stated));
        let message = format!("proxy `{id}` {state} already, and listens at {present}, not at {stated}");
        ApiError::new(StatusCode::CONFLICT, "proxy-connected", message)
            .help("give this replica another --instance; or stop the other one first")
    };
    let is_connected = api.board.status(&id).is_some_and(|status| status.is_connected);
    match registered(api, &id).map(|present| listens(&present)) {
        Some(present) if is_connected && present != stated => Err(refused(&present, "is connected")),
        _ => api.places.take(&id, &stated, now).map_err(|present| refused(&present, "has joined")),
    }
}

fn registered(api: &Api, id: &ProxyId) -> Option<Arc<ProxyRegistration>> {
    api.store.watch().borrow().proxies.get(id).cloned()
}

/// Where a sidecar is reached: what tells two of the same id apart.
fn listens(proxy: &ProxyRegistration) -> BTreeSet<SocketAddr> {
    let outbounds = proxy.outbounds.iter().map(|outbound| outbound.listen);
    proxy.inbound.iter().map(|inbound| inbound.listen).chain(outbounds).collect()
}

fn stated_listens(proxy: &ProxyStatement) -> BTreeSet<SocketAddr> {
    let outbounds = proxy.outbounds.iter().map(|outbound| outbound.listen);
    proxy.inbound.iter().map(|inbound| inbound.listen).chain(outbounds).collect()
}

fn shown(listens: &BTreeSet<SocketAddr>) -> String {
    let texts: Vec<String> = listens.iter().map(SocketAddr::to_string).collect();
    if texts.is_empty() { "no address".to_owned() } else { texts.join(", ") }
}

async fn admit(api: &Api, joining: Joining, by: Actor) -> Result<Json<IdentityResponse>, ApiError> {
    let id = joining.id();
    let Joining { service, instance, token, csr_pem, proxy } = joining;
    let registration = registration(&id, &service, proxy)?;
    let registration = ProxyRegistration { token: token.clone(), ..registration };
    let _turn = api.rates.registering().await?;
    check_room(api, &registration)?;
    let (token, generation) = (token.as_deref(), api.evictions.generation(&id));
    let holder = Holder { service: &service, instance: &instance, token, generation };
    let issued = api.authority.issue(&csr_pem, holder, by.at)?;
    api.store.commit(Change::RegisterProxy(Arc::new(registration)), by).await?;
    tracing::info!(proxy = %id, expires_at = %issued.expires_at, "certificate issued");
    Ok(Json(IdentityResponse {
        proxy_id: id.0,
        spiffe_id: ServiceIdentity::new(api.authority.trust_domain(), &service).to_string(),
        certificate_pem: issued.chain_pem,
        bundle_pem: api.authority.root_pem().to_owned(),
        trust_domain: api.authority.trust_domain().to_owned(),
        lifetime_seconds: u64::try_from(issued.lifetime.as_secs()).unwrap_or_default(),
        expires_at: issued.expires_at.to_string(),
    }))
}

fn registration(
    id: &ProxyId,
    service: &ServiceRef,
    proxy: ProxyStatement,
) -> Result<ProxyRegistration, ApiError> {
    check_labels(&proxy)?;
    if proxy.outbounds.len() > OUTBOUNDS_MAX {
        return Err(ApiError::bad_request(format!(
            "proxy `{id}` states {} outbounds, {OUTBOUNDS_MAX} are allowed",
            proxy.outbounds.len()
        ))
        .help("split the workload, or let several services share a gateway"));
    }
    let mut outbounds = Vec::with_capacity(proxy.outbounds.len());
    for outbound in &proxy.outbounds {
        let service = spiffe::parse_service(&outbound.service).map_err(ApiError::bad_request)?;
        outbounds.push(Outbound { service, listen: outbound.listen });
    }
    outbounds.sort();
    let inbound =
        proxy.inbound.map(|inbound| Inbound { listen: inbound.listen, application: inbound.application });
    check_addresses(id, inbound, &outbounds)?;
    Ok(ProxyRegistration {
        id: id.clone(),
        service: service.clone(),
        labels: proxy.labels,
        inbound,
        outbounds,
        token: None,
    })
}

/// Refuses a sidecar for which there is no room, unless it is registered already.
fn check_room(api: &Api, newcomer: &ProxyRegistration) -> Result<(), ApiError> {
    let state = api.store.watch().borrow().clone();
    if state.proxies.contains_key(&newcomer.id) {
        return Ok(());
    }
    let ServiceRef { namespace, name } = &newcomer.service;
    // Ids begin with the service; a token is for one service.
    let beginning = format!("{namespace}/{name}/");
    let others = state.proxies.range(ProxyId(beginning.clone())..);
    let others = others.take_while(|(id, _)| id.0.starts_with(&beginning));
    let (mut of_service, mut of_token, mut away) = (0, 0, 0);
    for (id, other) in others {
        of_service += 1;
        if newcomer.token.is_some() && other.token == newcomer.token {
            of_token += 1;
            away += usize::from(!api.board.status(id).is_some_and(|status| status.is_connected));
        }
    }
    let (of, count, max) = if away >= PROXIES_AWAY_OF_TOKEN_MAX {
        ("this token without a stream".to_owned(), away, PROXIES_AWAY_OF_TOKEN_MAX)
    } else if of_token >= PROXIES_OF_TOKEN_MAX {
        ("this token".to_owned(), of_token, PROXIES_OF_TOKEN_MAX)
    } else if of_service >= PROXIES_OF_SERVICE_MAX {
        (format!("service {namespace}/{name}"), of_service, PROXIES_OF_SERVICE_MAX)
    } else if state.proxies.len() >= PROXIES_MAX {
        ("this mesh".to_owned(), state.proxies.len(), PROXIES_MAX)
    } else {
        return Ok(());
    };
    let message = format!("there are {count} sidecars of {of} already; {max} are allowed");
    Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too-many-proxies", message)
        .help("stop some; one that is gone is forgotten after a while (`--leave-after` of the control plane)")
        .retry_after(FULL_WAIT))
}

fn check_labels(proxy: &ProxyStatement) -> Result<(), ApiError> {
    let too_long = |text: &String| text.len() > LABEL_BYTES_MAX || text.chars().any(char::is_control);
    let bad = proxy.labels.iter().find(|(name, value)| name.is_empty() || too_long(name) || too_long(value));
    if let Some((name, _)) = bad {
        return Err(ApiError::bad_request(format!("the label `{}` cannot be kept", name.escape_debug()))
            .help(format!(
                "names and values have at most {LABEL_BYTES_MAX} bytes and no control characters"
            )));
    }
    if proxy.labels.len() > LABELS_MAX {
        return Err(ApiError::bad_request(format!("there are {} labels", proxy.labels.len()))
            .help(format!("state at most {LABELS_MAX}")));
    }
    Ok(())
}

/// Two listeners at one address would be refused by Envoy; a port of 0 nobody could reach.
fn check_addresses(id: &ProxyId, inbound: Option<Inbound>, outbounds: &[Outbound]) -> Result<(), ApiError> {
    let mut taken: BTreeSet<SocketAddr> = BTreeSet::new();
    let stated = inbound.iter().flat_map(|inbound| [inbound.listen]);
    for listen in stated.chain(outbounds.iter().map(|outbound| outbound.listen)) {
        if listen.port() == 0 {
            return Err(ApiError::bad_request(format!(
                "proxy `{id}` listens at {listen}, which has no port"
            ))
            .help("state the port"));
        }
        if !taken.insert(listen) {
            return Err(ApiError::bad_request(format!("proxy `{id}` listens at {listen} twice"))
                .help("give each --inbound and --outbound an address of its own"));
        }
    }
    if let Some(inbound) = inbound
        && !is_reachable(inbound.listen.ip())
    {
        let message = format!("nobody can reach proxy `{id}` at {}", inbound.listen);
        return Err(ApiError::bad_request(message)
            .help("state an address of this machine by which other sidecars reach it: --inbound ADDRESS:PORT:127.0.0.1:PORT"));
    }
    if inbound.is_some_and(|inbound| taken.contains(&inbound.application) || inbound.application.port() == 0)
    {
        return Err(ApiError::bad_request(format!(
            "the application behind proxy `{id}` has no address of its own"
        ))
        .help("state where the application listens: --inbound PORT:ADDRESS:PORT"));
    }
    Ok(())
}

/// Whether an address can be that of one machine, as seen from another.
fn is_reachable(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !address.is_unspecified() && !address.is_multicast() && !is_link_local
}

fn bad_instance(instance: &str) -> ApiError {
    ApiError::bad_request(format!("`{}` cannot be the name of an instance", instance.escape_debug()))
        .help("use 1 to 63 letters, digits, `.`, `_` or `-`, beginning with a letter or digit")
}
