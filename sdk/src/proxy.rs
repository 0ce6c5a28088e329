//! What can be asked in every callback: log, time, attributes, shared data, metrics, calls.

use crate::abi::{LogLevel, MetricType, StreamType};
use crate::callout::{Call, CallError, CallId};
use crate::host::Host;
use crate::metrics::{Counter, Gauge, Histogram};
use crate::shared::{Conflict, Shared};
use std::cell::Cell;
use std::fmt;
use std::time::{Duration, SystemTime};

/// How often [`Proxy::update_shared`] tries again when another worker was faster.
pub const SHARED_TRIES_MAX: usize = 16;

/// A version that no value has. Envoy compares versions only where there is a value, so that setting with this one succeeds
/// exactly if there is none.
const NO_VERSION: u32 = u32::MAX;

/// The proxy, in one callback. All other handles lead to it: `request.log(…)`.
#[derive(Debug)]
pub struct Proxy<'call, H> {
    pub(crate) host: &'call H,
    /// Calls of this stream whose answers have not come.
    pub(crate) pending: &'call Cell<u32>,
}

impl<'call, H: Host> Proxy<'call, H> {
    pub(crate) fn new(host: &'call H, pending: &'call Cell<u32>) -> Self {
        Self { host, pending }
    }

    /// Writes a line to the proxy's log. It is put together only if lines of this level are written:
    /// `proxy.log(Level::Debug, format_args!("{count} keys"))`.
    pub fn log(&self, level: LogLevel, line: fmt::Arguments<'_>) {
        if !self.host.logs(level) {
            return;
        }
        match line.as_str() {
            Some(line) => self.host.log(level, line),
            None => self.host.log(level, &line.to_string()),
        }
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.host.now()
    }

    /// Seconds since 1970.
    #[must_use]
    pub fn unix_seconds(&self) -> u64 {
        self.now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    /// An attribute such as `["source", "address"]`: Envoy's bytes, whose form its type says.
    #[must_use]
    pub fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        self.host.property(path)
    }

    /// An attribute that is text.
    #[must_use]
    pub fn text_property(&self, path: &[&str]) -> Option<String> {
        String::from_utf8(self.property(path)?).ok()
    }

    /// An attribute that is a whole number: a port, a size, a status.
    #[must_use]
    pub fn number_property(&self, path: &[&str]) -> Option<i64> {
        Some(i64::from_le_bytes(self.property(path)?.try_into().ok()?))
    }

    /// Says something about the stream that later filters and access logs can read: `rule` is `wasm.rule` there.
    ///
    /// In an Envoy of your own it does. In a sidecar of Chancery no filter may: policies tell routes there what they
    /// decided.
    pub fn set_property(&self, name: &str, value: impl AsRef<[u8]>) {
        self.host.set_property(&[name], value.as_ref());
    }

    /// A value that all workers share with the filters of one `vm_id`.
    #[must_use]
    pub fn shared(&self, key: &str) -> Option<Shared> {
        self.host.shared(key).map(|(value, version)| Shared { value, version })
    }

    /// Sets a shared value, whatever it was.
    pub fn set_shared(&self, key: &str, value: impl AsRef<[u8]>) {
        let _always = self.host.set_shared(key, value.as_ref(), None);
    }

    /// Sets a shared value if it is the one still that was read.
    ///
    /// # Errors
    /// When another worker was faster: read again and decide anew.
    pub fn replace_shared(&self, key: &str, read: &Shared, value: impl AsRef<[u8]>) -> Result<(), Conflict> {
        self.host.set_shared(key, value.as_ref(), Some(read.version))
    }

    /// Sets a shared value if the key has none yet: of several workers one does.
    ///
    /// # Errors
    /// When there is a value.
    pub fn create_shared(&self, key: &str, value: impl AsRef<[u8]>) -> Result<(), Conflict> {
        self.host.set_shared(key, value.as_ref(), Some(NO_VERSION))
    }

    /// Makes a new shared value from the old one, again as long as other workers are faster. `None` leaves it as it is.
    ///
    /// # Errors
    /// After [`SHARED_TRIES_MAX`] times in vain.
    pub fn update_shared(
        &self,
        key: &str,
        mut change: impl FnMut(Option<&[u8]>) -> Option<Vec<u8>>,
    ) -> Result<(), Conflict> {
        for _ in 0..SHARED_TRIES_MAX {
            let old = self.shared(key);
            let Some(new) = change(old.as_ref().map(|shared| shared.value.as_slice())) else { return Ok(()) };
            let set = match &old {
                Some(read) => self.replace_shared(key, read, new),
                None => self.create_shared(key, new),
            };
            if set.is_ok() {
                return set;
            }
        }
        Err(Conflict)
    }

    /// Names a counter; do so in `configure`, once.
    #[must_use]
    pub fn counter(&self, name: &str) -> Counter {
        Counter(self.host.define_metric(MetricType::Counter, name))
    }

    /// Names a gauge.
    #[must_use]
    pub fn gauge(&self, name: &str) -> Gauge {
        Gauge(self.host.define_metric(MetricType::Gauge, name))
    }

    /// Names a histogram.
    #[must_use]
    pub fn histogram(&self, name: &str) -> Histogram {
        Histogram(self.host.define_metric(MetricType::Histogram, name))
    }

    /// Counts.
    pub fn count(&self, counter: Counter, by: u32) {
        // Envoy refuses an increment by nothing.
        if by > 0 {
            self.host.increment(counter.0, i64::from(by));
        }
    }

    /// Sets a gauge.
    pub fn set_gauge(&self, gauge: Gauge, value: u64) {
        self.host.record(gauge.0, value);
    }

    /// Records a value of a histogram.
    pub fn record(&self, histogram: Histogram, value: u64) {
        self.host.record(histogram.0, value);
    }

    /// Begins an HTTP call to a cluster. Its answer comes to the callback `called`; return
    /// [`Next::Wait`](crate::Next::Wait) to hold the stream until then.
    ///
    /// # Errors
    /// When the call cannot be made at all, such as for an unknown cluster.
    pub fn call(&self, call: &Call<'_>) -> Result<CallId, CallError> {
        let id = self.host.call(call)?;
        self.pending.set(self.pending.get().saturating_add(1));
        Ok(CallId(id))
    }

    /// Asks for the callback `tick` every so often; a period of zero is never.
    pub fn set_tick_period(&self, period: Duration) {
        self.host.set_tick_period_ms(u32::try_from(period.as_millis()).unwrap_or(u32::MAX));
    }

    pub(crate) fn resume(&self, half: StreamType) {
        self.host.resume(half);
    }
}

impl<H> Clone for Proxy<'_, H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H> Copy for Proxy<'_, H> {}
