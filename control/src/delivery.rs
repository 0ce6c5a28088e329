//! What each sidecar is given, and how it gets there: from the desired state to snapshots, over xDS, and back
//! as acknowledgements.

pub mod acks;
pub mod envoy;
pub mod fleet;
pub mod followers;
pub(crate) mod liveness;
pub(crate) mod readiness;
pub mod reconcile;
pub mod rollout;
pub mod snapshot;
pub mod xds;
