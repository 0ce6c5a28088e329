//! Serves one snapshot to one proxy over a socket that only it can reach, such as a sidecar's own
//! Envoy on a unix socket. Who may connect is decided by who can open the socket.

use super::conversation::{Conversation, Progress};
use super::memory::Memory;
use super::message::Event;
use super::server::{Responses, refuse_state_of_the_world};
use super::stream::{RESPONSES_WAITING_MAX, XdsStream};
use crate::snapshot::Snapshot;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::AggregatedDiscoveryService;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

/// The aggregated discovery service of one snapshot.
#[derive(Clone, Debug)]
pub struct LocalServer {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    memory: Arc<Mutex<Memory>>,
    progress: Arc<watch::Sender<Progress>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl LocalServer {
    /// Serves what `snapshots` holds. `stop` ends the streams; their tasks are spawned on `tasks`, to be waited for.
    #[must_use]
    pub fn new(
        snapshots: watch::Receiver<Arc<Snapshot>>,
        stop: CancellationToken,
        tasks: TaskTracker,
    ) -> Self {
        Self { snapshots, memory: Arc::default(), progress: Arc::default(), stop, tasks }
    }

    /// How far the proxy is, now and whenever it changes.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for LocalServer {
    type StreamAggregatedResourcesStream =
        Responses<envoy_types::pb::envoy::service::discovery::v3::DiscoveryResponse>;
    type DeltaAggregatedResourcesStream =
        Responses<envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryResponse>;

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
        let (responses, receiver) = mpsc::channel(RESPONSES_WAITING_MAX);
        let mut snapshots = self.snapshots.clone();
        let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let conversation = Conversation::new(snapshots.borrow_and_update().clone(), memory);
        let requests = request.into_inner();
        let stream = XdsStream { requests, responses, conversation, snapshots, stop: self.stop.clone() };
        let (memory, progress) = (self.memory.clone(), self.progress.clone());
        self.tasks.spawn(stream.run(move |events: &[Event], now| {
            let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
            events.iter().for_each(|event| memory.apply(event));
            progress.send_replace(now);
        }));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}
