//! What the integration tests and the benchmarks share: generators, a real Envoy, a whole mesh, load.
//!
//! Nobody but this package knows it. A function here gives errors; whether one is fatal is for the
//! test to say.

pub mod callers;
pub mod cost;
pub mod differential;
pub mod envoy;
pub mod envoy_model;
pub mod figures;
pub mod filters;
pub mod foreign;
pub mod mesh;
pub mod pair;
pub mod programs;
pub mod prometheus;
pub mod random;
pub mod ready;
pub mod registry;
pub mod secrets;
pub mod strangers;
pub mod toolchains;
pub mod worst_sources;
