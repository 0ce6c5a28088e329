//! What a module asks of other services while it goes on: HTTP calls, gRPC calls and gRPC streams.
//!
//! The host makes no connection. It numbers what is asked, as Envoy does, and keeps it until the caller takes it with
//! [`Plugin::take_calls`](crate::Plugin::take_calls); the caller gives answers with `Plugin::on_http_call_response` and the
//! like, whenever its own clock says so.
//!
//! Whoever asks, calls belong to the plugin: an answer reaches the root, and outlives the stream that wanted it.

use crate::HeaderMap;
use crate::abi::{MapType, Status};
use crate::limits::CALLS_MAX;
use std::collections::{BTreeMap, BTreeSet};

/// Something that a module asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// An HTTP request that wants one answer.
    Http(HttpCall),
    /// A gRPC message that wants one answer.
    Grpc(GrpcCall),
    /// A gRPC stream was opened. Its message is empty.
    GrpcStream(GrpcCall),
    /// A message on an open stream.
    GrpcSend {
        /// Which.
        token: u32,
        /// The message.
        message: Vec<u8>,
        /// Whether the module sends no more.
        end_of_stream: bool,
    },
    /// The module sends no more on a stream, and still wants what comes.
    GrpcClose {
        /// Which.
        token: u32,
    },
    /// The module wants no answer any more.
    GrpcCancel {
        /// Which.
        token: u32,
    },
}

/// An HTTP request to a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCall {
    /// By which the answer is given.
    pub token: u32,
    /// The cluster that is asked.
    pub cluster: String,
    /// The request's headers, pseudo-headers among them.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// Headers behind the body.
    pub trailers: HeaderMap,
    /// How long the module waits; 0 is for ever.
    pub timeout_ms: u32,
}

/// A gRPC request to a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcCall {
    /// By which the answer is given: odd for calls, even for streams.
    pub token: u32,
    /// The cluster that is asked.
    pub cluster: String,
    /// The service's name.
    pub service: String,
    /// The method's name.
    pub method: String,
    /// Metadata of the request.
    pub metadata: HeaderMap,
    /// The message, without the frame around it.
    pub message: Vec<u8>,
    /// How long the module waits; 0 is for ever.
    pub timeout_ms: u32,
}

/// The answer to an HTTP call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpAnswer {
    /// `:status` and the others.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// Headers behind the body.
    pub trailers: HeaderMap,
}

/// Calls that are open, and what the module can see of an answer now.
#[derive(Debug, Default)]
pub(crate) struct Callouts {
    asked: Vec<Call>,
    http: BTreeSet<u32>,
    grpc_calls: BTreeSet<u32>,
    /// By token, which side has closed.
    grpc_streams: BTreeMap<u32, ClosedSides>,
    last_http: u32,
    last_grpc: u32,
    /// Visible in the callback that it is given in, as everything below.
    pub(crate) http_answer: Option<HttpAnswer>,
    pub(crate) grpc_initial_metadata: Option<HeaderMap>,
    pub(crate) grpc_trailing_metadata: Option<HeaderMap>,
    pub(crate) grpc_message: Option<Vec<u8>>,
    /// Of the last call that failed or gRPC answer; the message is forgotten after its callback.
    pub(crate) status: (u32, String),
}

#[derive(Clone, Copy, Debug, Default)]
struct ClosedSides {
    local: bool,
    remote: bool,
}

impl Callouts {
    pub(crate) fn take(&mut self) -> Vec<Call> {
        std::mem::take(&mut self.asked)
    }

    /// Notes an HTTP call, and gives its token.
    pub(crate) fn call_http(&mut self, mut call: HttpCall) -> Result<u32, Status> {
        self.check_room()?;
        let token = next(&mut self.last_http, 1, |token| self.http.contains(&token));
        call.token = token;
        self.http.insert(token);
        self.asked.push(Call::Http(call));
        Ok(token)
    }

    /// Notes a gRPC call, and gives its token, an odd number.
    pub(crate) fn call_grpc(&mut self, mut call: GrpcCall) -> Result<u32, Status> {
        self.check_room()?;
        let token = next_grpc(&mut self.last_grpc, 1, |token| self.grpc_calls.contains(&token));
        call.token = token;
        self.grpc_calls.insert(token);
        self.asked.push(Call::Grpc(call));
        Ok(token)
    }

