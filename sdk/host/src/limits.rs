//! What a module may use up before it is stopped.

/// Limits of one host. [`Limits::default`] is generous for any sensible filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a module.
    pub module_bytes_max: usize,
    /// Bytes of a module's memory; growing beyond fails in the module, as in Envoy.
    pub memory_bytes_max: usize,
    /// Instructions (wasmtime's fuel) that one callback may run.
    pub callback_fuel: u64,
    /// Bytes that the host may move for one callback, a host call itself counting as [`CALL_WORK`].
    pub callback_work_bytes_max: u64,
}

/// What each host call counts in [`Limits::callback_work_bytes_max`].
pub const CALL_WORK: u64 = 64;
/// Elements that a module's tables may have.
pub const TABLE_ELEMENTS_MAX: usize = 1 << 20;
/// Bytes of stack that a module may use.
pub const STACK_BYTES_MAX: usize = 512 * 1024;
/// Lines of log that are kept until they are taken; older ones make place.
pub const LOG_LINES_MAX: usize = 1024;
/// Metrics that a plugin may define.
pub const METRICS_MAX: usize = 1 << 16;
/// Bytes of keys and values that all modules of a host may share.
pub const SHARED_DATA_BYTES_MAX: usize = 64 << 20;
/// Bytes of names and values that one stream may keep as filter state.
pub const FILTER_STATE_BYTES_MAX: usize = 1 << 20;
/// Bytes of names and items that all modules of a host may have in shared queues.
pub const SHARED_QUEUES_BYTES_MAX: usize = 64 << 20;
/// Calls of other services that may be open in a plugin at a time, and that may wait to be taken.
pub const CALLS_MAX: usize = 1 << 12;
/// What may happen during one exchange: parts of messages, ticks, answers, items of queues. A module that causes more of
/// it is left alone.
pub const EVENTS_MAX: usize = 1 << 14;
/// Streams that may be open in a plugin at a time.
pub const STREAMS_MAX: usize = 1 << 16;

impl Default for Limits {
    fn default() -> Self {
        Self {
            module_bytes_max: 32 << 20,
            memory_bytes_max: 256 << 20,
            callback_fuel: 50_000_000,
            callback_work_bytes_max: 64 << 20,
        }
    }
}
