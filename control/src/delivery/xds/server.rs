//! The control plane's aggregated discovery service: incremental xDS for proxies that joined.
//!
//! A proxy is known by the certificate of its connection; the node id that it sends must be the
//! one in the certificate. A second stream of the same proxy ends the first.

#[cfg(test)]
mod tests;

use super::conversation::Conversation;
use super::stream::{RESPONSES_WAITING_MAX, Snapshots, XdsStream};
use super::wire::unreadable;
use crate::delivery::acks::AckBoard;
use crate::delivery::snapshot::{Fleet, Snapshot};
use crate::mesh::identity::PeerIdentity;
use crate::mesh::model::ProxyId;
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
    fleet: watch::Receiver<Arc<Fleet>>,
    board: Arc<AckBoard>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl XdsServer {
    /// Serves the snapshots of `fleet` and notes on `board` what becomes of them. `stop` ends all
    /// streams; their tasks are spawned on `tasks`, to be waited for.
    #[must_use]
    pub fn new(
        fleet: watch::Receiver<Arc<Fleet>>,
        board: Arc<AckBoard>,
        stop: CancellationToken,
        tasks: TaskTracker,
    ) -> Self {
        Self { fleet, board, stop, tasks }
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
        let mut snapshots = Snapshots::new(self.fleet.clone(), proxy.clone());
        let begun = tokio::select! {
            begun = begin(&proxy, &mut requests, &mut snapshots) => begun,
            () = self.stop.cancelled() => Err(Status::unavailable("the control plane is stopping")),
        };
        let (first, snapshot) = match begun {
            Ok(begun) => begun,
            Err(status) => {
                tracing::warn!(proxy = proxy.0, %status, "xDS stream refused");
                // A proxy that is gone need not be told.
                let _gone = responses.try_send(Err(status));
                return;
            }
        };
        let ticket = self.board.open(&proxy, Timestamp::now(), &self.stop);
        tracing::info!(proxy = proxy.0, revision = snapshot.revision.0, "xDS stream opened");
        let stream = XdsStream {
            requests: tokio_stream::once(Ok(first)).chain(requests),
            responses,
            conversation: Conversation::new(snapshot, ticket.memory.clone()),
            snapshots,
            stop: ticket.stop.clone(),
        };
        stream.run(|events, progress| self.board.note(&ticket, events, progress)).await;
        self.board.close(&ticket, Timestamp::now());
        tracing::info!(proxy = proxy.0, "xDS stream closed");
    }
}

/// Waits for the first request, which must name the proxy of the certificate, and for its snapshot.
async fn begin(
    proxy: &ProxyId,
    requests: &mut (impl Stream<Item = Result<DeltaDiscoveryRequest, Status>> + Unpin),
    snapshots: &mut Snapshots,
) -> Result<(DeltaDiscoveryRequest, Arc<Snapshot>), Status> {
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
    match timeout(FIRST_SNAPSHOT_TIMEOUT, snapshots.first()).await {
        Ok(Some(snapshot)) => Ok((first, snapshot)),
        Ok(None) => Err(Status::unavailable("the control plane is stopping")),
        Err(_) => Err(Status::failed_precondition(format!(
            "proxy `{}` is not registered: join again, or renew the certificate",
            proxy.0
        ))),
    }
}

/// The answer to a proxy that asks for all resources at each change.
fn refuse_state_of_the_world() -> Status {
    Status::unimplemented("only incremental xDS is spoken here: set `api_type: DELTA_GRPC` in `ads_config`")
}
