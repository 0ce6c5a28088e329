//! Who may call an endpoint: checked before its handler sees the request.

use super::{Api, ApiError};
use crate::mesh::identity::{PeerIdentity, Role};
use crate::mesh::store::Actor;
use crate::server::connections::Standing;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
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
        Access::Sidecar => {
            let peer = request.extensions().get::<PeerIdentity>().ok_or_else(no_certificate)?;
            if api.evictions.is_evicted(peer) {
                return Err(evicted(peer));
            }
            Caller::without_role(format!("proxy {}", peer.proxy))
        }
        Access::Reader => bearer(&api, request.headers(), standing.as_ref(), Role::Reader).await?,
        Access::Admin => bearer(&api, request.headers(), standing.as_ref(), Role::Admin).await?,
    };
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
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
