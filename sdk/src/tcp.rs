//! Filters of TCP connections, and the course of one connection through a filter.

use crate::abi::{BufferType, LogLevel, StreamType};
use crate::config::ConfigError;
use crate::course::Verdict;
use crate::host::Host;
use crate::{Body, CallAnswer, Proxy};
use serde::de::DeserializeOwned;
use std::cell::Cell;

/// A filter of TCP connections. As with [`HttpFilter`](crate::HttpFilter), one value lives in each worker for each
/// configuration, and each connection has a [`State`](Self::State) beside it.
pub trait TcpFilter<H: Host>: Sized + 'static {
    /// What the operator states, as JSON; [`NoConfig`](crate::NoConfig) if there is nothing to state.
    type Config: DeserializeOwned;
    /// What is remembered of a connection; `()` if nothing is.
    type State: Default + 'static;

    /// Makes the filter, and names its metrics.
    ///
    /// # Errors
    /// What is wrong with the configuration beyond its form.
    fn configure(config: Self::Config, proxy: Proxy<'_, H>) -> Result<Self, ConfigError>;

    /// A client has connected. A certificate is not known before its first bytes.
    fn connected(&self, _state: &mut Self::State, _proxy: Proxy<'_, H>) -> TcpNext {
        TcpNext::Continue
    }

    /// Bytes from the client: all that did not go on yet.
    fn client_sent(&self, _state: &mut Self::State, _bytes: Body<'_, H>) -> TcpNext {
        TcpNext::Continue
    }

    /// Bytes from the server: all that did not go on yet. The proxy cannot let them wait for a call.
    fn server_sent(&self, _state: &mut Self::State, _bytes: Body<'_, H>) -> TcpNext {
        TcpNext::Continue
    }

    /// A call that this connection made has ended. What this gives says what becomes of the connection if it waits.
    fn called(&self, _state: &mut Self::State, _answer: CallAnswer<'_, H>) -> TcpNext {
        TcpNext::Continue
    }

    /// The connection is over.
    fn finished(&self, _state: &mut Self::State, _proxy: Proxy<'_, H>) {}

    /// The time that [`Proxy::set_tick_period`] asked for has passed.
    fn tick(&self, _proxy: Proxy<'_, H>) {}

    /// A call that [`tick`](Self::tick) or [`configure`](Self::configure) made has ended.
    fn tick_called(&self, _answer: CallAnswer<'_, H>) {}
}

/// What becomes of a connection after a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpNext {
    /// The bytes go on.
    Continue,
    /// The bytes are held until more of them come; when none will, the connection is closed.
    More,
    /// The connection is held until [`called`](TcpFilter::called) says otherwise; it must have a call under way, else it is
    /// closed.
    Wait,
    /// The connection is closed.
    Close,
}

/// How far a connection is, with the filter's state.
#[derive(Debug, Default)]
pub(crate) struct TcpCourse<S> {
    state: S,
    is_waiting: bool,
    is_closed: bool,
    /// Bytes from the client came that were not shown: how many, and whether they are the last.
    unseen: Option<(usize, bool)>,
    pending: Cell<u32>,
}

impl<S: Default + 'static> TcpCourse<S> {
    /// A client connected.
    pub(crate) fn on_connected<H: Host, F: TcpFilter<H, State = S>>(
        &mut self,
        filter: &F,
        host: &H,
    ) -> Verdict {
        let next = filter.connected(&mut self.state, Proxy::new(host, &self.pending));
        match next {
            TcpNext::More => self.mistake(host, "wants more of no bytes"),
            next => self.settle(host, next, false),
        }
    }

    /// Bytes from the client came; `size` counts those that are held.
    pub(crate) fn on_client_data<H: Host, F: TcpFilter<H, State = S>>(
        &mut self,
        filter: &F,
        host: &H,
        size: usize,
        is_last: bool,
    ) -> Verdict {
        if self.is_closed {
            return Verdict::Hold;
        }
        if self.is_waiting {
            self.unseen = Some((size, is_last));
            return Verdict::Hold;
        }
        let bytes = Body::new(Proxy::new(host, &self.pending), BufferType::DownstreamData, 0, size, is_last);
        let next = filter.client_sent(&mut self.state, bytes);
        self.settle(host, next, is_last)
    }

    /// Bytes from the server came.
    pub(crate) fn on_server_data<H: Host, F: TcpFilter<H, State = S>>(
        &mut self,
        filter: &F,
        host: &H,
        size: usize,
        is_last: bool,
    ) -> Verdict {
        if self.is_closed {
            return Verdict::Hold;
        }
        let bytes = Body::new(Proxy::new(host, &self.pending), BufferType::UpstreamData, 0, size, is_last);
        match filter.server_sent(&mut self.state, bytes) {
            TcpNext::Wait => self.mistake(host, "lets bytes of the server wait for a call"),
            next => self.settle(host, next, is_last),
        }
    }

    /// A call of this connection ended.
    pub(crate) fn on_call_answer<H: Host, F: TcpFilter<H, State = S>>(
        &mut self,
        filter: &F,
        host: &H,
        token: u32,
        headers: usize,
        body_bytes: usize,
    ) {
        self.pending.set(self.pending.get().saturating_sub(1));
        let proxy = Proxy::new(host, &self.pending);
        let next = filter.called(&mut self.state, CallAnswer::new(proxy, token, headers, body_bytes, None));
        if self.is_closed {
            return;
        }
        if !self.is_waiting {
            if next == TcpNext::Close {
                self.close(host);
            }
            return;
        }
        self.is_waiting = false;
        let mut verdict = self.settle(host, next, false);
        if let (Verdict::Continue, Some((size, is_last))) = (verdict, self.unseen.take()) {
            verdict = self.on_client_data(filter, host, size, is_last);
        }
        if verdict == Verdict::Continue {
            host.resume(StreamType::Downstream);
        }
    }

    /// The connection is over.
    pub(crate) fn on_end<H: Host, F: TcpFilter<H, State = S>>(&mut self, filter: &F, host: &H) {
        filter.finished(&mut self.state, Proxy::new(host, &self.pending));
    }

    fn settle<H: Host>(&mut self, host: &H, next: TcpNext, is_last: bool) -> Verdict {
        match next {
            TcpNext::Continue => Verdict::Continue,
            TcpNext::More if is_last => self.close(host),
            TcpNext::More => Verdict::Hold,
            TcpNext::Wait if self.pending.get() == 0 => {
                self.mistake(host, "waits, but has no call under way")
            }
            TcpNext::Wait => {
                self.is_waiting = true;
                Verdict::Hold
            }
            TcpNext::Close => self.close(host),
        }
    }

    fn close<H: Host>(&mut self, host: &H) -> Verdict {
        self.is_closed = true;
        host.close(StreamType::Downstream);
        Verdict::Hold
    }

    fn mistake<H: Host>(&mut self, host: &H, what: &str) -> Verdict {
        let proxy = Proxy::new(host, &self.pending);
        proxy.log(LogLevel::Error, format_args!("the filter {what}; the connection is closed"));
        self.close(host)
    }
}
