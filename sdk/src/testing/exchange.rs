//! One request with its response in a test, event by event.

use super::host::{Half, Host, Message, Stream};
use super::{Event, MadeCall, Recording, Reply, Step};
use crate::course::{self, HttpCourse, Verdict};
use crate::host::Pairs;
use crate::{Answer, HttpFilter};

/// A request and its response on their way through a filter.
#[derive(Debug)]
pub struct Exchange<'plugin, F: HttpFilter<Host>> {
    filter: &'plugin F,
    host: &'plugin Host,
    index: usize,
    course: HttpCourse<F::State>,
    recording: Recording,
}

/// What became of a message after an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It went on.
    WentOn,
    /// The proxy holds it.
    Held,
    /// The filter answered in place of the service.
    Answered(Answer),
}

impl Outcome {
    /// The status of the answer, if it is one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        if let Self::Answered(answer) = self { Some(answer.status()) } else { None }
    }
}

impl<'plugin, F: HttpFilter<Host>> Exchange<'plugin, F> {
    pub(super) fn new(filter: &'plugin F, host: &'plugin Host) -> Self {
        let index = host.open();
        Self { filter, host, index, course: HttpCourse::default(), recording: Recording::default() }
    }

    /// A request with this body, or without one, all at once.
    pub fn request(&mut self, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Outcome {
        let body = body.as_ref();
        match self.request_headers(headers, body.is_empty()) {
            Outcome::Answered(answer) => Outcome::Answered(answer),
            outcome if body.is_empty() => outcome,
            _ => self.request_body(body, true),
        }
    }

    /// A response with this body, or without one, all at once.
    pub fn response(&mut self, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Outcome {
        let body = body.as_ref();
        match self.response_headers(headers, body.is_empty()) {
            Outcome::Answered(answer) => Outcome::Answered(answer),
            outcome if body.is_empty() => outcome,
            _ => self.response_body(body, true),
        }
    }

    /// A request begins.
    pub fn request_headers(&mut self, headers: &[(&str, &str)], ends: bool) -> Outcome {
        self.step(Event::RequestHeaders { headers: pairs(headers), ends })
    }

    /// A piece of its body comes.
    pub fn request_body(&mut self, bytes: impl AsRef<[u8]>, ends: bool) -> Outcome {
        self.step(Event::RequestBody { bytes: bytes.as_ref().to_vec(), ends })
    }

    /// It ends with trailers.
    pub fn request_trailers(&mut self, trailers: &[(&str, &str)]) -> Outcome {
        self.step(Event::RequestTrailers { trailers: pairs(trailers) })
    }

    /// A response begins.
    pub fn response_headers(&mut self, headers: &[(&str, &str)], ends: bool) -> Outcome {
        self.step(Event::ResponseHeaders { headers: pairs(headers), ends })
    }

    /// A piece of its body comes.
    pub fn response_body(&mut self, bytes: impl AsRef<[u8]>, ends: bool) -> Outcome {
        self.step(Event::ResponseBody { bytes: bytes.as_ref().to_vec(), ends })
    }

    /// It ends with trailers.
    pub fn response_trailers(&mut self, trailers: &[(&str, &str)]) -> Outcome {
        self.step(Event::ResponseTrailers { trailers: pairs(trailers) })
    }

    /// A call is answered.
    pub fn answer_call(&mut self, call: &MadeCall, reply: Reply) -> Outcome {
        self.step(Event::Called { id: call.id, reply: Some(reply) })
    }

    /// A call ends without an answer.
    pub fn fail_call(&mut self, call: &MadeCall) -> Outcome {
        self.step(Event::Called { id: call.id, reply: None })
    }

    /// Request and response are over.
    pub fn finish(&mut self) {
        self.step(Event::Finished);
    }

    /// Shows an event to the filter. After an answer only the response and the end are shown, as in Envoy.
    pub fn step(&mut self, event: Event) -> Outcome {
        self.host.enter(self.index);
        self.host.done.take();
        let outcome = self.show(event.clone());
        let done = self.host.done.take();
        self.recording.steps.push(Step { event, done, outcome: outcome.clone() });
        outcome
    }

    /// What reached the service.
    #[must_use]
    pub fn upstream(&self) -> Message {
        self.host.with(self.index, |stream| stream.request.went_on.clone())
    }

    /// What reached the client, apart from the filter's own answer.
    #[must_use]
    pub fn downstream(&self) -> Message {
        self.host.with(self.index, |stream| stream.response.went_on.clone())
    }

    /// What the filter said about the stream by [`set_property`](crate::Proxy::set_property).
    #[must_use]
    pub fn property(&self, name: &str) -> Option<Vec<u8>> {
        self.host.with(self.index, |stream| stream.properties.get(name).cloned())
    }

    /// Everything so far.
    #[must_use]
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    fn show(&mut self, event: Event) -> Outcome {
        match event {
            Event::RequestHeaders { headers, ends } => {
                self.with(|stream| stream.request.headers = Some(headers));
                let verdict = self.course.on_headers::<course::Request, _, _>(self.filter, self.host, ends);
                self.conclude(verdict, |stream| &mut stream.request)
            }
            Event::RequestBody { bytes, ends } => {
                let size = self.take_in(&bytes, |stream| &mut stream.request);
                let verdict =
                    self.course.on_body::<course::Request, _, _>(self.filter, self.host, size, ends);
                self.conclude(verdict, |stream| &mut stream.request)
            }
            Event::RequestTrailers { trailers } => {
                self.with(|stream| stream.request.trailers = Some(trailers));
                let verdict = self.course.on_trailers::<course::Request, _, _>(self.filter, self.host);
                self.conclude(verdict, |stream| &mut stream.request)
            }
            Event::ResponseHeaders { headers, ends } => {
                self.with(|stream| stream.response.headers = Some(headers));
                let verdict = self.course.on_headers::<course::Response, _, _>(self.filter, self.host, ends);
                self.conclude(verdict, |stream| &mut stream.response)
            }
            Event::ResponseBody { bytes, ends } => {
                let size = self.take_in(&bytes, |stream| &mut stream.response);
                let verdict =
                    self.course.on_body::<course::Response, _, _>(self.filter, self.host, size, ends);
                self.conclude(verdict, |stream| &mut stream.response)
            }
            Event::ResponseTrailers { trailers } => {
                self.with(|stream| stream.response.trailers = Some(trailers));
                let verdict = self.course.on_trailers::<course::Response, _, _>(self.filter, self.host);
                self.conclude(verdict, |stream| &mut stream.response)
            }
            Event::Called { id, reply } => self.show_reply(id, reply),
            Event::Finished => {
                self.with(|stream| stream.is_over = true);
                self.course.on_end(self.filter, self.host);
                Outcome::WentOn
            }
        }
    }

    fn show_reply(&mut self, id: u32, reply: Option<Reply>) -> Outcome {
        let headers = reply.as_ref().map_or(0, |reply| reply.headers.len());
        let body_bytes = reply.as_ref().map_or(0, |reply| reply.body.len());
        *self.host.reply.borrow_mut() = reply;
        self.course.on_call_answer(self.filter, self.host, id, headers, body_bytes);
        *self.host.reply.borrow_mut() = None;
        self.host
            .with(self.index, |stream| {
                let holds =
                    |half: &Half| half.headers.is_some() || !half.held.is_empty() || half.trailers.is_some();
                Some(match &stream.answer {
                    Some(answer) => Outcome::Answered(answer.clone()),
                    None if holds(&stream.request) || holds(&stream.response) => Outcome::Held,
                    None => Outcome::WentOn,
                })
            })
            .unwrap_or(Outcome::Held)
    }

    /// Puts bytes to those that are held; gives how many there are.
    fn take_in(&self, bytes: &[u8], half: impl FnOnce(&mut Stream) -> &mut Half) -> usize {
        self.with(|stream| {
            let half = half(stream);
            half.held.extend_from_slice(bytes);
            half.held.len()
        })
    }

    fn conclude(&self, verdict: Verdict, half: impl FnOnce(&mut Stream) -> &mut Half) -> Outcome {
        self.host
            .with(self.index, |stream| {
                if let (Some(answer), Verdict::Hold) = (&stream.answer, verdict) {
                    return Some(Outcome::Answered(answer.clone()));
                }
                Some(if verdict == Verdict::Continue {
                    half(stream).release();
                    Outcome::WentOn
                } else {
                    Outcome::Held
                })
            })
            .unwrap_or(Outcome::Held)
    }

    fn with<T: Default>(&self, act: impl FnOnce(&mut Stream) -> T) -> T {
        self.host.with(self.index, act)
    }
}

fn pairs(headers: &[(&str, &str)]) -> Pairs {
    headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.as_bytes().to_vec())).collect()
}
