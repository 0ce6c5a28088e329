//! What a filter of HTTP requests is: its configuration, its state, and a callback for each part of a message.

use crate::config::ConfigError;
use crate::host::Host;
use crate::{Answer, Body, CallAnswer, HeaderMap, Headers, Proxy, Whole};
use serde::de::DeserializeOwned;

/// A filter of HTTP requests and responses.
///
/// One value lives in each worker of the proxy for each configuration; each request has a [`State`](Self::State) beside it,
/// which lives until its response is over. A callback that is not written lets the message go on.
///
/// `self` is shared by all requests of a worker. What changes is kept in the state, in a `Cell`, or with
/// [`Proxy::update_shared`] where all workers must see it.
pub trait HttpFilter<H: Host>: Sized + 'static {
    /// What the operator states, as JSON; [`NoConfig`](crate::NoConfig) if there is nothing to state.
    type Config: DeserializeOwned;
    /// What is remembered of a request until its response is over; `()` if nothing is.
    type State: Default + 'static;

    /// Makes the filter, and names its metrics.
    ///
    /// # Errors
    /// What is wrong with the configuration beyond its form. The operator reads it, and the last good one keeps serving.
    fn configure(config: Self::Config, proxy: Proxy<'_, H>) -> Result<Self, ConfigError>;

    /// A request begins.
    fn request_headers(&self, _state: &mut Self::State, _request: Headers<'_, H>) -> Next {
        Next::Continue
    }

    /// A piece of the request's body goes by.
    fn request_body(&self, _state: &mut Self::State, _piece: Body<'_, H>) -> Next {
        Next::Continue
    }

    /// The request ends with trailers.
    fn request_trailers(&self, _state: &mut Self::State, _trailers: Headers<'_, H>) -> Next {
        Next::Continue
    }

    /// The request is there whole, because it was held by [`Next::Collect`]. Headers, body and trailers are not shown
    /// a second time.
    fn request(&self, _state: &mut Self::State, _request: Whole<'_, H>) -> Next {
        Next::Continue
    }

    /// A response begins: of the service, of another filter, or this filter's own answer.
    fn response_headers(&self, _state: &mut Self::State, _response: Headers<'_, H>) -> Next {
        Next::Continue
    }

    /// A piece of the response's body goes by.
    fn response_body(&self, _state: &mut Self::State, _piece: Body<'_, H>) -> Next {
        Next::Continue
    }

    /// The response ends with trailers.
    fn response_trailers(&self, _state: &mut Self::State, _trailers: Headers<'_, H>) -> Next {
        Next::Continue
    }

    /// The response is there whole, because it was held by [`Next::Collect`].
    fn response(&self, _state: &mut Self::State, _response: Whole<'_, H>) -> Next {
        Next::Continue
    }

    /// A call that this request made has ended. What this gives says what becomes of the message that waits; if none
    /// waits, only an answer counts.
    fn called(&self, _state: &mut Self::State, _answer: CallAnswer<'_, H>) -> Next {
        Next::Continue
    }

    /// Request and response are over; all headers are in sight again.
    fn finished(&self, _state: &mut Self::State, _ended: Ended<'_, H>) {}

    /// The time that [`Proxy::set_tick_period`] asked for has passed.
    fn tick(&self, _proxy: Proxy<'_, H>) {}

    /// A call that [`tick`](Self::tick) or [`configure`](Self::configure) made has ended.
    fn tick_called(&self, _answer: CallAnswer<'_, H>) {}
}

/// What becomes of a message after a callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// It goes on.
    Continue,
    /// From a callback on headers: the message is held until all of it is there, and then shown whole to
    /// [`request`](HttpFilter::request) or [`response`](HttpFilter::response). A request with more bytes is answered with
    /// 413, a response with 502.
    ///
    /// Envoy shows bodies of held requests only to filters that are configured with `allow_on_headers_stop_iteration: true`.
    Collect {
        /// Bytes that the body may have.
        bytes_max: usize,
    },
    /// It is held until [`called`](HttpFilter::called) says otherwise. The request must have a call under way: else
    /// nothing would ever wake it, and it is answered with 500.
    Wait,
    /// It ends here, with this answer.
    Answer(Answer),
}

/// A request and its response that are over.
#[derive(Debug)]
pub struct Ended<'call, H>(pub(crate) Proxy<'call, H>);

impl<H: Host> Ended<'_, H> {
    /// The request's headers as they went on.
    #[must_use]
    pub fn request_headers(&self) -> HeaderMap {
        HeaderMap::new(self.0.host.pairs(crate::abi::MapType::RequestHeaders))
    }

    /// The response's headers as they went to the client.
    #[must_use]
    pub fn response_headers(&self) -> HeaderMap {
        HeaderMap::new(self.0.host.pairs(crate::abi::MapType::ResponseHeaders))
    }
}

impl<'call, H> std::ops::Deref for Ended<'call, H> {
    type Target = Proxy<'call, H>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
