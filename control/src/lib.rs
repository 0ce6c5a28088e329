//! The control plane, the sidecar launcher and the command line of Chancery, in six wings.
//!
//! ```text
//! cli ----> server ----> delivery ----> policies ----> mesh
//!   '-----> sidecar -------^ (what is told, and how)    ^
//! ```
//!
//! Plain domain types stand in the middle ([`mesh::model`], [`delivery::snapshot`]); formats stand at the
//! rim. Which wing may know which is kept by the `tidy` test.
//!
//! ```text
//! people's files --sources--> api --admission--> model --store--> DesiredState
//!                                                                      |
//!      status <--acks-- sidecars <--xds-- Fleet of Snapshots <--reconcile--+--> envoy (protobuf)
//! ```

pub mod cli;
pub mod delivery;
pub mod mesh;
pub mod policies;
pub mod server;
pub mod sidecar;

pub use cli::run;
