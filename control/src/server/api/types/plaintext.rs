//! Who is let in without TLS.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A service that takes connections without TLS.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct PlaintextBody {
    /// `namespace/name`
    pub service: String,
    /// The policies that say so.
    pub policies: Vec<String>,
    /// Who made requests without TLS within the last hour.
    pub callers: Vec<PlaintextCaller>,
    /// How many of its sidecars have not said who calls them so, or are away.
    pub unheard: usize,
}

/// Somebody who makes requests without TLS.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct PlaintextCaller {
    /// An IP address; or `others`, for all that one sidecar does not tell apart any more.
    pub address: String,
    /// The service that is at this address, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// How many, since it was quiet for an hour or its sidecars started.
    pub requests: u64,
}
