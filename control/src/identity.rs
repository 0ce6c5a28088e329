//! Who is who: the certificate authority, tokens, and the verified identity of a caller.
//!
//! ```text
//! join token --+                                      +--> TLS of the control plane
//!              +--> Authority signs a CSR --> certificate --> Envoy (SDS), mTLS in the mesh
//! client cert -+         | key sealed by Vault        +--> PeerIdentity of a caller
//! ```

pub mod spiffe;

use crate::model::ProxyId;
use chancery_policy_lang::checked::ServiceRef;
use jiff::Timestamp;

/// The sidecar at the other end of a connection, by its verified certificate. Stands in the
/// extensions of every HTTP request (and so of every gRPC request) that came with one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    /// Its service, from the URI SAN.
    pub service: ServiceRef,
    /// The whole id, from the URI SAN and the subject's common name (the instance).
    pub proxy: ProxyId,
    /// When the certificate ends.
    pub expires_at: Timestamp,
}
