//! The task of one xDS stream: moves messages between a socket and a [`Conversation`].

use super::conversation::{Conversation, Progress};
use super::grpc::Outgoing;
use super::lines::Batch;
use super::message::Event;
use super::wire::{read_request, unreadable, write_response};
use super::{Application, Counts, UnopenedListeners};
use crate::delivery::fleet::Cell;
use crate::delivery::followers::Followers;
use crate::delivery::snapshot::Snapshot;
use crate::mesh::model::ProxyId;
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

/// Responses that wait for the socket.
pub(super) const RESPONSES_WAITING_MAX: usize = 4;
/// How long a proxy may leave a response unread before its stream is ended.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// Waits for the next snapshot in a cell; `None` when there will be no more.
async fn next(cell: &mut Cell) -> Option<Arc<Snapshot>> {
    cell.changed().await.ok()?;
    cell.borrow_and_update().clone()
}

/// One stream; [`Self::run`] ends when either side does.
#[derive(Debug)]
pub(super) struct XdsStream<R> {
    /// What the proxy says.
    pub(super) requests: R,
    /// What is said to it.
    pub(super) responses: mpsc::Sender<Outgoing>,
    /// The state of the conversation.
    pub(super) conversation: Conversation,
    /// Whose stream it is.
    pub(super) proxy: ProxyId,
    /// Where newer snapshots come than the conversation began with.
    pub(super) cell: Cell,
    /// Takes lines of logs that somebody follows.
    pub(super) followers: Arc<Followers>,
    /// Ends the stream from outside.
    pub(super) stop: CancellationToken,
}

/// Something that a stream waits for.
enum Input {
    Request(Option<Result<Box<DeltaDiscoveryRequest>, Status>>),
    Snapshot(Option<Arc<Snapshot>>),
    Stop,
}

impl<R> XdsStream<R>
where
    R: Stream<Item = Result<Box<DeltaDiscoveryRequest>, Status>> + Unpin + Send,
{
    /// Serves the stream; `note` hears what answers mean and how far the proxy is.
    pub(super) async fn run(mut self, mut note: impl FnMut(&[Event], Progress) + Send) {
        note(&[], self.conversation.progress());
        let end = self.serve(&mut note).await;
        if let Err(status) = end {
            // The proxy may be gone already; then nobody is there to be told.
            let told = self.responses.send_timeout(Err(status.clone()), SEND_TIMEOUT).await.is_ok();
            let proxy = &self.proxy.0;
            if matches!(status.code(), Code::InvalidArgument | Code::ResourceExhausted) {
                tracing::warn!(proxy, %status, told, "xDS request refused");
            } else {
                tracing::debug!(proxy, %status, told, "xDS stream ended");
            }
        }
    }

    async fn serve(&mut self, note: &mut (impl FnMut(&[Event], Progress) + Send)) -> Result<(), Status> {
        loop {
            while let Some(response) = self.conversation.next_response() {
                let response = Box::new(write_response(response));
                if self.responses.send_timeout(Ok(response), SEND_TIMEOUT).await.is_err() {
                    return Err(Status::deadline_exceeded("a response was not taken in time"));
                }
            }
            let input = tokio::select! {
                request = self.requests.next() => Input::Request(request),
                snapshot = next(&mut self.cell) => Input::Snapshot(snapshot),
                () = self.stop.cancelled() => Input::Stop,
            };
            let events = match input {
                Input::Request(Some(request)) => {
                    let mut request = *request.map_err(unreadable)?;
                    if let Some(lines) = Batch::read(&mut request) {
                        self.followers.take(&self.proxy, lines);
                        continue;
                    }
                    match said_of_the_proxy(&request) {
                        Some(event) => vec![event],
                        None => self.receive(request)?,
                    }
                }
                Input::Request(None) => return Ok(()),
                Input::Snapshot(Some(snapshot)) => {
                    self.conversation.update(snapshot);
                    Vec::new()
                }
                Input::Snapshot(None) => {
                    return Err(Status::failed_precondition(
                        "there is no configuration for this proxy any more",
                    ));
                }
                Input::Stop => return Err(Status::unavailable("the stream was ended: connect again")),
            };
            note(&events, self.conversation.progress());
        }
    }

    fn receive(&mut self, request: DeltaDiscoveryRequest) -> Result<Vec<Event>, Status> {
        let (kind, request) = read_request(request)?;
        let received = self.conversation.receive(kind, &request);
        received.map_err(|violation| Status::resource_exhausted(violation.to_string()))
    }
}

/// What a request says that is not about resources.
fn said_of_the_proxy(request: &DeltaDiscoveryRequest) -> Option<Event> {
    let application = Application::read(request).map(Event::Application);
    let unopened = || UnopenedListeners::read(request).map(Event::Unopened);
    application.or_else(unopened).or_else(|| Counts::read(request).map(Event::Counts))
}
