//! A request as a policy sees it: what the evaluator, `explain` and `test` blocks work on.

mod authority;
mod identity;
mod query;
pub(crate) mod received;
mod refusal;

pub(crate) use authority::parse as parse_authority;
pub(crate) use identity::is_name_byte;
pub use identity::{IDENTITY_BYTES_MAX, ServiceIdentity, service_of};
pub use received::{Protocol, RawRequest, received};
pub use refusal::{REFUSED_STATUS, Refusal};

use crate::path;
use std::net::{IpAddr, Ipv4Addr};

/// The headers that are looked at in any case: what they say may be refused before any rule is asked.
pub(crate) const ALWAYS_READ: [&str; 4] = [":authority", ":method", ":path", "content-length"];

/// Names and values of headers in order; a name may occur several times.
pub type Headers = Vec<(Vec<u8>, Vec<u8>)>;

/// An HTTP request and its caller, in the form in which Envoy hands it to a filter: header names in
/// lower case, the path already normalised by Envoy. [`received`] makes it of what a client sends.
///
/// What rules see of it is what the methods give: white space around values does not count, the path is
/// decoded, the host is in lower case. A request of which [`Request::refusal`] says something is refused
/// before any rule is asked.
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
    /// The other headers.
    pub headers: Headers,
    /// Whether the headers end the request (it has no body).
    pub end_of_stream: bool,
    /// The caller.
    pub source: Source,
}

/// The caller of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The URI SAN of the verified client certificate, if it has exactly one.
    pub principal: Option<Vec<u8>>,
    /// The connection's remote address.
    pub ip: IpAddr,
    /// The connection's remote port.
    pub port: u16,
    /// Whether the connection is mutual TLS.
    pub mtls: bool,
}

impl Request {
    /// The method.
    #[must_use]
    pub fn method(&self) -> &[u8] {
        trim(&self.method)
    }

    /// The scheme.
    #[must_use]
    pub fn scheme(&self) -> &[u8] {
        trim(&self.scheme)
    }

    /// The path without its query, as it was sent.
    #[must_use]
    pub fn raw_path(&self) -> &[u8] {
        path::without_query(trim(&self.path))
    }

    /// The path that rules see, without query and decoded; empty if it has no single meaning.
    #[must_use]
    pub fn decoded_path(&self) -> Vec<u8> {
        path::decode(self.raw_path()).unwrap_or_default()
    }

    /// The value of a header with this lower-case name: all its values in order, each without white
    /// space around it, joined with `,`. `None` if it does not occur.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Vec<u8>> {
        let values = self.headers.iter().filter(|(key, _)| key == name.as_bytes());
        join(values.map(|(_, value)| trim(value).to_vec()))
    }

    /// The value of a query parameter: all its values in order, joined with `,`. Names and values
    /// are percent-decoded with `+` as space; a parameter without `=` has an empty value; a `%`
    /// without two hex digits stands for itself. `None` if it does not occur.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<Vec<u8>> {
        let parameters = query::parameters(path::query(trim(&self.path))?);
        join(parameters.filter(|(key, _)| key == name.as_bytes()).map(|(_, value)| value))
    }

    /// The host in lower case, without port and without a dot at its end; empty if the request names
    /// none, or several.
    #[must_use]
    pub fn host(&self) -> Vec<u8> {
        authority::parse(self.raw_authority()).map(|authority| authority.host).unwrap_or_default()
    }

    /// The port that the request names with the host.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        authority::parse(self.raw_authority())?.port
    }

    fn raw_authority(&self) -> &[u8] {
        trim(&self.authority)
    }

    /// The size of the body in bytes: 0 if there is none, else the `content-length`; `None` if that does not
    /// occur, or not once as a decimal number below 2^63.
    #[must_use]
    pub fn size(&self) -> Option<i64> {
        if self.end_of_stream {
            return Some(0);
        }
        parse_size(&self.header("content-length")?)
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

/// `[0-9]*` below 2^63, as a number; nothing is 0.
fn parse_size(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0_i64, |number, byte| {
        let digit = i64::from(char::from(*byte).to_digit(10)?);
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// A value of a header without the white space around it that HTTP does not count to it: spaces and tabs,
/// and other bytes up to a space, which no value can have.
pub(crate) fn trim(value: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| *byte > b' ';
    let start = value.iter().position(is_text).unwrap_or(value.len());
    let end = value.iter().rposition(is_text).map_or(start, |last| last + 1);
    value.get(start..end).unwrap_or_default()
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
        let headers = vec![header("x", "1"), header("y", "2"), header("x", ""), header("x", "\t 3 ")];
        let request = Request { headers, ..Request::default() };
        assert_eq!(request.header("x"), Some(b"1,,3".to_vec()));
        assert_eq!(request.header("z"), None);
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
        assert_eq!(sized(&[""], false), Some(0));
        for bad in [&[][..], &["-1"], &["+1"], &["1", "1"], &["9223372036854775808"], &["0x1"]] {
            assert_eq!(sized(bad, false), None, "{bad:?}");
        }
    }
}
