//! One HTTP stream through a plugin, callback by callback.

use crate::abi::{Action, Function, MapType, StreamType, guest_exports as e};
use crate::plugin::HeadersCallback;
use crate::state::StreamState;
use crate::{HeaderMap, HostError, LocalResponse, Plugin, Properties};
use std::collections::{BTreeMap, BTreeSet};
use wasmtime::TypedFunc;

/// An open stream. Dropping it leaves it open: [`Plugin::stream`] gives it again by its
/// [`context`](Stream::context), and [`close`](Stream::close) ends it.
#[derive(Debug)]
pub struct Stream<'plugin> {
    plugin: &'plugin mut Plugin,
    context: u32,
}

/// What a callback did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the next filter is asked. A callback that gives a local response never continues.
    pub action: Action,
    /// The answer that the module gave in this callback.
    pub local_response: Option<LocalResponse>,
}

/// What is left of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClosedStream {
    /// What the module wrote with `proxy_set_property`: `rule` here is `wasm.rule` in Envoy.
    pub filter_state: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The answer that the module gave.
    pub local_response: Option<LocalResponse>,
    /// The request's headers as the module left them.
    pub request_headers: Option<HeaderMap>,
    /// The response's headers as the module left them.
    pub response_headers: Option<HeaderMap>,
}

impl<'plugin> Stream<'plugin> {
    pub(crate) fn new(plugin: &'plugin mut Plugin, context: u32) -> Self {
        Self { plugin, context }
    }

    /// The number of the stream, of which [`Plugin::stream`] makes it again.
    #[must_use]
    pub fn context(&self) -> u32 {
        self.context
    }

    /// The request begins.
    pub fn on_request_headers(
        &mut self,
        headers: HeaderMap,
        end_of_stream: bool,
    ) -> Result<Outcome, HostError> {
        let callback = self.plugin.callbacks.on_request_headers.clone();
        self.headers(e::ON_REQUEST_HEADERS, callback, MapType::RequestHeaders, headers, end_of_stream)
    }

    /// A piece of the request's body. [`request_body`](Self::request_body) has it as the module left it, behind the pieces that
    /// the module has the proxy collect.
    pub fn on_request_body(&mut self, body: Vec<u8>, end_of_stream: bool) -> Result<Outcome, HostError> {
        let callback = self.plugin.callbacks.on_request_body.clone();
        let stream = self.stream()?;
        stream.answers_now = false;
        stream.request_body.ends = end_of_stream;
        let size = stream.request_body.take_in(body);
        let params = self.params(size, end_of_stream);
        let action = body_action(self.plugin.call(e::ON_REQUEST_BODY, callback, self.context, params)?);
        let body = &mut self.stream()?.request_body;
        body.is_collected = action == Action::StopAllIterationAndBuffer;
        body.hidden |= action == Action::Continue;
        self.outcome(action)
    }

    /// Headers behind the request's body.
    pub fn on_request_trailers(&mut self, trailers: HeaderMap) -> Result<Outcome, HostError> {
        let callback = self.plugin.callbacks.on_request_trailers.clone();
        self.trailers(e::ON_REQUEST_TRAILERS, callback, MapType::RequestTrailers, trailers)
    }

    /// The response begins.
    pub fn on_response_headers(
        &mut self,
        headers: HeaderMap,
        end_of_stream: bool,
    ) -> Result<Outcome, HostError> {
        let callback = self.plugin.callbacks.on_response_headers.clone();
        self.headers(e::ON_RESPONSE_HEADERS, callback, MapType::ResponseHeaders, headers, end_of_stream)
    }

