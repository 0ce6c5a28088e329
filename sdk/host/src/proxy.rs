//! A proxy around one plugin: whole exchanges, with the filter held and going on, services that answer by a script, timers
//! and queues, all in a time that only passes when nothing else is to be done.
//!
//! ```text
//! client --request--> [ plugin ] --forwarded--> service
//!        <--reply---- [ plugin ] <--response---
//!                       |    ^
//!                 calls |    | answers by the script, ticks, queues
//!                       v    |
//!                    other services
//! ```
//!
//! It does what Envoy's connection manager, filter manager and router do around one HTTP filter: what is collected while a
//! filter holds the stream, what goes on when it continues, which callbacks see an answer of the filter's own. What they do
//! beside (adding `date`, `server`, `x-request-id` and the like) is the caller's.

mod direction;
mod services;

pub use services::{Failure, Script, ScriptedAnswer};

use crate::abi::StreamType;
use crate::{Call, ClosedStream, HeaderMap, HostError, LocalResponse, Plugin, Properties, limits};
use direction::{Course, Direction, Held};
use services::Timetable;

/// How long a stream may be held with nothing happening, as in Envoy without another setting.
const STREAM_IDLE_MS: u64 = 300_000;
/// What a client gets then.
const STREAM_TIMEOUT: (u32, &str) = (408, "stream timeout");
/// What a client gets of a module that failed.
const FAILED_STATUS: u32 = 503;
const NS_OF_MS: u64 = 1_000_000;

/// A request or an answer, with its body in the pieces in which it comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Pseudo-headers first.
    pub headers: HeaderMap,
    /// The body; none ends with the headers.
    pub pieces: Vec<Vec<u8>>,
    /// Headers behind the body.
    pub trailers: Option<HeaderMap>,
}

/// What a client asks, and what the service would answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exchange {
    /// Of the connection and the request.
    pub properties: Properties,
    /// As the filter gets it.
    pub request: Message,
    /// As the filter gets it, if the request reaches the service.
    pub response: Message,
}

/// What came of an exchange.
#[derive(Debug, Default)]
pub struct Exchanged {
    /// What reached the service, if all of it did.
    pub forwarded: Option<Message>,
    /// What the client got; `None` if the stream was reset.
    pub reply: Option<Message>,
    /// The answer that the module gave in the place of the service.
    pub local_response: Option<LocalResponse>,
    /// What the module asked of other services meanwhile.
    pub calls: Vec<Call>,
    /// What is left of the stream.
    pub closed: ClosedStream,
    /// What failed: the plugin is not to be used any more, and the client got a 503.
    pub failure: Option<HostError>,
}

/// A plugin with its surroundings.
#[derive(Debug)]
pub struct Proxy {
    plugin: Plugin,
    timetable: Timetable,
    /// Whether a module that holds headers still gets the body: Envoy's `allow_on_headers_stop_iteration`.
    pub stops_at_headers: bool,
}

impl Message {
    /// A message with a body of one piece, or none.
    #[must_use]
    pub fn new(headers: HeaderMap, body: &[u8]) -> Self {
        let pieces = if body.is_empty() { Vec::new() } else { vec![body.to_vec()] };
        Self { headers, pieces, trailers: None }
    }

    /// The whole body.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        self.pieces.concat()
    }
}

impl Exchanged {
    /// What comes of a callback that failed. An answer of which the client has the head already would be broken off.
    fn failed(error: HostError) -> Self {
        let headers = [(":status", FAILED_STATUS.to_string())].into_iter().collect();
        Self { reply: Some(Message::new(headers, b"")), failure: Some(error), ..Self::default() }
    }
}

/// Why an exchange ends before both directions are through.
enum End {
    /// The module closed the stream.
    Reset,
    /// A callback failed.
    Failed(HostError),
}

impl From<HostError> for End {
    fn from(error: HostError) -> Self {
        Self::Failed(error)
    }
}

impl Proxy {
    /// Puts a plugin that was just started between clients and services. The time is the plugin's.
    #[must_use]
    pub fn new(plugin: Plugin, script: Script) -> Self {
        let now_ns = plugin.state().time_ns;
        Self { plugin, timetable: Timetable::new(script, now_ns), stops_at_headers: false }
    }

    /// Lets services answer otherwise from now on.
    pub fn set_script(&mut self, script: Script) {
        self.timetable.set_script(script);
    }

    /// The plugin, to read its log and its metrics.
    pub fn plugin(&mut self) -> &mut Plugin {
        &mut self.plugin
    }

    /// Lets time pass, with the ticks and answers that are due in it. Gives what the module asked for.
    ///
    /// Fails as callbacks do.
    pub fn pass_ms(&mut self, ms: u64) -> Result<Vec<Call>, HostError> {
        let mut calls = self.settle()?;
        let until_ns = self.timetable.now_ns().saturating_add(ms.saturating_mul(NS_OF_MS));
        for _ in 0..limits::EVENTS_MAX {
            if !self.timetable.deliver_next(&mut self.plugin, until_ns)? {
                break;
            }
            calls.extend(self.settle()?);
        }
        self.timetable.pass_to(until_ns, &mut self.plugin);
        Ok(calls)
    }

