//! A request as a policy sees it: what the evaluator, `explain` and `test` blocks work on.

use std::net::{IpAddr, Ipv4Addr};

/// An HTTP request and its caller, in the form in which Envoy hands it to a filter: header names in
/// lower case, the path already normalised by Envoy (see `path::normalise` for doing the same).
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
