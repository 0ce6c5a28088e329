//! Filters in Envoy, by the `proxy-wasm` crate: the host calls, and the callbacks as courses see them.
//!
//! Each callback is one virtual call, that of the crate; what lies behind it is compiled for the filter's own type.

use crate::abi::{BufferType, LogLevel, MapType, MetricType, StreamType};
use crate::config::{self, ConfigError};
use crate::course::{HttpCourse, Request, Response, Verdict};
use crate::host::{Host, Pairs};
use crate::tcp::TcpCourse;
use crate::{Answer, Call, CallAnswer, CallError, Conflict, HttpFilter, Proxy, TcpFilter};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext, StreamContext};
use proxy_wasm::types::{self, Action, ContextType, PeerType, Status};
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

/// The answer of a filter that has no configuration: what cannot be decided is not let through.
const NOT_CONFIGURED: u32 = 503;

/// The proxy that a module runs in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Envoy;

/// Registers a filter of HTTP requests; [`http_filter!`](crate::http_filter) calls it.
pub fn run_http<F: HttpFilter<Envoy>>() {
    proxy_wasm::set_root_context(|_| Box::new(HttpRoot::<F> { filter: None, pending: Cell::new(0) }));
}

/// Registers a filter of connections; [`tcp_filter!`](crate::tcp_filter) calls it.
pub fn run_tcp<F: TcpFilter<Envoy>>() {
    proxy_wasm::set_root_context(|_| Box::new(TcpRoot::<F> { filter: None, pending: Cell::new(0) }));
}

struct HttpRoot<F> {
    filter: Option<Rc<F>>,
    pending: Cell<u32>,
}

struct HttpStream<F: HttpFilter<Envoy>> {
    filter: Rc<F>,
    course: HttpCourse<F::State>,
}

struct TcpRoot<F> {
    filter: Option<Rc<F>>,
    pending: Cell<u32>,
}

struct TcpStream<F: TcpFilter<Envoy>> {
    filter: Rc<F>,
    course: TcpCourse<F::State>,
}

/// A stream of a filter that has no configuration.
struct Unconfigured;

impl<F: HttpFilter<Envoy>> Context for HttpRoot<F> {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body_bytes: usize, _trailers: usize) {
        if let Some(filter) = &self.filter {
            let proxy = Proxy::new(&Envoy, &self.pending);
            filter.tick_called(CallAnswer::new(proxy, token, headers, body_bytes, None));
        }
    }
}

impl<F: HttpFilter<Envoy>> RootContext for HttpRoot<F> {
    fn on_configure(&mut self, _size: usize) -> bool {
        let proxy = Proxy::new(&Envoy, &self.pending);
        accept(&mut self.filter, |bytes| F::configure(config::parse(bytes)?, proxy))
    }

    fn on_tick(&mut self) {
        if let Some(filter) = &self.filter {
            filter.tick(Proxy::new(&Envoy, &self.pending));
        }
    }

    fn create_http_context(&self, _context: u32) -> Option<Box<dyn HttpContext>> {
        Some(match &self.filter {
            Some(filter) => Box::new(HttpStream { filter: Rc::clone(filter), course: HttpCourse::default() }),
            None => Box::new(Unconfigured),
        })
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl<F: HttpFilter<Envoy>> Context for HttpStream<F> {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body_bytes: usize, _trailers: usize) {
        self.course.on_call_answer(&*self.filter, &Envoy, token, headers, body_bytes);
    }
}

impl<F: HttpFilter<Envoy>> HttpContext for HttpStream<F> {
    fn on_http_request_headers(&mut self, _headers: usize, ends: bool) -> Action {
        action(self.course.on_headers::<Request, _, _>(&*self.filter, &Envoy, ends))
    }

    fn on_http_request_body(&mut self, size: usize, ends: bool) -> Action {
        action(self.course.on_body::<Request, _, _>(&*self.filter, &Envoy, size, ends))
    }

    fn on_http_request_trailers(&mut self, _trailers: usize) -> Action {
        action(self.course.on_trailers::<Request, _, _>(&*self.filter, &Envoy))
    }

    fn on_http_response_headers(&mut self, _headers: usize, ends: bool) -> Action {
        action(self.course.on_headers::<Response, _, _>(&*self.filter, &Envoy, ends))
    }

    fn on_http_response_body(&mut self, size: usize, ends: bool) -> Action {
        action(self.course.on_body::<Response, _, _>(&*self.filter, &Envoy, size, ends))
    }

    fn on_http_response_trailers(&mut self, _trailers: usize) -> Action {
        action(self.course.on_trailers::<Response, _, _>(&*self.filter, &Envoy))
    }

