//! One direction of an exchange on its way through the filter: what waits before it, what it holds, what has passed.

use super::Message;
use crate::abi::{Action, MapType};
use crate::{HeaderMap, HostError, Plugin};
use std::collections::VecDeque;

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the client to the service.
    Request,
    /// Back.
    Response,
}

/// How the filter holds a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// It does not.
    No,
    /// It is called with what comes, and nothing passes.
    Here,
    /// It is not called, either: what comes is collected for it.
    All,
}

/// A message on its way.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) direction: Direction,
    coming: VecDeque<Part>,
    pub(super) held: Held,
    /// What the filter saw while it held: for the next filter, when it goes on.
    buffered: Vec<u8>,
    /// Whether the whole message has come.
    has_come: bool,
    trailers_came: bool,
    pub(super) has_passed_headers: bool,
    is_over: bool,
    pub(super) passed: Message,
}

#[derive(Debug)]
enum Part {
    Headers { headers: HeaderMap, ends: bool },
    Body { bytes: Vec<u8>, ends: bool },
    Trailers(HeaderMap),
}

impl Course {
    pub(super) fn new(direction: Direction, message: Message) -> Self {
        let Message { headers, pieces, trailers } = message;
        let ends = pieces.is_empty() && trailers.is_none();
        let mut coming = VecDeque::from([Part::Headers { headers, ends }]);
        let last = pieces.len().checked_sub(1).filter(|_| trailers.is_none());
        for (at, bytes) in pieces.into_iter().enumerate() {
            coming.push_back(Part::Body { bytes, ends: last == Some(at) });
        }
        coming.extend(trailers.map(Part::Trailers));
        Self {
            direction,
            coming,
            held: Held::No,
            buffered: Vec::new(),
            has_come: false,
            trailers_came: false,
            has_passed_headers: false,
            is_over: false,
            passed: Message::default(),
        }
    }

    /// Whether all of it has passed.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Calls the filter with the next part, unless it holds everything or all has come. Gives whether it did.
    pub(super) fn step(
        &mut self,
        plugin: &mut Plugin,
        context: u32,
        stops_at_headers: bool,
    ) -> Result<bool, HostError> {
        if self.held == Held::All {
            return Ok(false);
        }
        let Some(part) = self.coming.pop_front() else { return Ok(false) };
        match part {
            Part::Headers { headers, ends } => {
                self.has_come |= ends;
                let action = self.on_headers(plugin, context, headers, ends)?;
                self.held = match action {
                    Action::Continue => Held::No,
                    Action::StopIteration if stops_at_headers => Held::Here,
                    _ => Held::All,
                };
                if self.held == Held::No {
                    self.pass_headers(plugin, context)?;
                    self.is_over = ends;
                }
            }
            Part::Body { bytes, ends } => {
                self.has_come |= ends;
                let action = self.on_body(plugin, context, bytes, ends)?;
                self.after_body(plugin, context, action, ends)?;
            }
            Part::Trailers(trailers) => {
                self.has_come = true;
                self.trailers_came = true;
                if self.on_trailers(plugin, context, trailers)? == Action::Continue {
                    self.pass_all(plugin, context)?;
                } else {
                    self.held = Held::Here;
                }
            }
        }
        Ok(true)
    }

    /// The filter goes on after it held. What was collected for it without its being called comes to it now, as one piece.
    pub(super) fn resume(&mut self, plugin: &mut Plugin, context: u32) -> Result<(), HostError> {
        if self.held == Held::All {
            self.join_pieces();
            self.pass_headers(plugin, context)?;
            self.held = Held::No;
            self.is_over = self.coming.is_empty();
            return Ok(());
        }
        self.pass_all(plugin, context)
    }

    /// What the module has the proxy keep is in the body that it can see; what it saw piece by piece is kept here.
    fn after_body(
        &mut self,
        plugin: &mut Plugin,
        context: u32,
        action: Action,
        ends: bool,
    ) -> Result<(), HostError> {
        match action {
            Action::Continue => {
                let bytes = self.take_body(plugin, context)?;
                self.buffered.extend(bytes);
                self.pass_all(plugin, context)?;
                self.is_over |= ends;
            }
            Action::StopAllIterationAndBuffer => self.held = Held::Here,
            Action::StopAllIterationAndWatermark => {
                let bytes = self.take_body(plugin, context)?;
                self.buffered.extend(bytes);
                self.held = Held::Here;
            }
            // What came is the module's now.
            _ => {
                self.take_body(plugin, context)?;
                self.held = Held::Here;
            }
        }
        Ok(())
    }