    /// Notes that a gRPC stream is opened, and gives its token, an even number.
    pub(crate) fn open_grpc(&mut self, mut call: GrpcCall) -> Result<u32, Status> {
        self.check_room()?;
        let token =
            next_grpc(&mut self.last_grpc, 0, |token| token == 0 || self.grpc_streams.contains_key(&token));
        call.token = token;
        self.grpc_streams.insert(token, ClosedSides::default());
        self.asked.push(Call::GrpcStream(call));
        Ok(token)
    }

    pub(crate) fn send_grpc(
        &mut self,
        token: u32,
        message: Vec<u8>,
        end_of_stream: bool,
    ) -> Result<(), Status> {
        if is_call(token) {
            return Err(Status::BadArgument);
        }
        if !self.grpc_streams.contains_key(&token) {
            return Err(Status::NotFound);
        }
        self.check_room()?;
        self.asked.push(Call::GrpcSend { token, message, end_of_stream });
        Ok(())
    }

    /// A call is cancelled by it, a stream sends no more.
    pub(crate) fn close_grpc(&mut self, token: u32) -> Result<(), Status> {
        if is_call(token) {
            return self.cancel_grpc(token);
        }
        let sides = self.grpc_streams.get_mut(&token).ok_or(Status::NotFound)?;
        sides.local = true;
        if sides.remote {
            self.grpc_streams.remove(&token);
        }
        self.asked.push(Call::GrpcClose { token });
        Ok(())
    }

    pub(crate) fn cancel_grpc(&mut self, token: u32) -> Result<(), Status> {
        let was_open = if is_call(token) {
            self.grpc_calls.remove(&token)
        } else {
            self.grpc_streams.remove(&token).is_some()
        };
        if !was_open {
            return Err(Status::NotFound);
        }
        self.asked.push(Call::GrpcCancel { token });
        Ok(())
    }

    /// Ends an HTTP call; whether it was open.
    pub(crate) fn end_http(&mut self, token: u32) -> bool {
        self.http.remove(&token)
    }

    /// Whether a gRPC call or stream of this token is open.
    pub(crate) fn has_grpc(&self, token: u32) -> bool {
        self.grpc_calls.contains(&token) || self.grpc_streams.get(&token).is_some_and(|sides| !sides.remote)
    }

    /// The other side ends a gRPC call or stream. A stream that the module did not close stays known.
    pub(crate) fn end_grpc(&mut self, token: u32) {
        self.grpc_calls.remove(&token);
        if let Some(sides) = self.grpc_streams.get_mut(&token) {
            sides.remote = true;
            if sides.local {
                self.grpc_streams.remove(&token);
            }
        }
    }

    /// The part of an answer that the module can read now.
    pub(crate) fn header_map(&self, map_type: MapType) -> Option<&HeaderMap> {
        match map_type {
            MapType::HttpCallResponseHeaders => self.http_answer.as_ref().map(|answer| &answer.headers),
            MapType::HttpCallResponseTrailers => self.http_answer.as_ref().map(|answer| &answer.trailers),
            MapType::GrpcReceiveInitialMetadata => self.grpc_initial_metadata.as_ref(),
            MapType::GrpcReceiveTrailingMetadata => self.grpc_trailing_metadata.as_ref(),
            _ => None,
        }
    }

    fn check_room(&self) -> Result<(), Status> {
        let open = self.http.len() + self.grpc_calls.len() + self.grpc_streams.len();
        if open.max(self.asked.len()) < CALLS_MAX { Ok(()) } else { Err(Status::InternalFailure) }
    }
}

/// Calls have odd tokens, streams even ones.
fn is_call(token: u32) -> bool {
    token % 2 == 1
}

/// The next number that is free; there are fewer open calls than numbers.
fn next(last: &mut u32, step: u32, is_taken: impl Fn(u32) -> bool) -> u32 {
    loop {
        *last = last.wrapping_add(step);
        if *last != 0 && !is_taken(*last) {
            return *last;
        }
    }
}

/// The next number of this parity. Calls and streams count on together, as in Envoy.
fn next_grpc(last: &mut u32, parity: u32, is_taken: impl Fn(u32) -> bool) -> u32 {
    loop {
        *last = last.wrapping_add(1);
        if *last % 2 == parity && !is_taken(*last) {
            return *last;
        }
    }
}
