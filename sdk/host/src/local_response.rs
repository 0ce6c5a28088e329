//! Local responses: what a module answers in the place of the service.

use crate::HeaderMap;

/// An answer that a module gave with `proxy_send_local_response`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalResponse {
    /// The HTTP status, as the module gave it; Envoy does not check it either.
    pub status: u32,
    /// Shown in access logs as the response code's details.
    pub details: Vec<u8>,
    /// The body.
    pub body: Vec<u8>,
    /// Further headers of the answer.
    pub headers: HeaderMap,
    /// The gRPC status, if one was given.
    pub grpc_status: Option<u32>,
}
