//! The proxy-wasm 0.2.1 contract as data: what a host offers, what a module may export, and the numbers of both.
//!
//! Whoever writes modules, runs them or checks them reads the same tables, so none can disagree
//! about a signature. The tables hold what Envoy 1.40 implements; where it differs from the text of
//! the specification, Envoy is followed and the item says so.
//!
//! Terms: a *host call* is a function that the module imports; a *guest export* is one that the
//! host calls; *pairs* are the wire form of header maps.

pub mod guest_exports;
pub mod host_calls;
pub mod limits;
pub mod numbers;
pub mod pairs;
pub mod value;
pub mod version;

pub use numbers::{Action, BufferType, LogLevel, MapType, MetricType, Status, StreamType};
pub use value::{Function, Signature, ValueType};
pub use version::Version;

/// The function whose export says that a module speaks version 0.2.1. It is never called.
pub const VERSION_MARKER: &str = "proxy_abi_version_0_2_1";
/// The memory that a module must export.
pub const MEMORY: &str = "memory";
/// The module name of all proxy-wasm host calls.
pub const ENV_MODULE: &str = "env";
/// The module names under which the system interface is offered.
pub const WASI_MODULES: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];
