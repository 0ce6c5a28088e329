//! Limits that Envoy 1.40 keeps, and that a module must expect.

/// Serialised pairs of more bytes count as none at all.
pub const PAIRS_BYTES_MAX: usize = 1 << 20;
/// Serialised pairs of a greater number count as none at all.
pub const PAIRS_COUNT_MAX: usize = 1024;
/// Pages of 64 KiB that a memory may have: 1 GiB.
pub const MEMORY_PAGES_MAX: u64 = 16_384;
/// Bytes of randomness that one `random_get` gives.
pub const RANDOM_BYTES_MAX: usize = 64 * 1024;
