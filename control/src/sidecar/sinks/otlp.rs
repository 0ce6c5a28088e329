//! Sends lines to a receiver of OTLP over gRPC, in batches. While it is away, one batch is tried again and again and the
//! others wait behind it, as many as their queue takes.
//!
//! The body of a record is the line. Its attributes are fields of the line, so that what is redacted there is in no
//! attribute either. A batch of which no answer came in time is sent again, and a receiver may then have it twice.

mod message;
mod reaching;

use super::counts::Counts;
use crate::sidecar::backoff::{self, Backoff};
use message::{ExportRequest, ExportResponse, record, request};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

/// The method by which receivers take records of logs.
const EXPORT: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
/// The most lines of a batch.
const BATCH_LINES: usize = 512;
/// So many bytes of lines end a batch; receivers take messages of 4 MiB.
const BATCH_BYTES: usize = 512 << 10;
/// How long a line may wait for others to be sent with.
const BATCH_WAIT: Duration = Duration::from_millis(500);
/// How long a receiver may take for a connection, and for a batch.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// How soon, and how seldom, a batch is tried again.
const RETRY_BASE: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// How long the last batches may take when the sidecar ends.
const LAST_TIMEOUT: Duration = Duration::from_secs(1);

/// Whose lines they are: the attributes of the resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// `service.namespace`
    pub namespace: String,
    /// `service.name`
    pub service: String,
    /// `service.instance.id`
    pub instance: String,
}

/// Sends to one receiver.
#[derive(Debug)]
pub(super) struct Exporter {
    address: Arc<str>,
    origin: Origin,
    authorities: Option<PathBuf>,
    counts: Arc<Counts>,
}

impl Exporter {
    pub(super) fn new(
        address: &Arc<str>,
        origin: &Origin,
        authorities: Option<PathBuf>,
        counts: Arc<Counts>,
    ) -> Self {
        Self { address: address.clone(), origin: origin.clone(), authorities, counts }
    }

    /// Sends what comes until nobody hands on any more; when the sidecar ends, what waits is tried once.
    pub(super) async fn run(self, mut lines: mpsc::Receiver<Arc<str>>, closing: CancellationToken) {
        let Some(endpoint) = self.endpoint(&closing).await else { return };
        let channel = endpoint.connect_timeout(CONNECT_TIMEOUT).connect_lazy();
        while let Some(first) = lines.recv().await {
            let batch = batch(first, &mut lines, &closing).await;
            self.send(&channel, &batch, &closing).await;
            self.counts.taken_out(batch.iter().map(|line| line.len()).sum());
        }
    }

    /// The receiver, once it is known whom it is to be; `None` when the sidecar ends before.
    async fn endpoint(&self, closing: &CancellationToken) -> Option<Endpoint> {
        loop {
            match reaching::endpoint(&self.address, self.authorities.as_deref()) {
                Ok(endpoint) => return Some(endpoint),
                Err(error) => self.counts.say(&self.address, &error.to_string()),
            }
            tokio::select! {
                () = sleep(RETRY_MAX) => {}
                () = closing.cancelled() => return None,
            }
        }
    }

    /// Sends a batch until it is taken, or refused for good, or the sidecar ends.
    async fn send(&self, channel: &Channel, batch: &[Arc<str>], closing: &CancellationToken) {
        let request = request(&self.origin, batch.iter().map(|line| record(line)).collect());
        let mut retries = Backoff::new(RETRY_BASE, RETRY_MAX);
        loop {
            let time = if closing.is_cancelled() { LAST_TIMEOUT } else { EXPORT_TIMEOUT };
            let sent = timeout(time, export(channel.clone(), request.clone())).await;
            let problem = match sent {
                Ok(Ok(response)) => {
                    let rejected = response.rejected().min(batch.len());
                    self.counts.written(batch.len() - rejected);
                    self.counts.dropped(rejected);
                    if rejected > 0 {
                        self.counts.say(&self.address, &format!("rejected: {}", response.reason()));
                    }
                    return;
                }
                Ok(Err(status)) if !may_pass(status.code()) => {
                    self.counts.dropped(batch.len());
                    self.counts.say(&self.address, &format!("refused: {}", status.message()));
                    return;
                }
                Ok(Err(status)) => status.message().to_owned(),
                Err(_) => "there is no answer".to_owned(),
            };
            self.counts.say(&self.address, &problem);
            if closing.is_cancelled() {
                self.counts.dropped(batch.len());
                return;
            }
            tokio::select! {
                () = sleep(retries.next(backoff::random())) => {}
                () = closing.cancelled() => {}
            }
        }
    }
}

/// A line and those that come soon after it.
async fn batch(
    first: Arc<str>,
    lines: &mut mpsc::Receiver<Arc<str>>,
    closing: &CancellationToken,
) -> Vec<Arc<str>> {
    let mut bytes = first.len();
    let mut batch = vec![first];
    let mut wait = std::pin::pin!(sleep(BATCH_WAIT));
    while batch.len() < BATCH_LINES && bytes < BATCH_BYTES {
        let line = tokio::select! {
            biased;
            line = lines.recv() => line,
            () = &mut wait => None,
            () = closing.cancelled() => lines.try_recv().ok(),
        };
        let Some(line) = line else { break };
        bytes += line.len();
        batch.push(line);
    }
    batch
}

async fn export(channel: Channel, request: ExportRequest) -> Result<ExportResponse, Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(|error| Status::unavailable(chain(&error)))?;
    let codec: ProstCodec<ExportRequest, ExportResponse> = ProstCodec::default();
    let path = PathAndQuery::from_static(EXPORT);
    client.unary(tonic::Request::new(request), path, codec).await.map(tonic::Response::into_inner)
}

/// An error with what is behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut behind = error.source();
    while let Some(error) = behind {
        text = format!("{text}: {error}");
        behind = error.source();
    }
    text
}

/// Whether the same may be taken later, as the protocol of OTLP says.
fn may_pass(code: Code) -> bool {
    matches!(
        code,
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
            // What answers for a receiver that is not there yet.
            | Code::Unknown
            | Code::Internal
    )
}
