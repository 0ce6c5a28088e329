//! `/v1/join`, `/v1/renew`, `/v1/leave`: how sidecars get their identity, keep it and give it back.

use super::access::{Caller, Sidecar};
use super::extract::Json;
use super::types::{
    Done, IdentityResponse, InboundBody, JoinRequest, LeaveRequest, ProxyStatement, RenewRequest,
};
use super::{Api, ApiError};
use crate::mesh::identity::authority::Holder;
use crate::mesh::identity::spiffe::{self, is_name};
use crate::mesh::model::{Inbound, Outbound, ProxyId, ProxyRegistration, Readiness, hex};
use crate::mesh::store::{Actor, Change, StoreError};
use crate::server::connections::Standing;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use chancery_policy_lang::checked::ServiceRef;
use chancery_policy_lang::request::ServiceIdentity;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// The most labels of a workload.
const LABELS_MAX: usize = 64;
/// The longest name and the longest value of a label, in bytes.
const LABEL_BYTES_MAX: usize = 253;
/// The longest check of an application, in bytes.
const CHECK_BYTES_MAX: usize = 2048;
/// The most services that a workload calls.
const OUTBOUNDS_MAX: usize = 256;

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
    let is_connected = api.board.is_connected(&id);
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
    proxy.inbound.iter().map(|inbound| inbound.advertised).chain(outbounds).collect()
}

fn stated_listens(proxy: &ProxyStatement) -> BTreeSet<SocketAddr> {
    let outbounds = proxy.outbounds.iter().map(|outbound| outbound.listen);
    proxy.inbound.iter().map(advertised).chain(outbounds).collect()
}

fn advertised(inbound: &InboundBody) -> SocketAddr {
    inbound.advertised.unwrap_or(inbound.listen)
}

fn shown(listens: &BTreeSet<SocketAddr>) -> String {
    let texts: Vec<String> = listens.iter().map(SocketAddr::to_string).collect();
    if texts.is_empty() { "no address".to_owned() } else { texts.join(", ") }
}