    /// A piece of the response's body. [`response_body`](Self::response_body) has it as the module left it, behind the pieces
    /// that the module has the proxy collect.
    pub fn on_response_body(&mut self, body: Vec<u8>, end_of_stream: bool) -> Result<Outcome, HostError> {
        let callback = self.plugin.callbacks.on_response_body.clone();
        let stream = self.stream()?;
        stream.answers_now = false;
        stream.response_body.ends = end_of_stream;
        let size = stream.response_body.take_in(body);
        let params = self.params(size, end_of_stream);
        let action = body_action(self.plugin.call(e::ON_RESPONSE_BODY, callback, self.context, params)?);
        let body = &mut self.stream()?.response_body;
        body.is_collected = action == Action::StopAllIterationAndBuffer;
        body.hidden |= action == Action::Continue;
        self.outcome(action)
    }

    /// Headers behind the response's body.
    pub fn on_response_trailers(&mut self, trailers: HeaderMap) -> Result<Outcome, HostError> {
        let callback = self.plugin.callbacks.on_response_trailers.clone();
        self.trailers(e::ON_RESPONSE_TRAILERS, callback, MapType::ResponseTrailers, trailers)
    }

    /// Ends the stream: `proxy_on_log` with all headers in sight, `proxy_on_done`, `proxy_on_delete`.
    pub fn close(mut self) -> Result<ClosedStream, HostError> {
        let context = self.context.cast_signed();
        self.stream()?.is_logged = true;
        let on_log = self.plugin.callbacks.on_log.clone();
        self.plugin.call(e::ON_LOG, on_log, self.context, context)?;
        self.stream()?.is_logged = false;
        let on_done = self.plugin.callbacks.on_done.clone();
        self.plugin.call(e::ON_DONE, on_done, self.context, context)?;
        let on_delete = self.plugin.callbacks.on_delete.clone();
        self.plugin.call(e::ON_DELETE, on_delete, self.context, context)?;
        let stream = self
            .plugin
            .state_mut()
            .streams
            .remove(&self.context)
            .ok_or(HostError::NoSuchStream(self.context))?;
        Ok(ClosedStream {
            filter_state: stream.filter_state,
            local_response: stream.local_response,
            request_headers: stream.request_headers.map,
            response_headers: stream.response_headers.map,
        })
    }

    /// A header map as the module left it.
    #[must_use]
    pub fn header_map(&self, map_type: MapType) -> Option<&HeaderMap> {
        let stream = self.plugin.state().streams.get(&self.context)?;
        match map_type {
            MapType::RequestHeaders => stream.request_headers.map.as_ref(),
            MapType::RequestTrailers => stream.request_trailers.map.as_ref(),
            MapType::ResponseHeaders => stream.response_headers.map.as_ref(),
            MapType::ResponseTrailers => stream.response_trailers.map.as_ref(),
            _ => None,
        }
    }

    /// The last piece of the request's body, or what was collected of it, as the module left it.
    #[must_use]
    pub fn request_body(&self) -> Option<&[u8]> {
        self.plugin.state().streams.get(&self.context)?.request_body.bytes.as_deref()
    }

    /// The last piece of the response's body, or what was collected of it, as the module left it.
    #[must_use]
    pub fn response_body(&self) -> Option<&[u8]> {
        self.plugin.state().streams.get(&self.context)?.response_body.bytes.as_deref()
    }

    /// Takes what the proxy collected of the request's body, as the module left it: it goes on.
    pub fn take_request_body(&mut self) -> Result<Vec<u8>, HostError> {
        Ok(std::mem::take(&mut self.stream()?.request_body).bytes.unwrap_or_default())
    }

    /// Takes what the proxy collected of the response's body, as the module left it: it goes on.
    pub fn take_response_body(&mut self) -> Result<Vec<u8>, HostError> {
        Ok(std::mem::take(&mut self.stream()?.response_body).bytes.unwrap_or_default())
    }

    /// The answer that the module gave, in whichever callback.
    #[must_use]
    pub fn local_response(&self) -> Option<&LocalResponse> {
        self.plugin.state().streams.get(&self.context)?.local_response.as_ref()
    }

    /// What the module wrote with `proxy_set_property` under this name.
    #[must_use]
    pub fn filter_state(&self, name: &[u8]) -> Option<&[u8]> {
        self.plugin.state().streams.get(&self.context)?.filter_state.get(name).map(Vec::as_slice)
    }

