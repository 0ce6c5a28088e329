//! The subcommands, one file each: `Arguments` says what can be asked, `run` does it.
//!
//! A new subcommand is a new file here, a line below, and two lines in [`crate::cli`].

pub mod apply;
pub mod check;
pub mod compile;
pub mod completion;
pub mod control_plane;
pub mod delete;
pub mod demo;
pub mod envoy;
pub mod explain;
pub mod fmt;
pub mod get;
pub mod proxies;
pub mod sidecar;
pub mod snapshot;
pub mod status;
pub mod target;
pub mod test;
pub mod token;
pub mod wait;