    /// Runs an exchange to its end. Answers and ticks that are due meanwhile come, too.
    ///
    /// Fails only where no stream can be opened, as after a failure; a callback that fails is part of what came of the
    /// exchange.
    pub fn exchange(&mut self, exchange: Exchange) -> Result<Exchanged, HostError> {
        let mut done = Exchanged::default();
        let context = match self.plugin.open(exchange.properties).map(|stream| stream.context()) {
            Ok(context) => context,
            Err(error @ (HostError::Failed | HostError::TooManyStreams { .. })) => return Err(error),
            Err(error) => return Ok(Exchanged::failed(error)),
        };
        match self.run(context, exchange.request, exchange.response, &mut done) {
            Ok(()) => {}
            Err(End::Reset) => done.reply = None,
            Err(End::Failed(error)) => {
                return Ok(Exchanged { calls: done.calls, ..Exchanged::failed(error) });
            }
        }
        done.local_response = self.plugin.stream(context)?.local_response().cloned();
        match self.plugin.stream(context)?.close() {
            Ok(closed) => done.closed = closed,
            Err(error) => done.failure = Some(error),
        }
        if done.failure.is_none() {
            match self.settle() {
                Ok(calls) => done.calls.extend(calls),
                Err(error) => done.failure = Some(error),
            }
        }
        Ok(done)
    }

    fn run(
        &mut self,
        context: u32,
        request: Message,
        response: Message,
        done: &mut Exchanged,
    ) -> Result<(), End> {
        let is_head = request.headers.first(b":method") == Some(b"HEAD");
        let mut request = Course::new(Direction::Request, request);
        let answered = self.go(context, &mut request, done)?;
        let response = match answered {
            Some(answer) => local_reply(&answer, is_head),
            None => {
                done.forwarded = Some(request.passed);
                response
            }
        };
        let mut response = Course::new(Direction::Response, response);
        // An answer of the module to its own answer: past all filters, in the place of what was not sent.
        let head_is_sent = |course: &Course| course.has_passed_headers;
        done.reply = match self.go(context, &mut response, done)? {
            None => Some(response.passed),
            Some(_) if head_is_sent(&response) => return Err(End::Reset),
            Some(answer) => Some(local_reply(&answer, is_head)),
        };
        Ok(())
    }

    /// Takes one direction to its end, or to an answer that the module gives meanwhile.
    fn go(
        &mut self,
        context: u32,
        course: &mut Course,
        done: &mut Exchanged,
    ) -> Result<Option<LocalResponse>, End> {
        let had_answered = self.plugin.stream(context)?.local_response().is_some();
        let idle_until_ns = self.timetable.now_ns().saturating_add(STREAM_IDLE_MS * NS_OF_MS);
        for _ in 0..limits::EVENTS_MAX {
            let acted = course.step(&mut self.plugin, context, self.stops_at_headers)?;
            done.calls.extend(self.settle()?);
            let mut stream = self.plugin.stream(context)?;
            if stream.is_closed()? {
                return Err(End::Reset);
            }
            if let Some(answer) = stream.local_response().cloned().filter(|_| !had_answered) {
                return Ok(Some(answer));
            }
            let continued = stream.take_continued()?;
            if continued.contains(&course.direction.stream_type()) && course.held != Held::No {
                course.resume(&mut self.plugin, context)?;
                continue;
            }
            if course.is_over() {
                return Ok(None);
            }
            if !acted && !self.timetable.deliver_next(&mut self.plugin, idle_until_ns)? {
                break;
            }
        }
        let (status, words) = STREAM_TIMEOUT;
        Ok(Some(LocalResponse {
            status,
            details: b"stream_idle_timeout".to_vec(),
            body: words.as_bytes().to_vec(),
            headers: HeaderMap::new(),
            grpc_status: None,
        }))
    }

    /// What follows a callback: what the module asked for is put on the timetable, and queues tell of what came in.
    fn settle(&mut self) -> Result<Vec<Call>, HostError> {
        let mut calls = Vec::new();
        for _ in 0..limits::EVENTS_MAX {
            let asked = self.plugin.take_calls();
            self.timetable.plan(&asked);
            calls.extend(asked);
            if !self.plugin.on_queue_ready()? {
                break;
            }
        }
        Ok(calls)
    }
}

/// An answer of a filter as Envoy makes it.
fn local_reply(answer: &LocalResponse, is_head: bool) -> Message {
    let mut headers = HeaderMap::new();
    headers.add(b":status", answer.status.to_string());
    for (name, value) in answer.headers.entries() {
        headers.add(name, value.as_slice());
    }
    if answer.body.is_empty() {
        headers.remove(b"content-length");
        headers.remove(b"content-type");
    } else {
        headers.replace(b"content-length", answer.body.len().to_string());
        if headers.first(b"content-type").is_none() {
            headers.add(b"content-type", "text/plain");
        }
    }
    Message::new(headers, if is_head { b"" } else { &answer.body })
}

impl Direction {
    fn stream_type(self) -> StreamType {
        match self {
            Self::Request => StreamType::Request,
            Self::Response => StreamType::Response,
        }
    }
}
