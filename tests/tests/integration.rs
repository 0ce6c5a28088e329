//! All integration tests in one binary. A module is a subject; what modules share is in the crate's library.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall say so")]

mod answers;
mod attached_filters;
mod bad_input;
mod blame;
mod calls;
mod command_line;
mod completion;
mod control_plane;
mod cors;
mod delivery;
mod demo;
mod deploy;
mod differential;
mod editor;
mod envoy_model;
mod filters;
mod flags;
mod foreign;
mod headers;
mod limits;
mod logs;
mod mesh;
mod mistakes;
mod observability;
mod one_identity;
mod outbound;
mod own_filters;
mod pair;
mod plain_envoy;
mod plaintext;
mod probes;
mod protocols;
mod readme;
mod ready_filters;
mod secrets;
mod shared_limits;
mod sinks;
mod standalone;
mod tidy;
mod tutorial;
mod worst_sources;
mod xds_model;
