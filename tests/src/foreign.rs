//! Modules that others wrote, in the wasmtime host and in a real Envoy: what each makes of the same exchange.
//!
//! ```text
//! registries --modules::build--> Module --+--in_host::run----> Seen --+
//!                      Case (an exchange) +--in_envoy::run---> Seen --+--> equal
//! ```
//!
//! [`Seen`] leaves out what no two runs have in common: dates, and what Envoy's connection manager adds behind the filter.

mod case;
pub mod cases;
pub mod in_envoy;
pub mod in_host;
pub mod modules;
pub mod probe;
mod wire;

pub use case::{CALLED, Case, Metrics, Module, Part, SERVICE, Seen};
