//! The control plane's aggregated discovery service: incremental xDS for proxies that joined.
//!
//! A proxy is known by the certificate of its connection; the node id that it sends must be the
//! one in the certificate. A second stream of the same proxy ends the first.

#[cfg(test)]
mod tests;

use super::conversation::Conversation;
use super::grpc::{Incoming, Outgoing, answer, incoming};
use super::lines;
use super::stream::{RESPONSES_WAITING_MAX, XdsStream};
use super::wire::unreadable;
use crate::delivery::acks::AckBoard;
use crate::delivery::envoy::secret;
use crate::delivery::fleet::{Cell, Fleet};
use crate::delivery::followers::Followers;
use crate::mesh::identity::{Evictions, PeerIdentity, UntimelyPeer};
use crate::mesh::model::{DesiredState, ProxyId};
use axum::body::{Body, HttpBody};
use axum::http::{Request, Response};
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use jiff::Timestamp;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::server::NamedService;
use tower::Service;

/// How long a new stream may be silent before its first request.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a stream waits for the first snapshot of a proxy that has just joined.
const FIRST_SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(3);
/// The largest request. One that lists all names that a proxy may hold is below it.
const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The calls of the service.
const DELTA_CALL: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
const STATE_OF_THE_WORLD_CALL: &str =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";

/// The aggregated discovery service of all proxies.
#[derive(Clone, Debug)]
pub struct XdsServer {
    fleet: Arc<Fleet>,
    board: Arc<AckBoard>,
    states: watch::Receiver<Arc<DesiredState>>,
    stop: CancellationToken,
    tasks: TaskTracker,
    evictions: Option<Arc<Evictions>>,
    followers: Arc<Followers>,
}

impl XdsServer {
    /// Serves the snapshots of `fleet`, which is made from `states`, and notes on `board` what becomes of them. `stop`
    /// ends all streams; their tasks are spawned on `tasks`, to be waited for.
    #[must_use]
    pub fn new(
        fleet: Arc<Fleet>,
        board: Arc<AckBoard>,
        states: watch::Receiver<Arc<DesiredState>>,
        stop: CancellationToken,
        tasks: TaskTracker,
    ) -> Self {
        Self { fleet, board, states, stop, tasks, evictions: None, followers: Arc::default() }
    }

    /// Refuses sidecars that were evicted, and tells the others which certificates are revoked.
    #[must_use]
    pub fn refusing(self, evictions: Arc<Evictions>) -> Self {
        Self { evictions: Some(evictions), ..self }
    }

    /// Asks sidecars for the lines that these follow.
    #[must_use]
    pub fn followed_by(self, followers: Arc<Followers>) -> Self {
        Self { followers, ..self }
    }

    /// As a service that a router takes.
    #[must_use]
    pub fn into_service(self) -> XdsService {
        XdsService(Arc::new(self))
    }
}

/// The calls of gRPC that are answered by an [`XdsServer`].
#[derive(Clone, Debug)]
pub struct XdsService(Arc<XdsServer>);

impl NamedService for XdsService {
    const NAME: &'static str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
}

impl<B> Service<Request<B>> for XdsService
where
    B: HttpBody + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let answer = match request.uri().path() {
            DELTA_CALL => self.0.open(request),
            STATE_OF_THE_WORLD_CALL => Err(refuse_state_of_the_world()),
            _ => Err(Status::unimplemented("the discovery service has no such call")),
        };
        ready(Ok(answer.unwrap_or_else(Status::into_http)))
    }
}

impl XdsServer {
    /// Begins the stream of a sidecar that is known by its certificate.
    fn open<B>(&self, request: Request<B>) -> Result<Response<Body>, Status>
    where
        B: HttpBody + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Some(identity) = request.extensions().get::<PeerIdentity>() else {
            if let Some(late) = request.extensions().get::<UntimelyPeer>() {
                return Err(Status::unauthenticated(late.complaint(Timestamp::now())));
            }
            return Err(Status::unauthenticated(
                "a sidecar shows the certificate that it got by joining: start it with a join token",
            ));
        };
        if self.evictions.as_ref().is_some_and(|evictions| evictions.is_evicted(identity)) {
            return Err(Status::permission_denied(
                "this sidecar was evicted: its certificate is good no longer",
            ));
        }
        let proxy = identity.proxy.clone();
        let (responses, receiver) = mpsc::channel(RESPONSES_WAITING_MAX);
        let requests = incoming(request.into_body(), REQUEST_BYTES_MAX);
        self.tasks.spawn(self.clone().serve(proxy, requests, responses));
        Ok(answer(receiver))
    }
}

