//! From what a client sends to what a filter is shown: the part of Envoy that every policy stands behind.
//!
//! [`received`] is the one model of it. `test` blocks, `explain` and the comparison with a real Envoy all
//! ask it; what it promises of Envoy is tested against Envoy.

use super::{Request, Source};
use crate::decision::{BAD_HEADER, BAD_HOST, BAD_METHOD, BAD_PATH, BAD_SIZE};
use crate::path;

/// The protocol in which a request comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// HTTP/1.1
    Http1,
    /// HTTP/2
    Http2,
}

/// A request as a client sends it, before Envoy looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRequest {
    /// How it comes.
    pub protocol: Protocol,
    /// The method, byte for byte.
    pub method: Vec<u8>,
    /// The target of the request line, or `:path`, with the query.
    pub path: Vec<u8>,
    /// `:authority`; only HTTP/2 has it.
    pub authority: Option<Vec<u8>>,
    /// The values of the headers `host`, in order.
    pub hosts: Vec<Vec<u8>>,
    /// `:scheme`. HTTP/1 does not say it; then the scheme of the connection counts.
    pub scheme: Vec<u8>,
    /// The other headers in order, names in any case, values with what white space stands around them.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether something follows the headers.
    pub has_body: bool,
    /// The caller.
    pub source: Source,
}

/// Why a request has no single meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// The path.
    Path(path::Refusal),
    /// The method.
    Method,
    /// The host, or there are several.
    Host,
    /// A header, by its name or by a character of its value.
    Header,
    /// The size of the body.
    Size,
}

impl Refusal {
    /// The id that stands in the place of a rule.
    #[must_use]
    pub fn rule(self) -> &'static str {
        match self {
            Self::Path(_) => BAD_PATH,
            Self::Method => BAD_METHOD,
            Self::Host => BAD_HOST,
            Self::Header => BAD_HEADER,
            Self::Size => BAD_SIZE,
        }
    }
}

/// What Envoy shows to a filter of a request.
///
/// # Errors
/// When Envoy refuses the request itself, so that no filter sees it. A request that the module
/// refuses is shown; see [`evaluate`](crate::eval::evaluate).
pub fn received(raw: RawRequest) -> Result<Request, Refusal> {
    let path = match path::canonicalise(&raw.path) {
        Ok(path) => path,
        Err(refusal @ (path::Refusal::EscapedSlash | path::Refusal::EscapedNul)) => {
            return Err(Refusal::Path(refusal));
        }
        // What the module refuses is refused in any form.
        Err(_) => raw.path,
    };
    let protocol = match raw.protocol {
        Protocol::Http1 => b"HTTP/1.1".to_vec(),
        Protocol::Http2 => b"HTTP/2".to_vec(),
    };
    let mut headers = raw.headers;
    for (name, _) in &mut headers {
        name.make_ascii_lowercase();
    }
    let mut hosts = raw.authority.into_iter().chain(raw.hosts);
    Ok(Request {
        method: raw.method,
        path,
        authority: hosts.next().unwrap_or_default(),
        scheme: raw.scheme,
        protocol,
        headers,
        end_of_stream: !raw.has_body,
        source: raw.source,
    })
}

impl Default for RawRequest {
    /// `GET /` on HTTP/2 to `localhost`, from 127.0.0.1 without an identity.
    fn default() -> Self {
        let request = Request::default();
        Self {
            protocol: Protocol::Http2,
            method: request.method,
            path: request.path,
            authority: Some(request.authority),
            hosts: Vec::new(),
            scheme: request.scheme,
            headers: Vec::new(),
            has_body: false,
            source: request.source,
        }
    }
}