    /// Passes everything that is here.
    fn pass_all(&mut self, plugin: &mut Plugin, context: u32) -> Result<(), HostError> {
        self.held = Held::No;
        self.pass_headers(plugin, context)?;
        let collected = self.take_body(plugin, context)?;
        self.buffered.extend(collected);
        let body = std::mem::take(&mut self.buffered);
        if !body.is_empty() {
            self.passed.pieces.push(body);
        }
        self.is_over |= self.has_come;
        // The filter may have made them.
        if self.trailers_came || self.has_come {
            self.passed.trailers = self.map(plugin, context, self.trailers_type());
        }
        Ok(())
    }

    fn pass_headers(&mut self, plugin: &mut Plugin, context: u32) -> Result<(), HostError> {
        if !self.has_passed_headers {
            self.passed.headers = self.map(plugin, context, self.headers_type()).unwrap_or_default();
            self.has_passed_headers = true;
        }
        plugin.stream(context).map(|_| ())
    }

    /// Pieces that came while the filter was not called are one piece for it.
    fn join_pieces(&mut self) {
        let (mut joined, mut ended, mut others) = (None::<Vec<u8>>, false, VecDeque::new());
        for part in self.coming.drain(..) {
            match part {
                Part::Body { bytes, ends } => {
                    joined.get_or_insert_default().extend(bytes);
                    ended |= ends;
                }
                other => others.push_back(other),
            }
        }
        if let Some(bytes) = joined {
            others.push_front(Part::Body { bytes, ends: ended });
        }
        self.coming = others;
    }

    fn headers_type(&self) -> MapType {
        match self.direction {
            Direction::Request => MapType::RequestHeaders,
            Direction::Response => MapType::ResponseHeaders,
        }
    }

    fn trailers_type(&self) -> MapType {
        match self.direction {
            Direction::Request => MapType::RequestTrailers,
            Direction::Response => MapType::ResponseTrailers,
        }
    }

    fn map(&self, plugin: &mut Plugin, context: u32, map_type: MapType) -> Option<HeaderMap> {
        plugin.stream(context).ok()?.header_map(map_type).cloned()
    }

    fn take_body(&self, plugin: &mut Plugin, context: u32) -> Result<Vec<u8>, HostError> {
        let mut stream = plugin.stream(context)?;
        match self.direction {
            Direction::Request => stream.take_request_body(),
            Direction::Response => stream.take_response_body(),
        }
    }

    fn on_headers(
        &self,
        plugin: &mut Plugin,
        context: u32,
        headers: HeaderMap,
        ends: bool,
    ) -> Result<Action, HostError> {
        let mut stream = plugin.stream(context)?;
        let outcome = match self.direction {
            Direction::Request => stream.on_request_headers(headers, ends),
            Direction::Response => stream.on_response_headers(headers, ends),
        };
        Ok(outcome?.action)
    }

    fn on_body(
        &self,
        plugin: &mut Plugin,
        context: u32,
        bytes: Vec<u8>,
        ends: bool,
    ) -> Result<Action, HostError> {
        let mut stream = plugin.stream(context)?;
        let outcome = match self.direction {
            Direction::Request => stream.on_request_body(bytes, ends),
            Direction::Response => stream.on_response_body(bytes, ends),
        };
        Ok(outcome?.action)
    }

    fn on_trailers(
        &self,
        plugin: &mut Plugin,
        context: u32,
        trailers: HeaderMap,
    ) -> Result<Action, HostError> {
        let mut stream = plugin.stream(context)?;
        let outcome = match self.direction {
            Direction::Request => stream.on_request_trailers(trailers),
            Direction::Response => stream.on_response_trailers(trailers),
        };
        Ok(outcome?.action)
    }
}
