//! What a filter can ask of the proxy that it runs in: the border between a filter's logic and the world.
//!
//! In Envoy it is `Envoy`, by the `proxy-wasm` crate; in tests it is [`testing::Host`](crate::testing::Host). Filters are
//! generic over it, so that nothing is looked up at run time. They do not call it themselves, but the handles that
//! they are given: those offer in each callback only what can be asked there.

use crate::abi::{BufferType, LogLevel, MapType, MetricType, StreamType};
use crate::{Answer, Call, CallError, Conflict};
use std::time::SystemTime;

/// Names and values of headers in order, as the proxy gives them: names in small letters, a repeated name repeated.
pub type Pairs = Vec<(String, Vec<u8>)>;

/// A proxy, seen from a filter. A value that is not there is `None` or empty.
pub trait Host {
    /// Whether lines of this level are written.
    fn logs(&self, level: LogLevel) -> bool;
    /// Writes a line.
    fn log(&self, level: LogLevel, line: &str);
    /// The time of day.
    fn now(&self) -> SystemTime;

    /// An attribute of the request, the connection or the proxy.
    fn property(&self, path: &[&str]) -> Option<Vec<u8>>;
    /// Sets an attribute that later filters and access logs can read.
    fn set_property(&self, path: &[&str], value: &[u8]);

    /// All pairs of a map.
    fn pairs(&self, map: MapType) -> Pairs;
    /// The first value of a name.
    fn first(&self, map: MapType, name: &str) -> Option<Vec<u8>>;
    /// Makes this the only value of a name.
    fn set(&self, map: MapType, name: &str, value: &[u8]);
    /// Adds a value behind those that are there.
    fn add(&self, map: MapType, name: &str, value: &[u8]);
    /// Removes all values of a name.
    fn remove(&self, map: MapType, name: &str);

    /// Bytes of a buffer from a start on, at most so many.
    fn bytes(&self, buffer: BufferType, start: usize, bytes_max: usize) -> Vec<u8>;
    /// Puts bytes in the place of others. Envoy can do so at the beginning, behind the end, and for the whole.
    fn set_bytes(&self, buffer: BufferType, start: usize, length: usize, bytes: &[u8]);

    /// Begins an HTTP call and gives its number.
    ///
    /// # Errors
    /// When the call cannot be made at all.
    fn call(&self, call: &Call<'_>) -> Result<u32, CallError>;
    /// Answers the stream in place of the service.
    fn answer(&self, answer: &Answer);
    /// Lets a held half of a stream or connection go on.
    fn resume(&self, half: StreamType);
    /// Ends a half of a connection.
    fn close(&self, half: StreamType);

    /// A value that all workers share, and its version.
    fn shared(&self, key: &str) -> Option<(Vec<u8>, u32)>;
    /// Sets a shared value; with a version only if that is the value's still.
    ///
    /// # Errors
    /// When another worker was faster.
    fn set_shared(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<(), Conflict>;

    /// Names a metric and gives its number; the same name has the same number.
    fn define_metric(&self, kind: MetricType, name: &str) -> u32;
    /// Adds to a metric.
    fn increment(&self, metric: u32, by: i64);
    /// Sets a gauge, or records a value of a histogram.
    fn record(&self, metric: u32, value: u64);

    /// Asks to be called every so many milliseconds; 0 is never.
    fn set_tick_period_ms(&self, period_ms: u32);
}
