//! Envoy resources from the model: the one place that knows Envoy's configuration.
//!
//! ```text
//! a caller's sidecar                                    the service's sidecar
//! application --plain--> listener outbound/ns/svc       listener inbound <--mTLS, h2--+
//!                          ECDS writ-outbound/ns/svc      | ECDS evicted, ECDS writ-inbound: policies
//!                          route outbound/ns/svc          |
//!                          cluster mesh/ns/svc            | route inbound
//!                            endpoints mesh/ns/svc --->---+ cluster local_app --plain--> application
//! ```
//!
//! Each function gives one encoded [`Resource`](crate::delivery::snapshot::Resource): the same input gives
//! the same bytes, so equal configuration has an equal version on every proxy and after a restart.

pub mod access_log;
pub mod cluster;
mod cors;
mod descriptors;
pub mod endpoints;
pub mod evicted;
pub mod extension;
pub mod filter;
pub mod listener;
mod matcher;
mod message;
mod one_identity;
pub mod route;
pub mod secret;
pub mod shown;
#[cfg(test)]
mod tests;
mod tls;
pub mod yaml;

use chancery_policy_lang::checked::ServiceRef;
use std::time::Duration;

/// The listener that other sidecars connect to, and its route configuration.
pub const INBOUND: &str = "inbound";
/// The listener of probes.
pub const PROBES: &str = "probes";
/// The extension that decides about probes.
pub const PROBES_POLICY: &str = "writ-probes";
/// The extension that decides the requests that come in.
pub const INBOUND_POLICY: &str = "writ-inbound";
/// The extension that refuses who was evicted.
pub const EVICTED: &str = "evicted";
/// The header of an answer by which a sidecar tells another that no byte of the request reached an application, so that
/// it may be sent to another replica. Nobody else sees it, or can set it.
pub const UNSENT: &str = "x-chancery-unsent";
/// The cluster of the application beside the sidecar.
pub const LOCAL_APP: &str = "local_app";
/// The secret with the sidecar's certificate and key.
pub const IDENTITY: &str = "identity";
/// The secret with the certificates that the mesh trusts.
pub const TRUST: &str = "trust";

/// How long a connection between sidecars is used, and how long a stream may be quiet. A connection is not looked at
/// again when the certificate ends that opened it, so it must end by itself soon after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLife {
    seconds: i64,
    /// `None`: as long as it likes.
    quiet: Option<Duration>,
}

/// How long a stream may be quiet, unless the operator says something else. Longer than whatever sends something from
/// time to time is silent; whether the other side is there at all is found out otherwise, see `KEEPALIVE_INTERVAL_S`.
const QUIET_STREAM_DEFAULT: Duration = Duration::from_secs(3600);
/// A silent connection between sidecars is probed after this by both of them, so that a dead host is noticed.
const KEEPALIVE_INTERVAL_S: i64 = 20;
/// How long the answer to a probe may take.
const KEEPALIVE_TIMEOUT_S: i64 = 5;

/// The longest that a connection is used, and so the longest that it outlives its certificate.
const CONNECTION_LIFE_MAX_S: i64 = 3600;
/// The part of the life of a certificate that a connection is used, if that is shorter.
const CONNECTION_LIFE_PART: i64 = 10;

impl ConnectionLife {
    /// For certificates that are valid for so many seconds.
    #[must_use]
    pub fn of_certificates(lifetime_seconds: i64) -> Self {
        let seconds = (lifetime_seconds / CONNECTION_LIFE_PART).clamp(1, CONNECTION_LIFE_MAX_S);
        Self { seconds, ..Self::default() }
    }

    /// With streams that may be quiet for so long; `None` means as long as they like.
    #[must_use]
    pub fn quiet_for(self, quiet: Option<Duration>) -> Self {
        Self { quiet, ..self }
    }
}

impl Default for ConnectionLife {
    fn default() -> Self {
        Self { seconds: CONNECTION_LIFE_MAX_S, quiet: Some(QUIET_STREAM_DEFAULT) }
    }
}

/// The extension that decides the requests that go out to a service of the mesh.
#[must_use]
pub fn outbound_policy(service: &ServiceRef) -> String {
    format!("writ-{}", outbound_listener(service))
}

/// The listener before which an extension stands that decides.
#[must_use]
pub fn listener_of_policy(extension: &str) -> &str {
    extension.strip_prefix("writ-").unwrap_or(INBOUND)
}

/// The listener that leads to a service of the mesh, and its route configuration.
#[must_use]
pub fn outbound_listener(service: &ServiceRef) -> String {
    format!("outbound/{}/{}", service.namespace, service.name)
}
