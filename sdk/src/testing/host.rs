//! The proxy's place in tests: what filters ask is answered from tables, and written down.

use crate::abi::{BufferType, LogLevel, MapType, MetricType, StreamType};
use crate::host::Pairs;
use crate::{Answer, Call, CallError, Conflict, HeaderMap};
use std::cell::{Cell, RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

/// A proxy that is told what to answer and writes down what it was asked to do. It is one worker; workers that share data are
/// made by [`Plugin::start_beside`](super::Plugin::start_beside).
#[derive(Debug, Default)]
pub struct Host {
    pub(super) streams: RefCell<Vec<Stream>>,
    /// The stream that host calls concern; none is of the plugin itself.
    pub(super) current: Cell<Option<usize>>,
    pub(super) log: RefCell<Vec<(LogLevel, String)>>,
    pub(super) done: RefCell<Vec<String>>,
    pub(super) calls: RefCell<Vec<MadeCall>>,
    pub(super) now: Cell<Duration>,
    pub(super) properties: RefCell<BTreeMap<Vec<String>, Vec<u8>>>,
    pub(super) shared: Rc<RefCell<SharedData>>,
    pub(super) unknown_clusters: RefCell<BTreeSet<String>>,
    pub(super) reply: RefCell<Option<Reply>>,
    metrics: RefCell<Vec<Metric>>,
    pub(super) tick_period_ms: Cell<u32>,
}

/// A call that a filter made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeCall {
    /// Its number, by which it is answered.
    pub id: u32,
    /// Where to.
    pub cluster: String,
    /// `:method`, `:authority`, `:path` and what the filter added.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
    /// How long it may take.
    pub timeout: Duration,
}

/// What a call is answered with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    pub(super) headers: Pairs,
    pub(super) body: Vec<u8>,
}

impl Reply {
    /// An answer of a status.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { headers: vec![(":status".to_owned(), status.to_string().into_bytes())], body: Vec::new() }
    }

    /// With a further header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.as_ref().to_vec()));
        self
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }
}

/// What went on of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Its headers; none as long as nothing went on.
    pub headers: Option<HeaderMap>,
    /// What went on of its body.
    pub body: Vec<u8>,
    /// Its trailers, if it has any.
    pub trailers: Option<HeaderMap>,
}

/// One request with its response, or one connection.
#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) request: Half,
    pub(super) response: Half,
    pub(super) answer: Option<Answer>,
    pub(super) is_closed: bool,
    pub(super) is_over: bool,
    pub(super) properties: BTreeMap<String, Vec<u8>>,
}

/// A message: what the proxy holds of it, and what went on.
#[derive(Debug, Default)]
pub(super) struct Half {
    pub(super) headers: Option<Pairs>,
    pub(super) held: Vec<u8>,
    pub(super) trailers: Option<Pairs>,
    pub(super) went_on: Message,
}

#[derive(Debug, Default)]
pub(super) struct SharedData {
    entries: BTreeMap<String, (Vec<u8>, u32)>,
    versions: u32,
}

#[derive(Debug)]
struct Metric {
    kind: MetricType,
    name: String,
    values: Vec<u64>,
}

impl Half {
    /// Lets go on whatever is held.
    pub(super) fn release(&mut self) {
        if let Some(headers) = self.headers.take() {
            self.went_on.headers = Some(HeaderMap::new(headers));
        }
        self.went_on.body.append(&mut self.held);
        if let Some(trailers) = self.trailers.take() {
            self.went_on.trailers = Some(HeaderMap::new(trailers));
        }
    }
}

impl Host {
    pub(super) fn with_shared(shared: Rc<RefCell<SharedData>>) -> Self {
        Self { shared, ..Self::default() }
    }

    /// Opens a stream and gives its index.
    pub(super) fn open(&self) -> usize {
        let mut streams = self.streams.borrow_mut();
        streams.push(Stream::default());
        streams.len() - 1
    }

    /// The stream of an index, which host calls concern from now on.
    pub(super) fn enter(&self, index: usize) {
        self.current.set(Some(index));
    }

    pub(super) fn with<T: Default>(&self, index: usize, act: impl FnOnce(&mut Stream) -> T) -> T {
        self.streams.borrow_mut().get_mut(index).map_or_else(T::default, act)
    }

