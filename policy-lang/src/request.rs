//! A request as a policy sees it: what the evaluator, `explain` and `test` blocks work on.

mod identity;
mod query;
mod received;

pub use identity::service_of;
pub use received::{Protocol, RawRequest, Refusal, received};

use crate::path;
use std::net::{IpAddr, Ipv4Addr};

/// An HTTP request and its caller, in the form in which Envoy hands it to a filter: header names in
/// lower case, the path already normalised by Envoy. [`received`] makes it of what a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `:method`.
    pub method: Vec<u8>,
    /// `:path`, with the query.
    pub path: Vec<u8>,
    /// `:authority`.
    pub authority: Vec<u8>,
    /// `:scheme`.
    pub scheme: Vec<u8>,
    /// Such as `HTTP/1.1` or `HTTP/2`.
    pub protocol: Vec<u8>,
    /// The other headers in order; a name may occur several times.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether the headers end the request (it has no body).
    pub end_of_stream: bool,
    /// The caller.
    pub source: Source,
}

/// The caller of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The URI SAN of the verified client certificate.
    pub principal: Option<Vec<u8>>,
    /// The connection's remote address.
    pub ip: IpAddr,
    /// The connection's remote port.
    pub port: u16,
    /// Whether the connection is mutual TLS.
    pub mtls: bool,
}

impl Request {
    /// The path without its query.
    #[must_use]
    pub fn path_only(&self) -> &[u8] {
        path::without_query(&self.path)
    }

    /// The value of a header with this lower-case name: all its values in order, joined with `,`.
    /// `None` if it does not occur.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Vec<u8>> {
        join(self.headers.iter().filter(|(key, _)| key == name.as_bytes()).map(|(_, value)| value.clone()))
    }

    /// The value of a query parameter: all its values in order, joined with `,`. Names and values
    /// are percent-decoded with `+` as space; a parameter without `=` has an empty value; a `%`
    /// without two hex digits stands for itself. `None` if it does not occur.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<Vec<u8>> {
        let parameters = query::parameters(path::query(&self.path)?);
        join(parameters.filter(|(key, _)| key == name.as_bytes()).map(|(_, value)| value))
    }

    /// The authority in lower case, without a trailing `:` and digits.
    #[must_use]
    pub fn host(&self) -> Vec<u8> {
        let port_digits = self.authority.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        let (front, _) = self.authority.split_at(self.authority.len() - port_digits);
        front.strip_suffix(b":").unwrap_or(&self.authority).to_ascii_lowercase()
    }

    /// The size of the body in bytes: 0 if there is none, else the `content-length`; `None` if that
    /// does not occur exactly once as decimal digits that fit 64 bits.
    #[must_use]
    pub fn size(&self) -> Option<i64> {
        if self.end_of_stream {
            return Some(0);
        }
        let length = self.header("content-length")?;
        if length.iter().all(u8::is_ascii_digit) { parse_decimal(&length) } else { None }
    }
}

impl Source {
    /// The remote address; an IPv4-mapped IPv6 address is the IPv4 address.
    #[must_use]
    pub fn canonical_ip(&self) -> IpAddr {
        self.ip.to_canonical()
    }
}

impl Default for Request {
    /// `GET /` on HTTP/2 to `localhost`, from 127.0.0.1 without an identity.
    fn default() -> Self {
        Self {
            method: b"GET".to_vec(),
            path: b"/".to_vec(),
            authority: b"localhost".to_vec(),
            scheme: b"http".to_vec(),
            protocol: b"HTTP/2".to_vec(),
            headers: Vec::new(),
            end_of_stream: true,
            source: Source { principal: None, ip: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 0, mtls: false },
        }
    }
}

/// `-?[0-9]+` that fits 64 bits, as a number.
#[must_use]
pub(crate) fn parse_decimal(text: &[u8]) -> Option<i64> {
    // Rust would also take a leading `+`.
    if text.starts_with(b"+") {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn join(mut values: impl Iterator<Item = Vec<u8>>) -> Option<Vec<u8>> {
    let mut joined = values.next()?;
    for value in values {
        joined.push(b',');
        joined.extend(value);
    }
    Some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_header_is_joined_in_order() {
        let header = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        let headers = vec![header("x", "1"), header("y", "2"), header("x", ""), header("x", "3")];
        let request = Request { headers, ..Request::default() };
        assert_eq!(request.header("x"), Some(b"1,,3".to_vec()));
        assert_eq!(request.header("z"), None);
    }

    #[test]
    fn the_host_has_no_port_and_no_capitals() {
        for (authority, host) in [
            ("Shop.Example:8080", "shop.example"),
            ("shop.example", "shop.example"),
            ("shop:", "shop"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("127.0.0.1", "127.0.0.1"),
            ("80", "80"),
            ("", ""),
        ] {
            let request = Request { authority: authority.as_bytes().to_vec(), ..Request::default() };
            assert_eq!(request.host(), host.as_bytes(), "{authority}");
        }
    }

    #[test]
    fn the_size_is_known_without_a_body_or_from_one_length() {
        let sized = |lengths: &[&str], end_of_stream| {
            let headers =
                lengths.iter().map(|length| (b"content-length".to_vec(), length.as_bytes().to_vec()));
            Request { headers: headers.collect(), end_of_stream, ..Request::default() }.size()
        };
        assert_eq!(sized(&["7"], true), Some(0));
        assert_eq!(sized(&["7"], false), Some(7));
        assert_eq!(sized(&["007"], false), Some(7));
        for bad in [&[][..], &[""], &["-1"], &["+1"], &["1", "1"], &["9223372036854775808"], &["0x1"]] {
            assert_eq!(sized(bad, false), None, "{bad:?}");
        }
    }
}
