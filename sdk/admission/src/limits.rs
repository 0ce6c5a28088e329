//! The limits of admission, and the terms on which a module is admitted.

use crate::{Capability, Counting};
use std::collections::BTreeSet;

/// Bytes of a module. Envoy compiles about 6 MiB in a second, on its main thread.
pub const MODULE_BYTES_MAX: usize = 8 << 20;
/// Bytes of a module after it was instrumented.
pub const INSTRUMENTED_BYTES_MAX: usize = 16 << 20;
/// Functions of a module, its imports among them.
pub const FUNCTIONS_MAX: u32 = 50_000;
/// Bytes of one function: an optimising compiler takes more than proportionally long for a long one.
pub const FUNCTION_BYTES_MAX: u64 = 512 << 10;
/// Local variables of one function, its parameters among them.
pub const LOCALS_MAX: u32 = 5_000;
/// Elements with which all tables together may begin, and to which each may grow.
pub const TABLE_ELEMENTS_MAX: u64 = 100_000;
/// Exports of a module.
pub const EXPORTS_MAX: u32 = 10_000;

/// Units that a callback about a request or connection may use up: some 10 to 20 ms of a worker at the most.
pub const CALLBACK_BUDGET: u64 = 20_000_000;
/// Units that a callback of the start may use up, each: constructors, `proxy_on_vm_start`, `proxy_on_configure`.
pub const START_BUDGET: u64 = 500_000_000;
/// Pages of 64 KiB that a memory may have: 64 MiB for each worker, and twice more.
pub const MEMORY_PAGES_MAX: u32 = 1_024;

/// On which terms a module is admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Units that a callback about a request or connection may use up. A unit is an instruction; what takes longer
    /// counts as more.
    pub callback_budget: u64,
    /// Units that each callback of the start may use up.
    pub start_budget: u64,
    /// The maximum that the memory gets, unless the module has a lower one.
    pub memory_pages_max: u32,
    /// How instructions are counted.
    pub counting: Counting,
    /// What the module may do; `None` if that is not asked here, and all that can be allowed is.
    pub may: Option<BTreeSet<Capability>>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            callback_budget: CALLBACK_BUDGET,
            start_budget: START_BUDGET,
            memory_pages_max: MEMORY_PAGES_MAX,
            counting: Counting::default(),
            may: None,
        }
    }
}