    fn with_current<T: Default>(&self, act: impl FnOnce(&mut Stream) -> T) -> T {
        self.current.get().map_or_else(T::default, |index| self.with(index, act))
    }

    fn with_map<T: Default>(&self, map: MapType, act: impl FnOnce(&mut Pairs) -> T) -> T {
        self.with_current(|stream| {
            let slot = match map {
                MapType::RequestHeaders => &mut stream.request.headers,
                MapType::RequestTrailers => &mut stream.request.trailers,
                MapType::ResponseHeaders => &mut stream.response.headers,
                MapType::ResponseTrailers => &mut stream.response.trailers,
                _ => return T::default(),
            };
            slot.as_mut().map_or_else(T::default, act)
        })
    }

    fn with_buffer<T: Default>(&self, buffer: BufferType, act: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        if buffer == BufferType::HttpCallResponseBody {
            return self.reply.borrow_mut().as_mut().map_or_else(T::default, |reply| act(&mut reply.body));
        }
        self.with_current(|stream| match buffer {
            BufferType::HttpRequestBody | BufferType::DownstreamData => act(&mut stream.request.held),
            BufferType::HttpResponseBody | BufferType::UpstreamData => act(&mut stream.response.held),
            _ => T::default(),
        })
    }

    fn write_down(&self, line: String) {
        self.done.borrow_mut().push(line);
    }

    fn metric(&self, id: u32) -> Option<RefMut<'_, Metric>> {
        RefMut::filter_map(self.metrics.borrow_mut(), |metrics| metrics.get_mut(id as usize)).ok()
    }

    /// The values of a metric: one of a counter or gauge, all of a histogram; none if it is not defined.
    pub(super) fn metric_values(&self, name: &str) -> Vec<u64> {
        let metrics = self.metrics.borrow();
        metrics
            .iter()
            .find(|metric| metric.name == name)
            .map_or_else(Vec::new, |metric| metric.values.clone())
    }
}

impl crate::Host for Host {
    fn logs(&self, _level: LogLevel) -> bool {
        true
    }

