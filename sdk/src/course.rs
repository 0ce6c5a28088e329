//! The course of one request and its response through a filter: what is shown when, and what is held.
//!
//! ```text
//!            Continue                      Continue
//! headers ──────────────> Passing: body ──────────────> …     each part is shown as it goes by
//!    │ Collect            ┌─────────────────────┐
//!    ├──────────────────> │ Collecting          │ ─> whole   nothing goes on before all of it was shown
//!    │ Wait               ├─────────────────────┤
//!    └──────────────────> │ Waiting for a call  │ ─> …       what comes meanwhile is held, and shown later
//!                         └─────────────────────┘
//! ```
//!
//! Three things that filters written by hand forget are seen to here. A body that comes while the headers wait for a call
//! must be held too: a proxy that is told to let it go on lets the headers go on with it. What was held goes past
//! the filter when it goes on, so it is shown before. And a body may end with trailers instead of a last piece.

use crate::abi::{LogLevel, MapType, StreamType};
use crate::body::buffer_of;
use crate::host::Host;
use crate::{Answer, Body, CallAnswer, Ended, Headers, HttpFilter, Next, Proxy, Whole};
use std::cell::Cell;

/// The answer to a request whose body is longer than the filter takes.
const TOO_LARGE: u16 = 413;
/// The answer in place of a response whose body is longer than the filter takes.
const BAD_RESPONSE: u16 = 502;
/// The answer when a filter asks for what cannot be: nothing may pass by a mistake.
const MISTAKE: u16 = 500;

/// What the proxy is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The part goes on.
    Continue,
    /// The part is held, and what came of its body with it.
    Hold,
}

/// Which message, and how a filter is shown its parts.
pub(crate) trait Half {
    /// The map of its headers.
    const HEADERS: MapType;
    /// The map of its trailers.
    const TRAILERS: MapType;
    /// How it is called to go on.
    const STREAM: StreamType;
    /// The answer when it has too many bytes.
    const TOO_LARGE: u16;
    /// Whether the proxy may go on with it once it was answered: what follows then is the answer itself.
    const PASSES_AFTER_ANSWER: bool;

    /// Its headers are shown.
    fn headers<H: Host, F: HttpFilter<H>>(filter: &F, state: &mut F::State, headers: Headers<'_, H>) -> Next;
    /// A piece of its body is shown.
    fn body<H: Host, F: HttpFilter<H>>(filter: &F, state: &mut F::State, piece: Body<'_, H>) -> Next;
    /// Its trailers are shown.
    fn trailers<H: Host, F: HttpFilter<H>>(
        filter: &F,
        state: &mut F::State,
        trailers: Headers<'_, H>,
    ) -> Next;
    /// All of it is shown.
    fn whole<H: Host, F: HttpFilter<H>>(filter: &F, state: &mut F::State, whole: Whole<'_, H>) -> Next;
    /// Where its progress is kept.
    fn progress<S>(course: &mut HttpCourse<S>) -> &mut Progress;
}

/// The request.
#[derive(Debug)]
pub(crate) struct Request;

/// The response.
#[derive(Debug)]
pub(crate) struct Response;

/// How far a request and its response are, with the filter's state.
#[derive(Debug, Default)]
pub(crate) struct HttpCourse<S> {
    state: S,
    request: Progress,
    response: Progress,
    /// Calls whose answers have not come.
    pending: Cell<u32>,
}

/// How far one message is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    stage: Stage,
    /// Bytes of the body that the proxy holds.
    held: usize,
    /// Of these, the bytes that the filter has seen.
    seen: usize,
    /// A piece came that was not shown.
    has_unseen: bool,
    /// Nothing more of it will come.
    ended: bool,
    /// It ended with trailers, which were not shown.
    has_unseen_trailers: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Passing,
    Collecting {
        bytes_max: usize,
    },
    Waiting(At),
    Answered,
}

/// Which part a filter was shown last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Headers,
    Body,
    Trailers,
    Whole,
}

impl<S: Default + 'static> HttpCourse<S> {
    /// The headers of a message came.
    pub(crate) fn on_headers<M: Half, H: Host, F: HttpFilter<H, State = S>>(
        &mut self,
        filter: &F,
        host: &H,
        ends: bool,
    ) -> Verdict {
        let progress = M::progress(self);
        progress.ended = ends;
        if progress.stage == Stage::Answered {
            return after_answer::<M>();
        }
        let headers = Headers::new(Proxy::new(host, &self.pending), M::HEADERS, ends);
        let next = M::headers(filter, &mut self.state, headers);
        self.settle::<M, H, F>(filter, host, At::Headers, next)
    }

