//! Names of headers: one spelling, names that stand for something else, and those that policies leave alone.

use crate::checked::Message;
use crate::request::received::{ENVOY_HEADERS, HOP_HEADERS, UPGRADE, is_token};

/// A header's name as policies may use it.
pub(super) enum HeaderName {
    /// In lower case.
    Plain(String),
    /// A name under which HTTP or Envoy keeps something that has an attribute, such as `:path`.
    Attribute(&'static str),
    /// The name of a header that Envoy takes away before any filter sees it.
    TakenAway,
    /// No name of a header.
    Bad,
}

/// What the name of a header says.
pub(super) fn header_name(text: &str) -> HeaderName {
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        ":path" => HeaderName::Attribute("request.path"),
        ":method" => HeaderName::Attribute("request.method"),
        ":authority" | "host" => HeaderName::Attribute("request.host"),
        ":scheme" => HeaderName::Attribute("request.scheme"),
        // Proxies do set this one; a warning says that it is no proof of anything.
        "x-forwarded-client-cert" => HeaderName::Plain(lower),
        // Stays where it asks for a WebSocket.
        UPGRADE => HeaderName::Plain(lower),
        name if HOP_HEADERS.iter().chain(&ENVOY_HEADERS).any(|taken| *taken == name) => HeaderName::TakenAway,
        _ if is_token(lower.as_bytes()) => HeaderName::Plain(lower),
        _ => HeaderName::Bad,
    }
}

/// To whom a header belongs that no policy changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// It is no header but a part of the request or the status line.
    Line(&'static str),
    /// It says how the message is sent over one connection.
    Connection,
    /// It says where the message ends.
    Framing,
    /// Envoy sets it, or takes it as an order.
    Envoy,
    /// Sidecars tell each other by it.
    Mesh,
    /// It says who calls, by the certificate.
    Certificate,
    /// It is what logs and traces know a request by.
    RequestId,
}

/// To whom a header belongs, if no policy may change it; the name is in lower case.
pub(super) fn owner_of(name: &str, message: Message) -> Option<Owner> {
    let is_request = message == Message::Request;
    Some(match name {
        ":path" => Owner::Line("the path"),
        ":method" => Owner::Line("the method"),
        ":authority" | "host" if is_request || name != "host" => Owner::Line("the host"),
        ":status" => Owner::Line("the status"),
        _ if name.starts_with(':') => Owner::Line("the first line"),
        "content-length" | "transfer-encoding" | "trailer" => Owner::Framing,
        "connection" | "keep-alive" | "proxy-connection" | "upgrade" | "te" | "http2-settings" => {
            Owner::Connection
        }
        "expect" if is_request => Owner::Connection,
        "x-request-id" if is_request => Owner::RequestId,
        "x-forwarded-client-cert" => Owner::Certificate,
        "date" if !is_request => Owner::Envoy,
        _ if name.starts_with("x-envoy-") => Owner::Envoy,
        _ if name.starts_with("x-chancery-") => Owner::Mesh,
        _ => return None,
    })
}
