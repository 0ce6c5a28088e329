//! What an application speaks, as it is sent.

use crate::mesh::model::Protocol;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an application speaks.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum ProtocolBody {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS, as gRPC.
    H2c,
}

impl From<Protocol> for ProtocolBody {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Http1 => Self::Http1,
            Protocol::H2c => Self::H2c,
        }
    }
}

impl From<ProtocolBody> for Protocol {
    fn from(body: ProtocolBody) -> Self {
        match body {
            ProtocolBody::Http1 => Self::Http1,
            ProtocolBody::H2c => Self::H2c,
        }
    }
}
