//! A configured filter in a test.

use super::{Connection, Event, Exchange, Host, MadeCall, Recording, Reply};
use crate::abi::LogLevel;
use crate::config::{self, ConfigError};
use crate::{CallAnswer, HttpFilter, Proxy, TcpFilter};
use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// A filter that accepted a configuration, with the proxy around it.
pub struct Plugin<F> {
    pub(super) filter: F,
    pub(super) host: Host,
    pending: Cell<u32>,
}

impl<F: HttpFilter<Host>> Plugin<F> {
    /// Configures a filter of HTTP requests with this JSON, at the beginning of 1970.
    ///
    /// # Errors
    /// What the operator would read.
    pub fn start(configuration: &str) -> Result<Self, ConfigError> {
        Self::configure(Host::default(), configuration)
    }

    /// Another worker of the same proxy: it shares data with this one.
    ///
    /// # Errors
    /// What the operator would read.
    pub fn start_beside(&self, configuration: &str) -> Result<Self, ConfigError> {
        Self::configure(Host::with_shared(Rc::clone(&self.host.shared)), configuration)
    }

    fn configure(host: Host, configuration: &str) -> Result<Self, ConfigError> {
        let pending = Cell::new(0);
        let config = config::parse(configuration.as_bytes())?;
        let filter = F::configure(config, Proxy::new(&host, &pending))?;
        Ok(Self { filter, host, pending })
    }

    /// A request comes.
    pub fn exchange(&self) -> Exchange<'_, F> {
        Exchange::new(&self.filter, &self.host)
    }

    /// Shows a filter once more what was recorded, and gives what it does now.
    pub fn replay(&self, recording: &Recording) -> Recording {
        let mut exchange = self.exchange();
        for step in &recording.steps {
            exchange.step(step.event.clone());
        }
        exchange.recording().clone()
    }

    /// The time of a tick has come.
    pub fn tick(&self) {
        self.host.current.set(None);
        self.filter.tick(Proxy::new(&self.host, &self.pending));
    }

    /// A call of the plugin itself is answered, or fails.
    pub fn answer_tick_call(&self, call: &MadeCall, reply: Option<Reply>) {
        self.host.current.set(None);
        let headers = reply.as_ref().map_or(0, |reply| reply.headers.len());
        let body_bytes = reply.as_ref().map_or(0, |reply| reply.body.len());
        *self.host.reply.borrow_mut() = reply;
        let proxy = Proxy::new(&self.host, &self.pending);
        self.filter.tick_called(CallAnswer::new(proxy, call.id, headers, body_bytes, None));
        *self.host.reply.borrow_mut() = None;
    }

    /// What the filter did in an exchange of these events.
    pub fn record(&self, events: impl IntoIterator<Item = Event>) -> Recording {
        let mut exchange = self.exchange();
        for event in events {
            exchange.step(event);
        }
        exchange.recording().clone()
    }
}

impl<F: TcpFilter<Host>> Plugin<F> {
    /// Configures a filter of connections with this JSON.
    ///
    /// # Errors
    /// What the operator would read.
    pub fn start_tcp(configuration: &str) -> Result<Self, ConfigError> {
        let (host, pending) = (Host::default(), Cell::new(0));
        let config = config::parse(configuration.as_bytes())?;
        let filter = F::configure(config, Proxy::new(&host, &pending))?;
        Ok(Self { filter, host, pending })
    }

    /// A client connects.
    pub fn connection(&self) -> Connection<'_, F> {
        Connection::new(&self.filter, &self.host)
    }
}

impl<F> Plugin<F> {
    /// Sets the time of day, as seconds since 1970.
    pub fn set_unix_seconds(&self, seconds: u64) {
        self.host.now.set(Duration::from_secs(seconds));
    }

    /// Sets an attribute such as `["source", "address"]`.
    pub fn set_property(&self, path: &[&str], value: impl AsRef<[u8]>) {
        let path = path.iter().map(|&part| part.to_owned()).collect();
        self.host.properties.borrow_mut().insert(path, value.as_ref().to_vec());
    }

    /// Lets calls to a cluster fail, because the proxy does not know it.
    pub fn forget_cluster(&self, name: &str) {
        self.host.unknown_clusters.borrow_mut().insert(name.to_owned());
    }

    /// The lines that were logged since the last time.
    pub fn take_log(&self) -> Vec<(LogLevel, String)> {
        self.host.log.take()
    }

    /// The calls that were made since the beginning.
    pub fn calls(&self) -> Vec<MadeCall> {
        self.host.calls.borrow().clone()
    }

    /// The value of a counter or gauge; 0 if it is not defined.
    pub fn metric(&self, name: &str) -> u64 {
        self.host.metric_values(name).first().copied().unwrap_or_default()
    }

    /// The values that a histogram recorded.
    pub fn recorded(&self, name: &str) -> Vec<u64> {
        self.host.metric_values(name)
    }

    /// How often the filter asked to be ticked; `None` is never.
    pub fn tick_period(&self) -> Option<Duration> {
        let period_ms = self.host.tick_period_ms.get();
        (period_ms > 0).then(|| Duration::from_millis(period_ms.into()))
    }

    /// The filter itself.
    pub fn filter(&self) -> &F {
        &self.filter
    }
}

impl<F> fmt::Debug for Plugin<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Plugin").field("host", &self.host).finish_non_exhaustive()
    }
}
