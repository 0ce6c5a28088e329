//! Compiled modules: what `emit` makes and a proxy runs.

use crate::checked::CorsRules;
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
    /// Whether it hashes values in logs, for which its configuration must be a [`LogKey`](crate::log::LogKey).
    pub hashes: bool,
    /// Over which replicas limits are shared. What the module has to be told of each is a number of replicas, in 4 bytes
    /// with the lowest first, behind each other as the configuration of its VM; without it, there is one of each.
    pub shares: Vec<Share>,
    /// What one decision costs at most.
    pub cost: CostBound,
    /// Whether there is anything that the module does; else it lets each request pass as it is.
    pub does_something: bool,
    /// What the proxy is to say to pages of other origins, which is no affair of the module.
    pub cors: Option<CorsRules>,
}

/// Over which replicas limits are shared: each of them lets pass its share of the rate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share {
    /// The policy with the limits, over whose targets they are shared.
    pub policy: String,
    /// Headers by whose values they tell requests apart, sorted. Where a caller's sidecar chooses the replica by one of
    /// these, all requests of a value come to one replica, and that has the whole rate.
    pub headers: Vec<Arc<str>>,
}

/// The most replicas of a service that a limit is shared over; it is as if there were no more.
pub const SHARING_MAX: u32 = 10_000;

/// The most steps (wasm instructions, which is what wasmtime counts as fuel) that one decision takes, as a
/// line in the size of the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CostBound {
    /// Steps of any request.
    pub fixed: u64,
    /// Steps for each header that the request has, pseudo-headers included.
    pub per_header: u64,
    /// Steps for each byte that the policies look at: of the path with its query, and of the values of the
    /// headers that they ask for.
    pub per_byte: u64,
}

/// The most headers that a request has where Envoy hands them to a module: the 100 that it takes from a client
/// unless it is told otherwise (`max_headers_count`), and those that it adds itself.
pub const HEADERS_MAX: u64 = 128;
/// The most bytes of a request that policies look at; a request of more is refused with 431.
pub const BYTES_SEEN_MAX: u64 = 16 << 10;

/// The most parameters of a query that policies look at, where they look at any; a request of more is
/// refused with 431.
pub const QUERY_PARAMETERS_MAX: usize = 256;
/// The most steps that a decision may take for any request: a millisecond of a proxy's worker. A step takes
/// 0.1 to 0.2 ns, and the dearest requests that are known take between a tenth and six sevenths of what is
/// promised, depending on what a policy asks (the benchmark `steps` has both).
pub const STEPS_MAX: u64 = 5_000_000;

/// How many buckets there is room for in a proxy, for all limits with keys in one direction: what tells requests
/// apart may be chosen by a client, and what a module shares between workers is never freed. A bucket has one of four
/// places by its hash; where all four are in use by buckets that are not full, two share one.
pub const SLOTS: u32 = 1 << 16;

/// By so much the clocks of a proxy's workers may differ. A bucket that is full later than one that was emptied now,
/// by more than this, was filled before the clock was put back.
pub const CLOCK_SLACK_NS: u64 = 10_000_000_000;

/// About so many of them any policy may take: for reading the path and the headers of a request of
/// [`BYTES_SEEN_MAX`] bytes.
pub const STEPS_OF_ANY_POLICY: u64 = 2_300_000;

impl CostBound {
    /// The most steps for any request: one of [`HEADERS_MAX`] headers and [`BYTES_SEEN_MAX`] bytes.
    #[must_use]
    pub fn worst(&self) -> u64 {
        self.for_request(HEADERS_MAX, BYTES_SEEN_MAX)
    }

    /// The most steps for a request of so many headers and bytes.
    #[must_use]
    pub fn for_request(&self, headers: u64, bytes: u64) -> u64 {
        let of_headers = self.per_header.saturating_mul(headers);
        let of_bytes = self.per_byte.saturating_mul(bytes);
        self.fixed.saturating_add(of_headers).saturating_add(of_bytes)
    }
}

impl std::fmt::Display for CostBound {
    /// `412 + 31/header + 9/byte`
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} + {}/header + {}/byte", self.fixed, self.per_header, self.per_byte)
    }
}