    fn on_log(&mut self) {
        self.course.on_end(&*self.filter, &Envoy);
    }
}

impl Context for Unconfigured {}

impl HttpContext for Unconfigured {
    fn on_http_request_headers(&mut self, _headers: usize, _ends: bool) -> Action {
        self.send_http_response(NOT_CONFIGURED, Vec::new(), None);
        Action::Pause
    }
}

impl StreamContext for Unconfigured {
    fn on_new_connection(&mut self) -> Action {
        self.close_downstream();
        Action::Pause
    }
}

impl<F: TcpFilter<Envoy>> Context for TcpRoot<F> {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body_bytes: usize, _trailers: usize) {
        if let Some(filter) = &self.filter {
            let proxy = Proxy::new(&Envoy, &self.pending);
            filter.tick_called(CallAnswer::new(proxy, token, headers, body_bytes, None));
        }
    }
}

impl<F: TcpFilter<Envoy>> RootContext for TcpRoot<F> {
    fn on_configure(&mut self, _size: usize) -> bool {
        let proxy = Proxy::new(&Envoy, &self.pending);
        accept(&mut self.filter, |bytes| F::configure(config::parse(bytes)?, proxy))
    }

    fn on_tick(&mut self) {
        if let Some(filter) = &self.filter {
            filter.tick(Proxy::new(&Envoy, &self.pending));
        }
    }

    fn create_stream_context(&self, _context: u32) -> Option<Box<dyn StreamContext>> {
        Some(match &self.filter {
            Some(filter) => Box::new(TcpStream { filter: Rc::clone(filter), course: TcpCourse::default() }),
            None => Box::new(Unconfigured),
        })
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::StreamContext)
    }
}

impl<F: TcpFilter<Envoy>> Context for TcpStream<F> {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body_bytes: usize, _trailers: usize) {
        self.course.on_call_answer(&*self.filter, &Envoy, token, headers, body_bytes);
    }
}

impl<F: TcpFilter<Envoy>> StreamContext for TcpStream<F> {
    fn on_new_connection(&mut self) -> Action {
        action(self.course.on_connected(&*self.filter, &Envoy))
    }

    fn on_downstream_data(&mut self, size: usize, ends: bool) -> Action {
        action(self.course.on_client_data(&*self.filter, &Envoy, size, ends))
    }

    fn on_upstream_data(&mut self, size: usize, ends: bool) -> Action {
        action(self.course.on_server_data(&*self.filter, &Envoy, size, ends))
    }

    fn on_downstream_close(&mut self, _by: PeerType) {}

    fn on_log(&mut self) {
        self.course.on_end(&*self.filter, &Envoy);
    }
}

/// Takes a new configuration, or says in the log what is wrong with it.
fn accept<F>(filter: &mut Option<Rc<F>>, configure: impl FnOnce(&[u8]) -> Result<F, ConfigError>) -> bool {
    // Panics are written to the log as well, by the crate.
    proxy_wasm::set_log_level(types::LogLevel::Trace);
    let bytes = Envoy.bytes(BufferType::PluginConfiguration, 0, usize::MAX);
    match configure(&bytes) {
        Ok(configured) => {
            *filter = Some(Rc::new(configured));
            true
        }
        Err(error) => {
            Envoy.log(LogLevel::Error, &error.to_string());
            false
        }
    }
}

fn action(verdict: Verdict) -> Action {
    match verdict {
        Verdict::Continue => Action::Continue,
        Verdict::Hold => Action::Pause,
    }
}

/// The crate's results are always `Ok` where it has its own way to end: it panics. What else it gives says that the thing is
/// not there.
impl Host for Envoy {
    fn logs(&self, level: LogLevel) -> bool {
        hostcalls::get_log_level().is_ok_and(|written| level.number() >= written as i32)
    }

    fn log(&self, level: LogLevel, line: &str) {
        let level = match level {
            LogLevel::Trace => types::LogLevel::Trace,
            LogLevel::Debug => types::LogLevel::Debug,
            LogLevel::Info => types::LogLevel::Info,
            LogLevel::Warn => types::LogLevel::Warn,
            LogLevel::Error => types::LogLevel::Error,
            LogLevel::Critical => types::LogLevel::Critical,
        };
        let _written = hostcalls::log(level, line);
    }

    fn now(&self) -> SystemTime {
        hostcalls::get_current_time().unwrap_or(SystemTime::UNIX_EPOCH)
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        hostcalls::get_property(path.to_vec()).ok()?
    }

    fn set_property(&self, path: &[&str], value: &[u8]) {
        let _set = hostcalls::set_property(path.to_vec(), Some(value));
    }

    fn pairs(&self, map: MapType) -> Pairs {
        hostcalls::get_map_bytes(map_type(map)).unwrap_or_default()
    }

    fn first(&self, map: MapType, name: &str) -> Option<Vec<u8>> {
        hostcalls::get_map_value_bytes(map_type(map), name).ok()?
    }

    fn set(&self, map: MapType, name: &str, value: &[u8]) {
        let _set = hostcalls::set_map_value_bytes(map_type(map), name, Some(value));
    }

