//! Names of headers: one spelling, and names that stand for something else.

use crate::request::received::{ENVOY_HEADERS, HOP_HEADERS, is_token};

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
        name if HOP_HEADERS.iter().chain(&ENVOY_HEADERS).any(|taken| *taken == name) => HeaderName::TakenAway,
        _ if is_token(lower.as_bytes()) => HeaderName::Plain(lower),
        _ => HeaderName::Bad,
    }
}
