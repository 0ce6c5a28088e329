//! From what a client sends to what a filter is shown: the part of Envoy that every policy stands behind.
//!
//! [`received`] is the one model of it. `test` blocks, `explain` and the comparison with a real Envoy all
//! ask it; what it promises of Envoy is tested against Envoy. It is the model of Envoy 1.40 with the
//! options that `docs/embedding.md` asks for, and with WebSockets as the only upgrade.
//!
//! ```text
//! RawRequest -- target, host -> authority and path      target
//!            -- fields       -> headers, end of stream   fields
//!            -> Request, or the Refusal with which Envoy answers or closes the connection
//! ```

mod fields;
mod length;
mod target;

pub(crate) use fields::{ENVOY_HEADERS, HOP_HEADERS, UPGRADE};

use super::refusal::Refusal;
use super::{Headers, Request, Source};
use crate::path;

/// The methods that Envoy's parser of HTTP/1 knows.
pub(crate) const HTTP1_METHODS: &[&str] = &[
    "ACL",
    "BIND",
    "CHECKOUT",
    "CONNECT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MOVE",
    "MSEARCH",
    "NOTIFY",
    "OPTIONS",
    "PATCH",
    "POST",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "SOURCE",
    "SUBSCRIBE",
    "TRACE",
    "UNBIND",
    "UNLINK",
    "UNLOCK",
    "UNSUBSCRIBE",
];

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
    /// The target of the request line, or `:path`, with the query; empty for `CONNECT` on HTTP/2.
    pub path: Vec<u8>,
    /// `:authority`; only HTTP/2 has it.
    pub authority: Option<Vec<u8>>,
    /// The values of the headers `host`, in order.
    pub hosts: Vec<Vec<u8>>,
    /// `:scheme`. HTTP/1 does not say it; then it is the scheme of the connection.
    pub scheme: Vec<u8>,
    /// The other headers in order, names in any case, values with what white space stands around them.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether something follows the headers on HTTP/2. On HTTP/1 the headers say it.
    pub has_body: bool,
    /// The caller.
    pub source: Source,
}

/// What Envoy shows to a filter of a request.
///
/// # Errors
/// When Envoy refuses the request itself, so that no filter sees it. A request that the module
/// refuses is shown; see [`Request::refusal`].
pub fn received(raw: RawRequest) -> Result<Request, Refusal> {
    length::check_length(&raw)?;
    check_method(&raw)?;
    let target = target::target(&raw)?;
    let fields = fields::fields(&raw)?;
    let is_connect = raw.method == b"CONNECT";
    let has_content_type = fields.headers.iter().any(|(name, _)| name == b"content-type");
    if raw.method == b"QUERY" && !has_content_type {
        return Err(Refusal::Method);
    }
    let path = if is_connect { Vec::new() } else { path::normalise(&target.path).map_err(Refusal::Path)? };
    Ok(Request {
        method: raw.method,
        path,
        authority: target.authority,
        scheme: target.scheme,
        protocol: match raw.protocol {
            Protocol::Http1 => b"HTTP/1.1".to_vec(),
            Protocol::Http2 => b"HTTP/2".to_vec(),
        },
        headers: fields.headers,
        end_of_stream: fields.end_of_stream,
        source: raw.source,
    })
}

fn check_method(raw: &RawRequest) -> Result<(), Refusal> {
    let is_known = match raw.protocol {
        Protocol::Http1 => HTTP1_METHODS.iter().any(|known| known.as_bytes() == raw.method),
        Protocol::Http2 => is_token(&raw.method),
    };
    if is_known { Ok(()) } else { Err(Refusal::Method) }
}

/// Whether this is a `token` of RFC 9110, section 5.6.2.
pub(crate) fn is_token(text: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(is_allowed)
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

#[cfg(test)]
mod tests;