    /// A piece of the body of a message came; `size` counts what is held of it.
    pub(crate) fn on_body<M: Half, H: Host, F: HttpFilter<H, State = S>>(
        &mut self,
        filter: &F,
        host: &H,
        size: usize,
        ends: bool,
    ) -> Verdict {
        let progress = M::progress(self);
        progress.ended |= ends;
        progress.held = size;
        match progress.stage {
            Stage::Passing => {
                progress.seen = 0;
                self.show_body::<M, H, F>(filter, host)
            }
            Stage::Collecting { bytes_max } if size > bytes_max => {
                self.answer::<M, H>(host, &too_large::<M>())
            }
            Stage::Collecting { .. } if ends => self.show_whole::<M, H, F>(filter, host),
            Stage::Collecting { .. } => Verdict::Hold,
            Stage::Waiting(_) => {
                progress.has_unseen = true;
                Verdict::Hold
            }
            Stage::Answered => after_answer::<M>(),
        }
    }

    /// A message ended with trailers.
    pub(crate) fn on_trailers<M: Half, H: Host, F: HttpFilter<H, State = S>>(
        &mut self,
        filter: &F,
        host: &H,
    ) -> Verdict {
        let progress = M::progress(self);
        progress.ended = true;
        progress.has_unseen_trailers = true;
        match progress.stage {
            Stage::Passing => self.show_trailers::<M, H, F>(filter, host),
            Stage::Collecting { .. } => self.show_whole::<M, H, F>(filter, host),
            Stage::Waiting(_) => Verdict::Hold,
            Stage::Answered => after_answer::<M>(),
        }
    }

    /// A call of this request ended.
    pub(crate) fn on_call_answer<H: Host, F: HttpFilter<H, State = S>>(
        &mut self,
        filter: &F,
        host: &H,
        token: u32,
        headers: usize,
        body_bytes: usize,
    ) {
        self.pending.set(self.pending.get().saturating_sub(1));
        let waits = |progress: &Progress| matches!(progress.stage, Stage::Waiting(_));
        if waits(&self.request) {
            self.wake::<Request, H, F>(filter, host, token, headers, body_bytes);
        } else if waits(&self.response) {
            self.wake::<Response, H, F>(filter, host, token, headers, body_bytes);
        } else {
            let proxy = Proxy::new(host, &self.pending);
            let answer = CallAnswer::new(proxy, token, headers, body_bytes, None);
            let next = filter.called(&mut self.state, answer);
            if let (Next::Answer(answer), true) = (next, self.request.stage != Stage::Answered) {
                self.answer::<Request, H>(host, &answer);
            }
        }
    }

    /// Request and response are over.
    pub(crate) fn on_end<H: Host, F: HttpFilter<H, State = S>>(&mut self, filter: &F, host: &H) {
        filter.finished(&mut self.state, Ended(Proxy::new(host, &self.pending)));
    }