    /// The stream's properties, to be changed between callbacks.
    pub fn properties_mut(&mut self) -> Result<&mut Properties, HostError> {
        Ok(&mut self.stream()?.properties)
    }

    /// Which directions of a held stream the module asked to go on with since the last time this was asked.
    pub fn take_continued(&mut self) -> Result<BTreeSet<StreamType>, HostError> {
        Ok(std::mem::take(&mut self.stream()?.continued))
    }

    /// Whether the module closed the stream.
    pub fn is_closed(&mut self) -> Result<bool, HostError> {
        Ok(!self.stream()?.closed.is_empty())
    }

    fn headers(
        &mut self,
        function: Function,
        callback: Option<HeadersCallback>,
        map_type: MapType,
        headers: HeaderMap,
        end_of_stream: bool,
    ) -> Result<Outcome, HostError> {
        let params = self.params(headers.len(), end_of_stream);
        self.show(map_type, headers)?;
        self.stream()?.answers_now = false;
        let action = match callback {
            None => None,
            Some(HeadersCallback::Later(callback)) => {
                self.plugin.call(function, Some(callback), self.context, params)?
            }
            Some(HeadersCallback::First(callback)) => {
                self.plugin.call(function, Some(callback), self.context, (params.0, params.1))?
            }
        };
        self.finish(map_type, header_action(action))
    }

    fn trailers(
        &mut self,
        function: Function,
        callback: Option<TypedFunc<(i32, i32), i32>>,
        map_type: MapType,
        trailers: HeaderMap,
    ) -> Result<Outcome, HostError> {
        let params = (self.context.cast_signed(), count(trailers.len()));
        self.stream()?.answers_now = false;
        self.show(map_type, trailers)?;
        let action = self.plugin.call(function, callback, self.context, params)?;
        self.finish(map_type, body_action(action))
    }

    fn show(&mut self, map_type: MapType, map: HeaderMap) -> Result<(), HostError> {
        if let Some(slot) = self.stream()?.slot(map_type) {
            slot.show(map);
        }
        Ok(())
    }

    /// Headers that went on to the next filter are out of the module's sight.
    fn finish(&mut self, map_type: MapType, action: Action) -> Result<Outcome, HostError> {
        let outcome = self.outcome(action)?;
        if let Some(slot) = self.stream()?.slot(map_type) {
            slot.hidden |= outcome.action == Action::Continue;
        }
        Ok(outcome)
    }

    fn outcome(&mut self, action: Action) -> Result<Outcome, HostError> {
        let stream = self.stream()?;
        let local_response = stream.local_response.clone().filter(|_| stream.answers_now);
        stream.answers_now = false;
        let action = if local_response.is_some() { Action::StopIteration } else { action };
        Ok(Outcome { action, local_response })
    }

    fn params(&self, size: usize, end_of_stream: bool) -> (i32, i32, i32) {
        (self.context.cast_signed(), count(size), i32::from(end_of_stream))
    }

    fn stream(&mut self) -> Result<&mut StreamState, HostError> {
        self.plugin.state_mut().streams.get_mut(&self.context).ok_or(HostError::NoSuchStream(self.context))
    }
}

fn count(size: usize) -> i32 {
    u32::try_from(size).unwrap_or(u32::MAX).cast_signed()
}

/// What Envoy makes of a header callback's number: 2 goes on, and what it does not know holds.
fn header_action(number: Option<i32>) -> Action {
    match number {
        None | Some(0 | 2) => Action::Continue,
        Some(number) => Action::from_number(number).unwrap_or(Action::StopAllIterationAndWatermark),
    }
}

/// The numbers of body callbacks mean: 1 hold and collect, 2 hold and collect up to the limit,
/// others hold what came.
fn body_action(number: Option<i32>) -> Action {
    match number {
        None | Some(0) => Action::Continue,
        Some(1) => Action::StopAllIterationAndBuffer,
        Some(2) => Action::StopAllIterationAndWatermark,
        Some(_) => Action::StopIteration,
    }
}
