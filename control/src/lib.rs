//! The control plane, the sidecar launcher and the command line of Chancery.
//!
//! Plain domain types stand in the middle ([`model`], [`snapshot`]); formats stand at the rim.
//!
//! ```text
//! people's files --sources--> api --admission--> model --store--> DesiredState
//!                                                                      |
//!      status <--acks-- sidecars <--xds-- Fleet of Snapshots <--reconcile--+--> envoy (protobuf)
//! ```

pub mod acks;
pub mod admission;
pub mod api;
pub mod cli;
pub mod command;
pub mod context;
pub mod demo;
pub mod documents;
pub mod durations;
pub mod envoy;
pub mod envoy_binary;
pub mod exit;
pub mod explained;
pub mod identity;
pub mod in_force;
pub(crate) mod liveness;
pub mod logging;
pub mod model;
pub mod policy_files;
pub mod policy_runner;
pub mod preflight;
pub mod reconcile;
pub mod report;
pub mod server;
pub mod sidecar;
pub mod snapshot;
pub mod sources;
pub mod store;
pub mod terminal;
pub mod test_run;
pub mod workloads;
pub mod xds;

pub use cli::run;
