//! The REST API: one table of endpoints, from which both the router and the OpenAPI description are
//! made, so that they cannot disagree.
//!
//! ```text
//! request --> access (who may?) --> extract (JSON, limits) --> handler --> store, tokens, board
//!                 \------------------ ApiError {code, message, help, diagnostics} <---/
//! ```

mod access;
pub mod client;
mod drain;
pub mod error;
mod extract;
mod filters;
mod health;
mod history;
mod joining;
pub mod logs;
mod metrics;
mod openapi;
mod places;
mod plaintext;
mod policies;
mod proxies;
pub mod rates;
mod rollout;
mod room;
pub mod shadow;
mod tokens;
pub mod types;

pub use access::Access;
pub use error::ApiError;
pub use filters::Pushes;
pub use places::Places;
pub use rates::Rates;
pub use room::Room;

use crate::delivery::acks::AckBoard;
use crate::delivery::fleet::Fleet;
use crate::delivery::followers::Followers;
use crate::delivery::rollout::Traffic;
use crate::mesh::identity::{Authority, Evictions, Tokens};
use crate::mesh::model::rollout::Share;
use crate::mesh::store::Store;
use crate::policies::in_force::Current;
use crate::policies::programs::Programs;
use crate::server::connections::Ender;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::{Method, StatusCode};
use axum::middleware;
use axum::routing::{MethodRouter, delete, get, post};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use std::sync::Arc;
use tokio::sync::watch;

/// The largest body of a request that applies policies.
pub const APPLY_BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The largest body of any other request.
pub const BODY_BYTES_MAX: usize = 256 * 1024;

/// The largest body of a request to join: token, certificate request, labels and outbounds at their longest.
pub const JOIN_BODY_BYTES_MAX: usize = 128 * 1024;

/// What the handlers work on.
#[derive(Clone)]
pub struct Api {
    /// Desired state.
    pub store: Arc<dyn Store>,
    /// Tokens of people and of joining sidecars.
    pub tokens: Tokens,
    /// Signs certificates.
    pub authority: Arc<Authority>,
    /// Who was shut out.
    pub evictions: Arc<Evictions>,
    /// Ends the connections of who was shut out.
    pub ender: Ender,
    /// What the proxies acknowledged.
    pub board: Arc<AckBoard>,
    /// Who follows lines of logs.
    pub followers: Arc<Followers>,
    /// The sidecars that joined of late.
    pub places: Arc<Places>,
    /// The sidecars that are being registered.
    pub room: Arc<Room>,
    /// Who has asked how often of late.
    pub rates: Arc<Rates>,
    /// The snapshots that the proxies are given.
    pub fleet: Arc<Fleet>,
    /// What is known of the policies in force.
    pub in_force: Arc<Current>,
    /// The programs of workloads; tried out before the policies are stored.
    pub programs: Arc<Programs>,
    /// Whose turn it is to change policies: each change is prepared on the one before, so that many who
    /// apply at once wait for each other instead of preparing all of it again.
    pub turn: Arc<tokio::sync::Mutex<()>>,
    /// How filters are admitted, and how many at a time.
    pub pushes: Arc<Pushes>,
    /// What was answered while a rollout is under way.
    pub traffic: watch::Receiver<Traffic>,
    /// The stages in which an apply is delivered that says nothing of it; none if all at once.
    pub rollout_stages: Arc<[Share]>,
    /// Where others reach this control plane; goes into join tokens.
    pub url: Arc<str>,
}

/// Makes the schema of a type, and keeps those that it refers to.
type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// One endpoint: what it is called, who may call it, what it takes and gives.
struct Endpoint {
    method: Method,
    path: &'static str,
    summary: &'static str,
    access: Access,
    /// The schema of the body of the request.
    request: Option<SchemaOf>,
    /// The schema of the answer; `None` for text.
    response: Option<SchemaOf>,
    /// Names and meanings of query parameters.
    query: &'static [(&'static str, &'static str)],
    handler: MethodRouter<Api>,
}

impl Endpoint {
    fn new(method: Method, path: &'static str, access: Access, handler: MethodRouter<Api>) -> Self {
        Self { method, path, summary: "", access, request: None, response: None, query: &[], handler }
    }

    fn get<H: Handler<T, Api>, T: 'static>(path: &'static str, access: Access, handler: H) -> Self {
        Self::new(Method::GET, path, access, get(handler))
    }

    fn post<H: Handler<T, Api>, T: 'static>(path: &'static str, access: Access, handler: H) -> Self {
        Self::new(Method::POST, path, access, post(handler))
    }

    fn delete<H: Handler<T, Api>, T: 'static>(path: &'static str, access: Access, handler: H) -> Self {
        Self::new(Method::DELETE, path, access, delete(handler))
    }

    fn body_bytes_max(mut self, bytes: usize) -> Self {
        self.handler = self.handler.layer(DefaultBodyLimit::max(bytes));
        self
    }

    fn summary(mut self, text: &'static str) -> Self {
        self.summary = text;
        self
    }

    fn takes<T: JsonSchema>(mut self) -> Self {
        self.request = Some(SchemaGenerator::subschema_for::<T>);
        self
    }

    fn gives<T: JsonSchema>(mut self) -> Self {
        self.response = Some(SchemaGenerator::subschema_for::<T>);
        self
    }

    fn query(mut self, parameters: &'static [(&'static str, &'static str)]) -> Self {
        self.query = parameters;
        self
    }
}