    fn log(&self, level: LogLevel, line: &str) {
        self.write_down(format!("log {level:?} {line}"));
        self.log.borrow_mut().push((level, line.to_owned()));
    }

    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.now.get()
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        let set = match path {
            [name] => self.with_current(|stream| stream.properties.get(*name).cloned()),
            _ => None,
        };
        let path: Vec<String> = path.iter().map(|&part| part.to_owned()).collect();
        set.or_else(|| self.properties.borrow().get(&path).cloned())
    }

    fn set_property(&self, path: &[&str], value: &[u8]) {
        let name = path.join(".");
        self.write_down(format!("property {name} = {}", value.escape_ascii()));
        self.with_current(|stream| stream.properties.insert(name, value.to_vec()));
    }

    fn pairs(&self, map: MapType) -> Pairs {
        if map == MapType::HttpCallResponseHeaders {
            return self.reply.borrow().as_ref().map_or_else(Pairs::new, |reply| reply.headers.clone());
        }
        let over = self.with_current(|stream| {
            let went_on = match map {
                MapType::RequestHeaders if stream.is_over => stream.request.went_on.headers.as_ref(),
                MapType::ResponseHeaders if stream.is_over => stream.response.went_on.headers.as_ref(),
                _ => None,
            };
            went_on.map(|map| map.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect())
        });
        over.unwrap_or_else(|| self.with_map(map, |pairs| pairs.clone()))
    }

    fn first(&self, map: MapType, name: &str) -> Option<Vec<u8>> {
        let name = name.to_ascii_lowercase();
        self.pairs(map).into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    fn set(&self, map: MapType, name: &str, value: &[u8]) {
        let name = name.to_ascii_lowercase();
        self.write_down(format!("{map:?} {name}: {}", value.escape_ascii()));
        self.with_map(map, |pairs| {
            let at = pairs.iter().position(|(key, _)| *key == name).unwrap_or(pairs.len());
            pairs.retain(|(key, _)| *key != name);
            pairs.insert(at, (name, value.to_vec()));
        });
    }

    fn add(&self, map: MapType, name: &str, value: &[u8]) {
        let name = name.to_ascii_lowercase();
        self.write_down(format!("{map:?} + {name}: {}", value.escape_ascii()));
        self.with_map(map, |pairs| pairs.push((name, value.to_vec())));
    }

    fn remove(&self, map: MapType, name: &str) {
        let name = name.to_ascii_lowercase();
        self.write_down(format!("{map:?} - {name}"));
        self.with_map(map, |pairs| pairs.retain(|(key, _)| *key != name));
    }

    fn bytes(&self, buffer: BufferType, start: usize, bytes_max: usize) -> Vec<u8> {
        self.with_buffer(buffer, |bytes| bytes.iter().skip(start).take(bytes_max).copied().collect())
    }

    fn set_bytes(&self, buffer: BufferType, start: usize, length: usize, new: &[u8]) {
        self.write_down(format!("{buffer:?} = {}", new.escape_ascii()));
        self.with_buffer(buffer, |bytes| {
            let start = start.min(bytes.len());
            let end = start.saturating_add(length).min(bytes.len());
            bytes.splice(start..end, new.iter().copied());
        });
    }

    fn call(&self, call: &Call<'_>) -> Result<u32, CallError> {
        if self.unknown_clusters.borrow().contains(call.cluster()) {
            return Err(CallError::UnknownCluster);
        }
        let mut calls = self.calls.borrow_mut();
        let id = u32::try_from(calls.len()).map_err(|_| CallError::Failed)?;
        let headers = call.headers().iter();
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.as_bytes().to_vec()));
        let made = MadeCall {
            id,
            cluster: call.cluster().to_owned(),
            headers: HeaderMap::new(headers.collect()),
            body: call.bytes().to_vec(),
            timeout: call.timeout(),
        };
        self.write_down(format!("call {id} to {}: {:?}", made.cluster, call.headers()));
        calls.push(made);
        Ok(id)
    }

    fn answer(&self, answer: &Answer) {
        self.write_down(format!("answer {}", answer.status()));
        self.with_current(|stream| {
            stream.answer.get_or_insert_with(|| answer.clone());
        });
    }

    fn resume(&self, half: StreamType) {
        self.write_down(format!("resume {half:?}"));
        self.with_current(|stream| match half {
            StreamType::Request | StreamType::Downstream => stream.request.release(),
            StreamType::Response | StreamType::Upstream => stream.response.release(),
        });
    }

    fn close(&self, half: StreamType) {
        self.write_down(format!("close {half:?}"));
        self.with_current(|stream| stream.is_closed = true);
    }

    fn shared(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.shared.borrow().entries.get(key).cloned()
    }

    fn set_shared(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<(), Conflict> {
        let mut shared = self.shared.borrow_mut();
        let old = shared.entries.get(key);
        if version.is_some_and(|read| old.is_some_and(|(_, version)| *version != read)) {
            return Err(Conflict);
        }
        shared.versions += 1;
        let version = shared.versions;
        shared.entries.insert(key.to_owned(), (value.to_vec(), version));
        drop(shared);
        self.write_down(format!("shared {key} = {}", value.escape_ascii()));
        Ok(())
    }

    fn define_metric(&self, kind: MetricType, name: &str) -> u32 {
        let mut metrics = self.metrics.borrow_mut();
        let known = metrics.iter().position(|metric| metric.name == name);
        let index = known.unwrap_or_else(|| {
            let values = if kind == MetricType::Histogram { Vec::new() } else { vec![0] };
            metrics.push(Metric { kind, name: name.to_owned(), values });
            metrics.len() - 1
        });
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    fn increment(&self, metric: u32, by: i64) {
        let Some(mut metric) = self.metric(metric) else { return };
        if let Some(value) = metric.values.first_mut() {
            *value = value.saturating_add_signed(by);
        }
        let line = format!("metric {} + {by}", metric.name);
        drop(metric);
        self.write_down(line);
    }

    fn record(&self, metric: u32, value: u64) {
        let Some(mut metric) = self.metric(metric) else { return };
        if metric.kind != MetricType::Histogram {
            metric.values.clear();
        }
        metric.values.push(value);
        let line = format!("metric {} = {value}", metric.name);
        drop(metric);
        self.write_down(line);
    }

    fn set_tick_period_ms(&self, period_ms: u32) {
        self.tick_period_ms.set(period_ms);
    }
}
