//! The subcommands, one file each: `Arguments` says what can be asked, `run` does it.
//!
//! A new subcommand is a new file here, a line below, and two lines in [`crate::cli`].

pub mod completion;
pub mod control_plane;
pub mod envoy;
pub mod fmt;
pub mod proxies;
pub mod status;
pub mod target;
pub mod token;