    fn add(&self, map: MapType, name: &str, value: &[u8]) {
        let _added = hostcalls::add_map_value_bytes(map_type(map), name, value);
    }

    fn remove(&self, map: MapType, name: &str) {
        let _removed = hostcalls::remove_map_value(map_type(map), name);
    }

    fn bytes(&self, buffer: BufferType, start: usize, bytes_max: usize) -> Vec<u8> {
        hostcalls::get_buffer(buffer_type(buffer), start, bytes_max).ok().flatten().unwrap_or_default()
    }

    fn set_bytes(&self, buffer: BufferType, start: usize, length: usize, bytes: &[u8]) {
        let _set = hostcalls::set_buffer(buffer_type(buffer), start, length, bytes);
    }

    fn call(&self, call: &Call<'_>) -> Result<u32, CallError> {
        let (headers, body) = (call.headers().to_vec(), call.bytes());
        let body = (!body.is_empty()).then_some(body);
        hostcalls::dispatch_http_call(call.cluster(), headers, body, Vec::new(), call.timeout()).map_err(
            |status| match status {
                Status::BadArgument => CallError::UnknownCluster,
                _ => CallError::Failed,
            },
        )
    }

    fn answer(&self, answer: &Answer) {
        let headers = answer.headers().iter().map(|(name, value)| (&**name, &**value)).collect();
        let body = answer.bytes();
        let body = (!body.is_empty()).then_some(body);
        let _sent = hostcalls::send_http_response(u32::from(answer.status()), headers, body);
    }

    fn resume(&self, half: StreamType) {
        let _resumed = match half {
            StreamType::Request => hostcalls::resume_http_request(),
            StreamType::Response => hostcalls::resume_http_response(),
            StreamType::Downstream => hostcalls::resume_downstream(),
            StreamType::Upstream => hostcalls::resume_upstream(),
        };
    }

    fn close(&self, half: StreamType) {
        let _closed = match half {
            StreamType::Request => hostcalls::reset_http_request(),
            StreamType::Response => hostcalls::reset_http_response(),
            StreamType::Downstream => hostcalls::close_downstream(),
            StreamType::Upstream => hostcalls::close_upstream(),
        };
    }

    fn shared(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        let (value, version) = hostcalls::get_shared_data(key).ok()?;
        Some((value.unwrap_or_default(), version?))
    }

    fn set_shared(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<(), Conflict> {
        hostcalls::set_shared_data(key, Some(value), version).map_err(|_| Conflict)
    }

    fn define_metric(&self, kind: MetricType, name: &str) -> u32 {
        let kind = match kind {
            MetricType::Counter => types::MetricType::Counter,
            MetricType::Gauge => types::MetricType::Gauge,
            MetricType::Histogram => types::MetricType::Histogram,
        };
        hostcalls::define_metric(kind, name).unwrap_or_default()
    }

    fn increment(&self, metric: u32, by: i64) {
        let _counted = hostcalls::increment_metric(metric, by);
    }

    fn record(&self, metric: u32, value: u64) {
        let _recorded = hostcalls::record_metric(metric, value);
    }

    fn set_tick_period_ms(&self, period_ms: u32) {
        let _set = hostcalls::set_tick_period(Duration::from_millis(u64::from(period_ms)));
    }
}

fn map_type(map: MapType) -> types::MapType {
    match map {
        MapType::RequestHeaders => types::MapType::HttpRequestHeaders,
        MapType::RequestTrailers => types::MapType::HttpRequestTrailers,
        MapType::ResponseHeaders => types::MapType::HttpResponseHeaders,
        MapType::ResponseTrailers => types::MapType::HttpResponseTrailers,
        MapType::GrpcReceiveInitialMetadata => types::MapType::GrpcReceiveInitialMetadata,
        MapType::GrpcReceiveTrailingMetadata => types::MapType::GrpcReceiveTrailingMetadata,
        MapType::HttpCallResponseHeaders => types::MapType::HttpCallResponseHeaders,
        MapType::HttpCallResponseTrailers => types::MapType::HttpCallResponseTrailers,
    }
}

fn buffer_type(buffer: BufferType) -> types::BufferType {
    match buffer {
        BufferType::HttpRequestBody => types::BufferType::HttpRequestBody,
        BufferType::HttpResponseBody => types::BufferType::HttpResponseBody,
        BufferType::DownstreamData => types::BufferType::DownstreamData,
        BufferType::UpstreamData => types::BufferType::UpstreamData,
        BufferType::HttpCallResponseBody => types::BufferType::HttpCallResponseBody,
        BufferType::GrpcReceiveBuffer => types::BufferType::GrpcReceiveBuffer,
        BufferType::VmConfiguration => types::BufferType::VmConfiguration,
        BufferType::PluginConfiguration => types::BufferType::PluginConfiguration,
        BufferType::CallData => types::BufferType::CallData,
    }
}