/// All endpoints.
fn endpoints() -> Vec<Endpoint> {
    use Access::{Admin, Open, Reader, Renewal, Sidecar};
    vec![
        Endpoint::post("/v1/policies", Reader, policies::apply)
            .body_bytes_max(APPLY_BODY_BYTES_MAX)
            .summary(
                "Put policies in force, or replace them by name; all or none. Unless `dry_run`, by an admin",
            )
            .takes::<types::ApplyRequest>()
            .gives::<types::ApplyResponse>(),
        Endpoint::get("/v1/policies", Reader, policies::list)
            .summary("All policies in force, or those that concern somebody")
            .query(&[
                ("proxy", "The id of a sidecar: only what concerns it"),
                ("service", "NAMESPACE/NAME: only what concerns one of its replicas, or all"),
            ])
            .gives::<types::PolicyList>(),
        Endpoint::get("/v1/policies/{name}", Reader, policies::get)
            .summary("One policy in force, and the whole file that it stands in")
            .gives::<types::PolicyBody>(),
        Endpoint::get("/v1/policies/{name}/shadow", Reader, shadow::show)
            .summary("What a policy in shadow mode would have decided otherwise, counted over the mesh")
            .gives::<shadow::ShadowResponse>(),
        Endpoint::get("/v1/documents", Reader, policies::documents)
            .summary("The whole files that policies are in force from; applied again they change nothing")
            .gives::<types::DocumentList>(),
        Endpoint::delete("/v1/policies/{name}", Admin, policies::delete)
            .summary("Take a policy out of force")
            .gives::<types::DeleteResponse>(),
        Endpoint::post("/v1/deletions", Admin, policies::delete_all)
            .summary("Take policies out of force, all or none")
            .takes::<types::DeleteRequest>()
            .gives::<types::DeleteResponse>(),
        Endpoint::get("/v1/revisions", Reader, history::revisions)
            .summary("The newest revisions of the policies, newest first, and what each changed")
            .query(&[("count", "How many; 100 if absent")])
            .gives::<types::RevisionList>(),
        Endpoint::get("/v1/diff", Reader, history::diff)
            .summary("How the documents of two revisions differ")
            .query(&[
                ("from", "The earlier revision; the one before `to` if absent"),
                ("to", "The later revision; the newest if absent"),
            ])
            .gives::<types::DiffResponse>(),
        Endpoint::post("/v1/rollback", Reader, history::roll_back)
            .summary("Put the policies of an earlier revision in force again. Unless `dry_run`, by an admin")
            .takes::<types::RollbackRequest>()
            .gives::<types::ApplyResponse>(),
        Endpoint::post("/v1/filters", Reader, filters::push)
            .body_bytes_max(filters::PUSH_BODY_BYTES_MAX)
            .summary("Look at a module and keep it as a version of a filter. Unless `dry_run`, by an admin")
            .takes::<types::PushRequest>()
            .gives::<types::PushResponse>(),
        Endpoint::get("/v1/filters", Reader, filters::list)
            .summary("Every version of every filter")
            .gives::<types::FilterList>(),
        Endpoint::get("/v1/filters/{name}", Reader, filters::versions)
            .summary("The versions of a filter, and those that were deleted")
            .gives::<types::FilterVersions>(),
        Endpoint::get("/v1/filters/{name}/{version}", Reader, filters::get)
            .summary("One version of a filter")
            .gives::<types::FilterBody>(),
        Endpoint::delete("/v1/filters/{name}/{version}", Admin, filters::delete)
            .summary("Delete a version of a filter that no policy uses; it never gets other bytes")
            .gives::<types::RetiredFilterBody>(),
        Endpoint::get("/v1/rollout", Reader, rollout::show)
            .summary("The newest rollout: its stage, who has which revision, and why it was taken back if it was")
            .gives::<types::RolloutResponse>(),
        Endpoint::post("/v1/rollout/pause", Admin, rollout::pause)
            .summary("Hold the rollout that is under way where it is")
            .gives::<types::RolloutResponse>(),
        Endpoint::post("/v1/rollout/resume", Admin, rollout::resume)
            .summary("Let a rollout go on that was paused")
            .gives::<types::RolloutResponse>(),
        Endpoint::post("/v1/rollout/undo", Admin, rollout::undo)
            .summary("Take the rollout back that is under way: the policies before it are in force again")
            .gives::<types::RolloutResponse>(),
        Endpoint::get("/v1/proxies", Reader, proxies::list)
            .summary("All sidecars that joined, and how far each is")
            .gives::<types::ProxyList>(),
        Endpoint::get("/v1/proxies/{namespace}/{service}/{instance}/snapshot", Reader, proxies::snapshot)
            .summary("What a sidecar is given, as YAML"),
        Endpoint::delete("/v1/proxies/{namespace}/{service}/{instance}", Admin, proxies::evict)
            .summary("Evict a sidecar: end its streams, revoke its certificates, refuse their renewal")
            .gives::<types::Evicted>(),
        Endpoint::post("/v1/proxies/{namespace}/{service}/{instance}/forget", Admin, proxies::forget)
            .summary("Forget a sidecar that is away; it registers again if it comes back")
            .gives::<types::Done>(),
        Endpoint::get("/v1/status", Reader, proxies::status)
            .summary("Whether everyone is on a revision")
            .query(&[
                ("revision", "The revision that is asked about; the newest if absent"),
                ("wait", "Answer when every registered sidecar has answered to it, or after so many seconds"),
                (
                    "proxies",
                    "`all`, or `behind`: only those that do not have it, connected or not; `all` if absent",
                ),
            ])
            .gives::<types::StatusResponse>(),
        Endpoint::get("/v1/logs", Reader, logs::follow)
            .summary("Lines of sidecars' logs from now on: objects of JSON on a line each (`LoggedLine`), and now and then an empty line")
            .query(&[
                ("on", "`mesh`, `namespace/NAMESPACE` or `service/NAMESPACE/NAME`: whose sidecars; `mesh` if absent"),
                ("denied", "`true` for those alone that were denied, refused or limited"),
                ("shadow", "`true` for those alone of which a policy in shadow mode says something else"),
                ("policy", "Those that a statement of this policy decided, or would have"),
                ("rule", "Those that this statement decided, or would have: `POLICY/NAME` or `NAME`"),
            ]),
        Endpoint::post("/v1/tokens", Admin, tokens::create)
            .summary("Make a token for joining, or for this API")
            .takes::<types::TokenRequest>()
            .gives::<types::TokenResponse>(),
        Endpoint::get("/v1/tokens", Admin, tokens::list)
            .summary("All tokens in force, without their secrets")
            .gives::<types::TokenList>(),
        Endpoint::delete("/v1/tokens/{id}", Admin, tokens::revoke)
            .summary("Revoke a token")
            .query(&[("members", "`true` evicts the sidecars that joined with it, too")])
            .gives::<types::Evicted>(),
        Endpoint::get("/v1/audit", Admin, tokens::audit)
            .summary("The newest writes, newest first: who did what when")
            .query(&[
                ("count", "How many entries; 100 if absent"),
                ("log", "`people`, or `machines`: sidecars and the control plane itself; `people` if absent"),
            ])
            .gives::<types::AuditList>(),
        Endpoint::post("/v1/join", Open, joining::join)
            .body_bytes_max(JOIN_BODY_BYTES_MAX)
            .summary("Become a sidecar of the mesh with a join token")
            .takes::<types::JoinRequest>()
            .gives::<types::IdentityResponse>(),
        Endpoint::post("/v1/renew", Renewal, joining::renew)
            .summary("Renew the client certificate, also for a while after it has ended, and state the sidecar anew")
            .takes::<types::RenewRequest>()
            .gives::<types::IdentityResponse>(),
        Endpoint::post("/v1/leave", Sidecar, joining::leave)
            .summary("Leave the mesh")
            .takes::<types::LeaveRequest>()
            .gives::<types::Done>(),
        Endpoint::get("/v1/openapi.json", Open, openapi::serve)
            .summary("This description")
            .gives::<serde_json::Value>(),
        Endpoint::get("/metrics", Reader, metrics::metrics).summary("How the mesh is, as Prometheus reads it"),
        Endpoint::get("/healthz", Open, health::alive).summary("Whether the process is alive"),
        Endpoint::get("/readyz", Open, health::ready).summary("Whether sidecars can be served"),
    ]
}

/// The API as a router that knows no TLS; who is at the other end comes as a request extension.
pub fn router(api: Api) -> Router {
    let mut router = Router::new();
    for endpoint in endpoints() {
        let guarded = access::guard(endpoint.handler, endpoint.access, api.clone());
        router = router.route(endpoint.path, guarded);
    }
    router
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(drain::before_refusal))
        .with_state(api)
}

async fn not_found(uri: axum::http::Uri) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "unknown-path", format!("there is nothing at `{}`", uri.path()))
        .help("all paths are described in /v1/openapi.json")
}

async fn method_not_allowed(method: Method, uri: axum::http::Uri) -> ApiError {
    let message = format!("`{}` does not take {method}", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", message)
        .help("all paths and their methods are described in /v1/openapi.json")
}