async fn admit(api: &Api, joining: Joining, by: Actor) -> Result<Json<IdentityResponse>, ApiError> {
    let id = joining.id();
    let Joining { service, instance, token, csr_pem, proxy } = joining;
    let registration = registration(&id, &service, proxy)?;
    let registration = Arc::new(ProxyRegistration { token: token.clone(), ..registration });
    let _turn = api.rates.registering().await?;
    let _place = api.room.reserve(&registration, &api.store.watch(), &api.board, by.at)?;
    let (token, generation) = (token.as_deref(), api.evictions.generation(&id));
    let holder = Holder { service: &service, instance: &instance, token, generation };
    let issued = api.authority.issue(&csr_pem, holder, by.at)?;
    api.store.commit(Change::RegisterProxy(registration), by).await?;
    api.board.note_token(&id, token);
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
    let check = proxy.inbound.as_ref().and_then(|inbound| inbound.check.clone());
    check_check(check.as_deref())?;
    let inbound = proxy.inbound.map(|inbound| Inbound {
        listen: inbound.listen,
        advertised: advertised(&inbound),
        application: inbound.application,
        protocol: inbound.protocol.map(Into::into).unwrap_or_default(),
        probes: inbound.probes,
    });
    check_addresses(id, inbound, &outbounds)?;
    Ok(ProxyRegistration {
        id: id.clone(),
        service: service.clone(),
        labels: Arc::new(proxy.labels),
        inbound,
        outbounds,
        token: None,
        check,
        readiness: Readiness::Starting,
    })
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

/// A check is the affair of the sidecar, and shown as it was stated.
fn check_check(check: Option<&str>) -> Result<(), ApiError> {
    match check {
        Some(check) if check.len() > CHECK_BYTES_MAX || check.chars().any(char::is_control) => {
            Err(ApiError::bad_request("the check of the application cannot be kept").help(format!(
                "state `tcp`, or `GET:/path` of at most {CHECK_BYTES_MAX} bytes without control characters"
            )))
        }
        _ => Ok(()),
    }
}

/// Two listeners at one address would be refused by Envoy, or one of them fail later; a port of 0 nobody
/// could reach, and what is no address of one machine is no replica's.
fn check_addresses(id: &ProxyId, inbound: Option<Inbound>, outbounds: &[Outbound]) -> Result<(), ApiError> {
    if let Some(Inbound { advertised, .. }) = inbound
        && let Some(why) = why_no_replica(advertised)
    {
        return Err(ApiError::bad_request(format!(
            "proxy `{id}` says that it is reached at {advertised}, which {why}"
        ))
        .help("say with --address at which address of this machine other sidecars reach it"));
    }
    let mut taken: BTreeSet<SocketAddr> = BTreeSet::new();
    let stated = inbound.iter().flat_map(|inbound| [Some(inbound.listen), inbound.probes]).flatten();
    for listen in stated.chain(outbounds.iter().map(|outbound| outbound.listen)) {
        if listen.port() == 0 {
            return Err(ApiError::bad_request(format!(
                "proxy `{id}` listens at {listen}, which has no port"
            ))
            .help("state the port"));
        }
        if let Some(other) = taken.iter().find(|other| overlap(**other, listen)) {
            let at = if *other == listen { "twice".to_owned() } else { format!("and at {other}") };
            return Err(ApiError::bad_request(format!("proxy `{id}` listens at {listen} {at}"))
                .help("give --inbound, --probes and each --outbound an address and port of its own"));
        }
        taken.insert(listen);
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

/// Whether two sockets cannot listen at both: all addresses of a machine are also each one of them.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let is_all = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && (one.ip() == other.ip() || (is_all && one.is_ipv4() == other.is_ipv4()))
}

/// Why nobody can be reached at an address; `None` if somebody can. That of another machine's loopback is
/// not told from this one's: a mesh may be on one machine.
fn why_no_replica(address: SocketAddr) -> Option<&'static str> {
    let is_scoped = matches!(address, SocketAddr::V6(address) if address.scope_id() != 0);
    match address.ip().to_canonical() {
        _ if address.port() == 0 => Some("has no port"),
        _ if is_scoped => Some("means something on one machine only"),
        ip if ip.is_unspecified() => Some("is all addresses of a machine, and none that can be called"),
        ip if ip.is_multicast() => Some("is a multicast address"),
        IpAddr::V4(Ipv4Addr::BROADCAST) => Some("is the broadcast address"),
        IpAddr::V4(ip) if ip.octets().first() == Some(&0) => Some("is no address of a machine"),
        IpAddr::V4(ip) if ip.is_link_local() => Some("is link-local"),
        IpAddr::V6(ip) if ip.is_unicast_link_local() => Some("is link-local"),
        _ => None,
    }
}

fn bad_instance(instance: &str) -> ApiError {
    ApiError::bad_request(format!("`{}` cannot be the name of an instance", instance.escape_debug()))
        .help("use 1 to 63 letters, digits, `.`, `_` or `-`, beginning with a letter or digit")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_no_address_of_one_machine_is_no_replicas() {
        for good in ["10.0.0.7:80", "127.0.0.1:80", "[::1]:80", "[2001:db8::1]:80"] {
            assert_eq!(why_no_replica(address(good)), None, "{good}");
        }
        let bad = [
            "0.0.0.0:80",
            "[::]:80",
            "[::ffff:0.0.0.0]:5",
            "224.0.0.1:80",
            "[ff02::1]:80",
            "255.255.255.255:1",
            "0.1.2.3:80",
            "[fe80::1%5]:80",
            "[fe80::1]:80",
            "169.254.169.254:80",
            "10.0.0.7:0",
        ];
        for bad in bad {
            assert!(why_no_replica(address(bad)).is_some(), "{bad}");
        }
    }

    #[test]
    fn all_addresses_of_a_machine_are_also_each_of_them() {
        let check = |one, other| overlap(address(one), address(other));
        assert!(check("127.0.0.1:80", "127.0.0.1:80"));
        assert!(check("0.0.0.0:80", "127.0.0.1:80") && check("[::1]:80", "[::]:80"));
        assert!(!check("0.0.0.0:80", "127.0.0.1:81") && !check("0.0.0.0:80", "[::1]:80"));
    }
}
