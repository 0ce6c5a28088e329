//! The control plane's aggregated discovery service: incremental xDS for proxies that joined.
//!
//! A proxy is known by the certificate of its connection; the node id that it sends must be the
//! one in the certificate. A second stream of the same proxy ends the first.

#[cfg(test)]
mod tests;

use super::conversation::Conversation;
use super::stream::{RESPONSES_WAITING_MAX, XdsStream};
use super::wire::unreadable;
use crate::delivery::acks::AckBoard;
use crate::delivery::envoy::secret;
use crate::delivery::fleet::{Cell, Fleet};
use crate::mesh::identity::{Evictions, PeerIdentity};
use crate::mesh::model::{DesiredState, ProxyId};
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

/// How long a new stream may be silent before its first request.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a stream waits for the first snapshot of a proxy that has just joined.
const FIRST_SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(3);
/// The largest request. One that lists all names that a proxy may hold is below it.
const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a call answers with.
pub type Responses<T> = ReceiverStream<Result<T, Status>>;

/// The aggregated discovery service of all proxies.
#[derive(Clone, Debug)]
pub struct XdsServer {
    fleet: Arc<Fleet>,
    board: Arc<AckBoard>,
    states: watch::Receiver<Arc<DesiredState>>,
    stop: CancellationToken,
    tasks: TaskTracker,
    evictions: Option<Arc<Evictions>>,
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
        Self { fleet, board, states, stop, tasks, evictions: None }
    }

    /// Refuses sidecars that were evicted, and tells the others which certificates are revoked.
    #[must_use]
    pub fn refusing(self, evictions: Arc<Evictions>) -> Self {
        Self { evictions: Some(evictions), ..self }
    }

    /// As a service that a tonic router takes.
    #[must_use]
    pub fn into_service(self) -> AggregatedDiscoveryServiceServer<Self> {
        AggregatedDiscoveryServiceServer::new(self).max_decoding_message_size(REQUEST_BYTES_MAX)
    }
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for XdsServer {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        _: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(refuse_state_of_the_world())
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let Some(identity) = request.extensions().get::<PeerIdentity>() else {
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
        let server = self.clone();
        self.tasks.spawn(async move { server.serve(proxy, request.into_inner(), responses).await });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

impl XdsServer {
    async fn serve(
        self,
        proxy: ProxyId,
        mut requests: Streaming<DeltaDiscoveryRequest>,
        responses: mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>,
    ) {
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
        let stream = XdsStream {
            requests: tokio_stream::once(Ok(first)).chain(requests),
            responses,
            conversation: Conversation::new(snapshot, ticket.memory.clone()),
            proxy: proxy.clone(),
            cell,
            stop: ticket.stop.clone(),
        };
        tokio::select! {
            () = stream.run(|events, progress| self.board.note(&ticket, events, progress)) => {}
            () = telling => {}
        }
        self.board.close(&ticket, Timestamp::now());
        tracing::info!(proxy = proxy.0, "xDS stream closed");
    }
}

/// Tells a sidecar which certificates are revoked, as a secret of its own that no Envoy asks for: the sidecar puts
/// it into what its Envoy trusts. Ends only by being dropped, or when the stream ends.
async fn tell_revoked(
    list: Option<watch::Receiver<Option<Arc<str>>>>,
    responses: mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>,
) {
    let Some(mut list) = list else { return std::future::pending().await };
    loop {
        let present = list.borrow_and_update().clone();
        if let Some(present) = present
            && responses.send(Ok(secret::revoked(&present))).await.is_err()
        {
            return;
        }
        if list.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

impl XdsServer {
    /// Waits for the first request, which must name the proxy of the certificate, and for its snapshot.
    async fn begin(
        &self,
        proxy: &ProxyId,
        requests: &mut (impl Stream<Item = Result<DeltaDiscoveryRequest, Status>> + Unpin),
    ) -> Result<(DeltaDiscoveryRequest, Cell), Status> {
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