    fn wake<M: Half, H: Host, F: HttpFilter<H, State = S>>(
        &mut self,
        filter: &F,
        host: &H,
        token: u32,
        headers: usize,
        body_bytes: usize,
    ) {
        let progress = M::progress(self);
        let Stage::Waiting(at) = progress.stage else { return };
        let is_last = progress.ended && !progress.has_unseen && !progress.has_unseen_trailers;
        let proxy = Proxy::new(host, &self.pending);
        let held = (at == At::Headers || at == At::Whole).then(|| Headers::new(proxy, M::HEADERS, is_last));
        let answer = CallAnswer::new(proxy, token, headers, body_bytes, held);
        let next = filter.called(&mut self.state, answer);
        if self.settle::<M, H, F>(filter, host, at, next) == Verdict::Continue {
            Proxy::new(host, &self.pending).resume(M::STREAM);
        }
    }

    /// Does what the filter said of the part that it was shown last.
    fn settle<M: Half, H: Host, F: HttpFilter<H, State = S>>(
        &mut self,
        filter: &F,
        host: &H,
        at: At,
        next: Next,
    ) -> Verdict {
        let pending = self.pending.get();
        let progress = M::progress(self);
        match next {
            Next::Continue => self.show_rest::<M, H, F>(filter, host, at),
            Next::Answer(answer) => self.answer::<M, H>(host, &answer),
            Next::Wait if pending == 0 => self.mistake::<M, H>(host, "waits, but has no call under way"),
            Next::Wait => {
                progress.stage = Stage::Waiting(at);
                progress.seen = if at == At::Body { progress.held } else { 0 };
                Verdict::Hold
            }
            Next::Collect { .. } if at != At::Headers => {
                self.mistake::<M, H>(host, "collects a message whose headers it let go on, or has seen whole")
            }
            Next::Collect { bytes_max } if progress.held > bytes_max => {
                self.answer::<M, H>(host, &too_large::<M>())
            }
            Next::Collect { .. } if progress.ended => self.show_whole::<M, H, F>(filter, host),
            Next::Collect { bytes_max } => {
                progress.stage = Stage::Collecting { bytes_max };
                Verdict::Hold
            }
        }
    }

    /// Shows what came while the message was held, part by part, and lets it go on after the last.
    fn show_rest<M: Half, H: Host, F: HttpFilter<H, State = S>>(
        &mut self,
        filter: &F,
        host: &H,
        at: At,
    ) -> Verdict {
        let progress = M::progress(self);
        progress.stage = Stage::Passing;
        match at {
            At::Headers | At::Body if progress.has_unseen => self.show_body::<M, H, F>(filter, host),
            At::Headers | At::Body if progress.has_unseen_trailers => {
                self.show_trailers::<M, H, F>(filter, host)
            }
            At::Headers | At::Body | At::Trailers | At::Whole => Verdict::Continue,
        }
    }

    fn show_body<M: Half, H: Host, F: HttpFilter<H, State = S>>(&mut self, filter: &F, host: &H) -> Verdict {
        let progress = M::progress(self);
        progress.has_unseen = false;
        let (seen, length) = (progress.seen, progress.held.saturating_sub(progress.seen));
        let is_last = progress.ended && !progress.has_unseen_trailers;
        let proxy = Proxy::new(host, &self.pending);
        let piece = Body::new(proxy, buffer_of(M::HEADERS), seen, length, is_last);
        let next = M::body(filter, &mut self.state, piece);
        self.settle::<M, H, F>(filter, host, At::Body, next)
    }

    fn show_trailers<M: Half, H: Host, F: HttpFilter<H, State = S>>(
        &mut self,
        filter: &F,
        host: &H,
    ) -> Verdict {
        M::progress(self).has_unseen_trailers = false;
        let trailers = Headers::new(Proxy::new(host, &self.pending), M::TRAILERS, true);
        let next = M::trailers(filter, &mut self.state, trailers);
        self.settle::<M, H, F>(filter, host, At::Trailers, next)
    }

