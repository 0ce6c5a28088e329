//! Metrics of a filter, as handles. Envoy shows them as `wasmcustom.<name>`.

/// A number that grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter(pub(crate) u32);

/// A level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gauge(pub(crate) u32);

/// A distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Histogram(pub(crate) u32);
