//! Compiled modules: what `emit` makes and a proxy runs.

use std::sync::Arc;

/// A proxy-wasm 0.2.1 module that decides the requests of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// The Wasm binary.
    pub bytes: Arc<[u8]>,
    /// SHA-256 of `bytes`, in lower-case hex.
    pub digest: String,
    /// What it reads, names and costs.
    pub manifest: Manifest,
}

/// What a module is, for people and for the control plane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The policies linked in, sorted.
    pub policies: Vec<String>,
    /// Rule ids, sorted.
    pub rules: Vec<Arc<str>>,
    /// Header names and properties that it can read, sorted.
    pub reads: Vec<String>,
    /// Words, tests and classifications that one decision visits at most.
    pub cost_bound: u64,
}
