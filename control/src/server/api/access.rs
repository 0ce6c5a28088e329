//! Who may call an endpoint: checked before its handler sees the request.

use super::{Api, ApiError};
use crate::mesh::identity::{PeerIdentity, RENEWABLE_WITHIN, Role, Timeliness, UntimelyPeer};
use crate::mesh::store::Actor;
use crate::server::connections::Standing;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::MethodRouter;
use jiff::Timestamp;

/// Who may call an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody; what the request shows in its body may still be checked.
    Open,
    /// The bearer of a token of any role.
    Reader,
    /// The bearer of an admin's token.
    Admin,
    /// A sidecar, by its client certificate.
    Sidecar,
    /// A sidecar, by its client certificate; also by one that is out of its time, if it may be renewed.
    Renewal,
}

/// Who called, for the audit log; in the extensions of each request that passed.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    name: String,
    role: Option<Role>,
}

/// The sidecar that called an endpoint with [`Access::Sidecar`].
#[derive(Clone, Debug)]
pub(super) struct Sidecar(pub(super) PeerIdentity);

impl Caller {
    /// The caller as the author of a write, now.
    pub(super) fn now(&self) -> Actor {
        Actor { name: self.name.clone(), at: Timestamp::now() }
    }

    /// Refuses callers who may not change anything, where an endpoint is open to those who only ask.
    pub(super) fn must_be_admin(&self) -> Result<(), ApiError> {
        match self.role {
            Some(role) => check_role(role, Role::Admin),
            None => Err(no_token()),
        }
    }

    fn without_role(name: String) -> Self {
        Self { name, role: None }
    }
}

/// Puts the check before a handler.
pub(super) fn guard(handler: MethodRouter<Api>, access: Access, api: Api) -> MethodRouter<Api> {
    handler.layer(middleware::from_fn_with_state((api, access), check))
}

async fn check(
    State((api, access)): State<(Api, Access)>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let standing = request.extensions().get::<Standing>().cloned();
    // Of who has shown nothing yet one body at a time is read.
    let _turn = match &standing {
        Some(standing) if access == Access::Open => standing.turn().await,
        _ => None,
    };
    let caller = match access {
        Access::Open => Caller::without_role("anybody".to_owned()),
        Access::Sidecar | Access::Renewal => {
            let may_be_late = access == Access::Renewal;
            let peer = sidecar(&api, request.extensions(), may_be_late, standing.as_ref())?;
            let caller = Caller::without_role(format!("proxy {}", peer.proxy));
            request.extensions_mut().insert(peer);
            caller
        }
        Access::Reader => bearer(&api, request.headers(), standing.as_ref(), Role::Reader).await?,
        Access::Admin => bearer(&api, request.headers(), standing.as_ref(), Role::Admin).await?,
    };
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// The sidecar that calls. One whose certificate is out of its time may renew it as long as it would not have lost
/// its place without that.
fn sidecar(
    api: &Api,
    shown: &Extensions,
    may_be_late: bool,
    standing: Option<&Standing>,
) -> Result<PeerIdentity, ApiError> {
    let late = shown.get::<UntimelyPeer>();
    let peer = shown.get::<PeerIdentity>().or(late.map(|late| &late.0)).ok_or_else(no_certificate)?;
    if api.evictions.is_evicted(peer) {
        return Err(evicted(peer));
    }
    if let Some(late) = late {
        if !may_be_late {
            return Err(untimely(late, "", Timestamp::now()));
        }
        check_renewable(api, late, Timestamp::now())?;
        if let Some(standing) = standing {
            standing.recognise(&format!("proxy {}", peer.proxy));
        }
    }
    Ok(peer.clone())
}

/// Refuses a certificate that is too far out of its time, or of a sidecar that is not there any more, or is there.
fn check_renewable(api: &Api, late: &UntimelyPeer, now: Timestamp) -> Result<(), ApiError> {
    let UntimelyPeer(peer) = late;
    if peer.validity.missed_by(now) > RENEWABLE_WITHIN {
        let limit = RENEWABLE_WITHIN.as_hours() / 24;
        return Err(untimely(late, &format!("; it could be renewed within {limit} days of its time"), now));
    }
    if !api.store.watch().borrow().proxies.contains_key(&peer.proxy) {
        return Err(untimely(late, "; the sidecar is not registered any more", now));
    }
    if api.board.is_connected(&peer.proxy) {
        let message =
            format!("{}; proxy `{}` is connected with another one", late.complaint(now), peer.proxy);
        return Err(ApiError::new(StatusCode::CONFLICT, "proxy-connected", message)
            .help("give this replica another --instance; or stop the other one first"));
    }
    tracing::info!(proxy = %peer.proxy, "renews a certificate that is out of its time: {}", late.complaint(now));
    Ok(())
}

fn untimely(late: &UntimelyPeer, and: &str, now: Timestamp) -> ApiError {
    let message = format!("{}{and}", late.complaint(now));
    match late.0.validity.at(now) {
        Timeliness::NotYet => ApiError::new(StatusCode::UNAUTHORIZED, "certificate-not-valid-yet", message)
            .help("set the clock that is wrong; or join again with a token that is in force"),
        Timeliness::Good | Timeliness::Over => {
            ApiError::new(StatusCode::UNAUTHORIZED, "certificate-expired", message)
                .help("join again with a token that is in force, if the clocks are right")
        }
    }
}

async fn bearer(
    api: &Api,
    headers: &HeaderMap,
    standing: Option<&Standing>,
    needed: Role,
) -> Result<Caller, ApiError> {
    let shown = headers.get(header::AUTHORIZATION).ok_or_else(no_token)?;
    let token = shown.to_str().ok().and_then(|shown| shown.split_once(' '));
    let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).ok_or_else(no_token)?.1;
    let grant = api.tokens.check_role(token, Timestamp::now()).await?;
    if let Some(standing) = standing {
        standing.recognise(&grant.id);
    }
    api.rates.request(&grant.id)?;
    check_role(grant.role, needed)?;
    let name = format!("token {} ({})", grant.id, grant.role.as_str());
    Ok(Caller { name, role: Some(grant.role) })
}

fn check_role(role: Role, needed: Role) -> Result<(), ApiError> {
    if role < needed {
        let message = format!("this needs the role `{}`, the token has `{}`", needed.as_str(), role.as_str());
        return Err(ApiError::new(StatusCode::FORBIDDEN, "role", message)
            .help("ask an admin for a token made with `chancery token --role admin`"));
    }
    Ok(())
}

fn no_token() -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "no-token", "the request shows no token")
        .help("send `authorization: Bearer TOKEN`; the control plane writes one to admin.json in its data directory")
}

fn evicted(peer: &PeerIdentity) -> ApiError {
    let message = format!("proxy `{}` was evicted: its certificate is good no longer", peer.proxy);
    ApiError::new(StatusCode::FORBIDDEN, "evicted", message)
        .help("join again with a token that is in force, if this replica is to stay")
}

fn no_certificate() -> ApiError {
    ApiError::new(
        StatusCode::UNAUTHORIZED,
        "no-certificate",
        "the connection has no client certificate of this mesh",
    )
    .help("join first, with a token that `chancery token --service NAMESPACE/NAME` makes")
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        // Every endpoint is guarded; without a caller nothing is allowed.
        parts.extensions.get::<Self>().cloned().ok_or_else(no_token)
    }
}

impl<S: Sync> FromRequestParts<S> for Sidecar {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<PeerIdentity>().cloned().map(Self).ok_or_else(no_certificate)
    }
}
