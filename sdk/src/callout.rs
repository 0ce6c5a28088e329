//! HTTP calls that a filter makes, and their answers.

use crate::abi::{BufferType, MapType};
use crate::host::Host;
use crate::{HeaderMap, Headers, Proxy};
use std::ops::Deref;
use std::time::Duration;

/// An HTTP call to a cluster of the proxy. It always ends: with an answer, or without one after its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call<'text> {
    cluster: &'text str,
    headers: Vec<(&'text str, &'text str)>,
    body: &'text [u8],
    timeout: Duration,
}

/// Which call; each has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallId(pub(crate) u32);

/// Why a call could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The proxy has no such cluster.
    #[error("the proxy has no cluster of this name")]
    UnknownCluster,
    /// The proxy cannot make it now: the cluster has no room.
    #[error("the proxy could not make the call")]
    Failed,
}

/// The answer to a call, or that none came.
#[derive(Debug)]
pub struct CallAnswer<'call, H> {
    proxy: Proxy<'call, H>,
    id: CallId,
    came: bool,
    body_bytes: usize,
    held: Option<Headers<'call, H>>,
}

impl<'text> Call<'text> {
    /// A call to `method`, `path` at an authority, which is what the other side sees as the host.
    ///
    /// The timeout is at least a millisecond: Envoy takes 0 for none, and the stream would wait as long.
    #[must_use]
    pub fn new(
        cluster: &'text str,
        method: &'text str,
        authority: &'text str,
        path: &'text str,
        timeout: Duration,
    ) -> Self {
        let headers = vec![(":method", method), (":authority", authority), (":path", path)];
        Self { cluster, headers, body: &[], timeout: timeout.max(Duration::from_millis(1)) }
    }

    /// With a further header.
    #[must_use]
    pub fn header(mut self, name: &'text str, value: &'text str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, body: &'text [u8]) -> Self {
        self.body = body;
        self
    }

    /// The cluster's name.
    #[must_use]
    pub fn cluster(&self) -> &'text str {
        self.cluster
    }

    /// All headers, `:method`, `:authority` and `:path` among them.
    #[must_use]
    pub fn headers(&self) -> &[(&'text str, &'text str)] {
        &self.headers
    }

    /// The body's bytes.
    #[must_use]
    pub fn bytes(&self) -> &'text [u8] {
        self.body
    }

    /// How long an answer is waited for.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }
}

impl<'call, H: Host> CallAnswer<'call, H> {
    pub(crate) fn new(
        proxy: Proxy<'call, H>,
        token: u32,
        headers: usize,
        body_bytes: usize,
        held: Option<Headers<'call, H>>,
    ) -> Self {
        Self { proxy, id: CallId(token), came: headers > 0, body_bytes, held }
    }

    /// Of which call.
    #[must_use]
    pub fn id(&self) -> CallId {
        self.id
    }

    /// The status; `None` if no answer came: the connection broke, or the time was over.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        let status =
            self.came.then(|| self.proxy.host.first(MapType::HttpCallResponseHeaders, ":status"))??;
        std::str::from_utf8(&status).ok()?.parse().ok()
    }

    /// The answer's headers.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        if self.came {
            HeaderMap::new(self.proxy.host.pairs(MapType::HttpCallResponseHeaders))
        } else {
            HeaderMap::default()
        }
    }

    /// How many bytes the answer's body has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.body_bytes
    }

    /// Whether there is no body.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.body_bytes == 0
    }

    /// The answer's body.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        if self.body_bytes == 0 {
            return Vec::new();
        }
        self.proxy.host.bytes(BufferType::HttpCallResponseBody, 0, self.body_bytes)
    }

    /// The headers of the message that waits for this answer, as long as they did not go on.
    #[must_use]
    pub fn held(&self) -> Option<Headers<'call, H>> {
        self.held
    }
}

impl<H> Clone for CallAnswer<'_, H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H> Copy for CallAnswer<'_, H> {}

impl<'call, H> Deref for CallAnswer<'call, H> {
    type Target = Proxy<'call, H>;

    fn deref(&self) -> &Self::Target {
        &self.proxy
    }
}
