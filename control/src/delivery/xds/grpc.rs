//! gRPC's framing of one call: a message is a flag, its length and its bytes; the end is a status in trailers.
//!
//! tonic's own keeps for each stream a buffer of 8 KiB for what it may hear, and one as large as what it said last.
//! Proxies have their streams for days and say little on them, so here a message is in memory only while it is on
//! its way.

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, HeaderValue, Response, header};
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use hyper::body::Frame;
use prost::Message as _;
use prost::bytes::BufMut as _;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc;
use tonic::Status;
use tonic::codec::{BufferSettings, DecodeBuf, Decoder, Streaming};

/// A message that goes out, or why there are no more.
pub(super) type Outgoing = Result<Box<DeltaDiscoveryResponse>, Status>;
/// The messages that come in on one call.
pub(super) type Incoming = Streaming<Box<DeltaDiscoveryRequest>>;

/// Room for what is read of a message before its length is known. It grows with the message.
const READ_BYTES: usize = 256;
/// The flag and the length before each message.
const HEAD_BYTES: usize = 1 + size_of::<u32>();
/// The flag of a message that is not compressed.
const PLAIN: u8 = 0;

/// Reads the messages of a request's body, none of them longer than `bytes_max`.
pub(super) fn incoming<B>(body: B, bytes_max: usize) -> Incoming
where
    B: HttpBody + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    Streaming::new_request(RequestDecoder, body, None, Some(bytes_max))
}

/// The answer to a call: the messages that come from `messages`, until the status that ends them.
pub(super) fn answer(messages: mpsc::Receiver<Outgoing>) -> Response<Body> {
    let mut response = Response::new(Body::new(Messages { messages, has_ended: false }));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

struct RequestDecoder;

impl Decoder for RequestDecoder {
    type Item = Box<DeltaDiscoveryRequest>;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        let message = DeltaDiscoveryRequest::decode(bytes);
        message.map(|message| Some(Box::new(message))).map_err(|error| Status::internal(error.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(READ_BYTES, READ_BYTES)
    }
}

/// The body of an answer.
struct Messages {
    messages: mpsc::Receiver<Outgoing>,
    has_ended: bool,
}

impl HttpBody for Messages {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let next = ready!(self.messages.poll_recv(context));
        let end = match next.map(|outgoing| outgoing.and_then(|message| framed(&message))) {
            Some(Ok(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Some(Err(status)) => status,
            None => Status::ok(""),
        };
        self.has_ended = true;
        self.messages.close();
        Poll::Ready(Some(Ok(Frame::trailers(trailers(&end)))))
    }
}

/// A message as it stands on the wire, in a buffer of just its size.
fn framed(message: &DeltaDiscoveryResponse) -> Result<Bytes, Status> {
    let length = message.encoded_len();
    let Ok(length_stated) = u32::try_from(length) else {
        return Err(Status::resource_exhausted("a response is longer than gRPC can say"));
    };
    let mut bytes = Vec::with_capacity(HEAD_BYTES + length);
    bytes.put_u8(PLAIN);
    bytes.put_u32(length_stated);
    message.encode(&mut bytes).map_err(|error| Status::internal(error.to_string()))?;
    Ok(bytes.into())
}

fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        // Words that no header can carry are left out: a code alone it can always.
        let _added = Status::new(status.code(), "").add_header(&mut trailers);
    }
    trailers
}