    fn show_whole<M: Half, H: Host, F: HttpFilter<H, State = S>>(&mut self, filter: &F, host: &H) -> Verdict {
        let progress = M::progress(self);
        let (length, has_trailers) = (progress.held, progress.has_unseen_trailers);
        (progress.has_unseen, progress.has_unseen_trailers) = (false, false);
        let proxy = Proxy::new(host, &self.pending);
        let headers = Headers::new(proxy, M::HEADERS, length == 0 && !has_trailers);
        let body = Body::new(proxy, buffer_of(M::HEADERS), 0, length, true);
        let trailers = has_trailers.then(|| Headers::new(proxy, M::TRAILERS, true));
        let next = M::whole(filter, &mut self.state, Whole::new(headers, body, trailers));
        self.settle::<M, H, F>(filter, host, At::Whole, next)
    }

    fn answer<M: Half, H: Host>(&mut self, host: &H, answer: &Answer) -> Verdict {
        M::progress(self).stage = Stage::Answered;
        host.answer(answer);
        Verdict::Hold
    }

    fn mistake<M: Half, H: Host>(&mut self, host: &H, what: &str) -> Verdict {
        let proxy = Proxy::new(host, &self.pending);
        proxy.log(LogLevel::Error, format_args!("the filter {what}; the request is answered with {MISTAKE}"));
        self.answer::<M, H>(host, &Answer::new(MISTAKE))
    }
}

fn too_large<M: Half>() -> Answer {
    Answer::new(M::TOO_LARGE)
}

fn after_answer<M: Half>() -> Verdict {
    if M::PASSES_AFTER_ANSWER { Verdict::Continue } else { Verdict::Hold }
}

impl Half for Request {
    const HEADERS: MapType = MapType::RequestHeaders;
    const TRAILERS: MapType = MapType::RequestTrailers;
    const STREAM: StreamType = StreamType::Request;
    const TOO_LARGE: u16 = TOO_LARGE;
    const PASSES_AFTER_ANSWER: bool = false;

    fn headers<H: Host, F: HttpFilter<H>>(filter: &F, state: &mut F::State, headers: Headers<'_, H>) -> Next {
        filter.request_headers(state, headers)
    }

    fn body<H: Host, F: HttpFilter<H>>(filter: &F, state: &mut F::State, piece: Body<'_, H>) -> Next {
        filter.request_body(state, piece)
    }

    fn trailers<H: Host, F: HttpFilter<H>>(
        filter: &F,
        state: &mut F::State,
        trailers: Headers<'_, H>,
    ) -> Next {
        filter.request_trailers(state, trailers)
    }

    fn whole<H: Host, F: HttpFilter<H>>(filter: &F, state: &mut F::State, whole: Whole<'_, H>) -> Next {
        filter.request(state, whole)
    }

    fn progress<S>(course: &mut HttpCourse<S>) -> &mut Progress {
        &mut course.request
    }
}

impl Half for Response {
    const HEADERS: MapType = MapType::ResponseHeaders;
    const TRAILERS: MapType = MapType::ResponseTrailers;
    const STREAM: StreamType = StreamType::Response;
    const TOO_LARGE: u16 = BAD_RESPONSE;
    const PASSES_AFTER_ANSWER: bool = true;

    fn headers<H: Host, F: HttpFilter<H>>(filter: &F, state: &mut F::State, headers: Headers<'_, H>) -> Next {
        filter.response_headers(state, headers)
    }

    fn body<H: Host, F: HttpFilter<H>>(filter: &F, state: &mut F::State, piece: Body<'_, H>) -> Next {
        filter.response_body(state, piece)
    }

    fn trailers<H: Host, F: HttpFilter<H>>(
        filter: &F,
        state: &mut F::State,
        trailers: Headers<'_, H>,
    ) -> Next {
        filter.response_trailers(state, trailers)
    }

    fn whole<H: Host, F: HttpFilter<H>>(filter: &F, state: &mut F::State, whole: Whole<'_, H>) -> Next {
        filter.response(state, whole)
    }

    fn progress<S>(course: &mut HttpCourse<S>) -> &mut Progress {
        &mut course.response
    }
}
