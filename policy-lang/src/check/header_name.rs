//! Names of headers: one spelling, and names that stand for something else.

/// A header's name as policies may use it.
pub(super) enum HeaderName {
    /// In lower case.
    Plain(String),
    /// A name under which HTTP or Envoy keeps something that has an attribute, such as `:path`.
    Attribute(&'static str),
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
        _ if !lower.is_empty() && lower.bytes().all(is_token) => HeaderName::Plain(lower),
        _ => HeaderName::Bad,
    }
}

/// The `tchar` of RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
