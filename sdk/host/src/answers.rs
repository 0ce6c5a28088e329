//! What reaches a plugin beside its streams: ticks, queues, and answers to what it asked of others.

use crate::abi::{Status, guest_exports as e};
use crate::callouts::{Call, HttpAnswer};
use crate::state::{ROOT_CONTEXT, State};
use crate::{HeaderMap, HostError, Plugin};

const ROOT: i32 = ROOT_CONTEXT.cast_signed();
/// What Envoy says of an HTTP call that failed.
const FAILED_CALL: &str = "reset";

impl Plugin {
    /// Calls `proxy_on_tick`.
    pub fn tick(&mut self) -> Result<(), HostError> {
        let callback = self.callbacks.on_tick.clone();
        self.call(e::ON_TICK, callback, ROOT_CONTEXT, ROOT)?;
        Ok(())
    }

    /// Tells the module of one item that came into a queue that it registered, if there is one that it was not told of. Gives
    /// whether there was.
    pub fn on_queue_ready(&mut self) -> Result<bool, HostError> {
        let state = self.state();
        let Some(token) = state.shared_queues.take_ready(state.plugin_number) else { return Ok(false) };
        let callback = self.callbacks.on_queue_ready.clone();
        self.call(e::ON_QUEUE_READY, callback, ROOT_CONTEXT, (ROOT, token.cast_signed()))?;
        Ok(true)
    }

    /// Takes what the module asked of other services since the last time, in order.
    pub fn take_calls(&mut self) -> Vec<Call> {
        self.state_mut().callouts.take()
    }

    /// Answers an HTTP call; `None` is that it failed without an answer. A call that is not open is not answered.
    pub fn on_http_call_response(&mut self, token: u32, answer: Option<HttpAnswer>) -> Result<(), HostError> {
        if !self.state_mut().callouts.end_http(token) {
            return Ok(());
        }
        let callback = self.callbacks.on_http_call_response.clone();
        let sizes = match &answer {
            Some(answer) => [answer.headers.len(), answer.body.len(), answer.trailers.len()].map(count),
            None => [0; 3],
        };
        let callouts = &mut self.state_mut().callouts;
        if answer.is_none() {
            callouts.status = (Status::BrokenConnection.number().unsigned_abs(), FAILED_CALL.to_owned());
        }
        callouts.http_answer = answer;
        let params = (ROOT, token.cast_signed(), sizes[0], sizes[1], sizes[2]);
        let called = self.call(e::ON_HTTP_CALL_RESPONSE, callback, ROOT_CONTEXT, params);
        let callouts = &mut self.state_mut().callouts;
        callouts.http_answer = None;
        callouts.status.1.clear();
        called.map(|_| ())
    }

    /// The answer to a gRPC call or stream begins.
    pub fn on_grpc_initial_metadata(&mut self, token: u32, metadata: HeaderMap) -> Result<(), HostError> {
        let callback = self.callbacks.on_grpc_initial_metadata.clone();
        let size = count(metadata.len());
        self.on_grpc(
            token,
            |state| state.callouts.grpc_initial_metadata = Some(metadata),
            |plugin, params| plugin.call(e::ON_GRPC_RECEIVE_INITIAL_METADATA, callback, ROOT_CONTEXT, params),
            size,
        )
    }

    /// A message of a gRPC call or stream. It is the end of a call, which is not closed beside it.
    pub fn on_grpc_message(&mut self, token: u32, message: Vec<u8>) -> Result<(), HostError> {
        let callback = self.callbacks.on_grpc_receive.clone();
        let size = count(message.len());
        self.on_grpc(
            token,
            |state| state.callouts.grpc_message = Some(message),
            |plugin, params| plugin.call(e::ON_GRPC_RECEIVE, callback, ROOT_CONTEXT, params),
            size,
        )?;
        if token % 2 == 1 {
            self.state_mut().callouts.end_grpc(token);
        }
        Ok(())
    }

    /// The headers behind the messages of a gRPC stream.
    pub fn on_grpc_trailing_metadata(&mut self, token: u32, metadata: HeaderMap) -> Result<(), HostError> {
        let callback = self.callbacks.on_grpc_trailing_metadata.clone();
        let size = count(metadata.len());
        self.on_grpc(
            token,
            |state| state.callouts.grpc_trailing_metadata = Some(metadata),
            |plugin, params| {
                plugin.call(e::ON_GRPC_RECEIVE_TRAILING_METADATA, callback, ROOT_CONTEXT, params)
            },
            size,
        )
    }

    /// A gRPC stream ends, or a call without a message, with a status and its words.
    pub fn on_grpc_close(&mut self, token: u32, status: u32, words: &str) -> Result<(), HostError> {
        let callback = self.callbacks.on_grpc_close.clone();
        let words = words.to_owned();
        self.on_grpc(
            token,
            |state| state.callouts.status = (status, words),
            |plugin, params| plugin.call(e::ON_GRPC_CLOSE, callback, ROOT_CONTEXT, params),
            status.cast_signed(),
        )?;
        self.state_mut().callouts.end_grpc(token);
        Ok(())
    }

    /// Shows something of an answer to the module for one callback, if the call is open.
    fn on_grpc(
        &mut self,
        token: u32,
        show: impl FnOnce(&mut State),
        callback: impl FnOnce(&mut Self, (i32, i32, i32)) -> Result<Option<()>, HostError>,
        last_parameter: i32,
    ) -> Result<(), HostError> {
        if !self.state().callouts.has_grpc(token) {
            return Ok(());
        }
        show(self.state_mut());
        let called = callback(self, (ROOT, token.cast_signed(), last_parameter));
        let callouts = &mut self.state_mut().callouts;
        callouts.grpc_initial_metadata = None;
        callouts.grpc_message = None;
        callouts.grpc_trailing_metadata = None;
        callouts.status.1.clear();
        called.map(|_| ())
    }
}

fn count(size: usize) -> i32 {
    u32::try_from(size).unwrap_or(u32::MAX).cast_signed()
}