impl XdsServer {
    async fn serve(self, proxy: ProxyId, mut requests: Incoming, responses: mpsc::Sender<Outgoing>) {
        let begun = tokio::select! {
            begun = self.begin(&proxy, &mut requests) => begun,
            () = self.stop.cancelled() => Err(Status::unavailable("the control plane is stopping")),
        };
        let (first, mut cell) = match begun {
            Ok(begun) => begun,
            Err(status) => {
                tracing::warn!(proxy = proxy.0, %status, "xDS stream refused");
                // A proxy that is gone need not be told.
                let _gone = responses.try_send(Err(status));
                return;
            }
        };
        let ticket = self.board.open(&proxy, Timestamp::now(), &self.stop);
        let registration = self.states.borrow().proxies.get(&proxy).cloned();
        self.board.note_token(&proxy, registration.and_then(|known| known.token.clone()).as_deref());
        // What is expected of a proxy is on the board before it is in its cell, and so is the stream before this look:
        // whatever comes in between is seen by one of both.
        let Some(snapshot) = cell.borrow_and_update().clone() else {
            self.board.close(&ticket, Timestamp::now());
            let _gone = responses.try_send(Err(not_registered(&proxy)));
            return;
        };
        tracing::info!(proxy = proxy.0, revision = snapshot.revision.0, "xDS stream opened");
        let telling =
            tell_revoked(self.evictions.as_ref().map(|evictions| evictions.list()), responses.clone());
        let asking = ask_for_lines(&self.followers, &proxy, responses.clone());
        let stream = XdsStream {
            requests: tokio_stream::once(Ok(first)).chain(requests),
            responses,
            conversation: Conversation::new(snapshot, ticket.memory.clone()),
            proxy: proxy.clone(),
            cell,
            followers: self.followers.clone(),
            stop: ticket.stop.clone(),
        };
        tokio::select! {
            () = stream.run(|events, progress| self.board.note(&ticket, events, progress)) => {}
            () = telling => {}
            () = asking => {}
        }
        self.board.close(&ticket, Timestamp::now());
        tracing::info!(proxy = proxy.0, "xDS stream closed");
    }
}

/// Tells a sidecar which certificates are revoked, as a secret of its own that no Envoy asks for: the sidecar puts
/// it into what its Envoy trusts. Ends only by being dropped, or when the stream ends.
async fn tell_revoked(list: Option<watch::Receiver<Option<Arc<str>>>>, responses: mpsc::Sender<Outgoing>) {
    let Some(mut list) = list else { return std::future::pending().await };
    loop {
        let present = list.borrow_and_update().clone();
        if let Some(present) = present
            && responses.send(Ok(Box::new(secret::revoked(&present)))).await.is_err()
        {
            return;
        }
        if list.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Asks a sidecar for the lines that somebody follows, and tells it when nobody does any more. Ends only by being dropped,
/// or when the stream ends.
async fn ask_for_lines(followers: &Followers, proxy: &ProxyId, responses: mpsc::Sender<Outgoing>) {
    let mut changes = followers.changes();
    let mut asked = Vec::new();
    loop {
        let present = followers.asked_of(proxy);
        if present != asked {
            if responses.send(Ok(Box::new(lines::ask(&present)))).await.is_err() {
                return;
            }
            asked = present;
        }
        if changes.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

impl XdsServer {
    /// Waits for the first request, which must name the proxy of the certificate, and for its snapshot.
    async fn begin(
        &self,
        proxy: &ProxyId,
        requests: &mut (impl Stream<Item = Result<Box<DeltaDiscoveryRequest>, Status>> + Unpin),
    ) -> Result<(Box<DeltaDiscoveryRequest>, Cell), Status> {
        let first = timeout(FIRST_REQUEST_TIMEOUT, requests.next()).await;
        let first = match first {
            Ok(Some(first)) => first.map_err(unreadable)?,
            Ok(None) => return Err(Status::cancelled("the stream ended before its first request")),
            Err(_) => return Err(Status::deadline_exceeded("no request came on the stream")),
        };
        let node = first.node.as_ref().map_or("", |node| node.id.as_str());
        if node != proxy.0 {
            return Err(Status::permission_denied(format!(
                "the node calls itself `{node}`, but its certificate is that of proxy `{}`",
                proxy.0
            )));
        }
        if self.fleet.revision().is_none() {
            return Err(not_yet());
        }
        let mut cell = self.fleet.cell(proxy);
        let waited = timeout(FIRST_SNAPSHOT_TIMEOUT, cell.wait_for(Option::is_some)).await;
        match waited.map(|there| there.is_ok()) {
            Ok(true) => return Ok((first, cell)),
            Ok(false) => return Err(Status::unavailable("connect again")),
            Err(_) => {}
        }
        drop(cell);
        self.fleet.forget_empty(proxy);
        // Who is registered and has no snapshot yet waits for us.
        let is_registered = self.states.borrow().proxies.contains_key(proxy);
        Err(if is_registered { not_yet() } else { not_registered(proxy) })
    }
}

fn not_yet() -> Status {
    Status::unavailable("the configuration is being built: connect again")
}

fn not_registered(proxy: &ProxyId) -> Status {
    Status::failed_precondition(format!(
        "proxy `{proxy}` is not registered: join again, or renew the certificate"
    ))
}

/// The answer to a proxy that asks for all resources at each change.
fn refuse_state_of_the_world() -> Status {
    Status::unimplemented("only incremental xDS is spoken here: set `api_type: DELTA_GRPC` in `ads_config`")
}
