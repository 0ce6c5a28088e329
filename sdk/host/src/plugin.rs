//! A running module: one VM with one plugin, as one Envoy worker has it.

use crate::abi::{Function, LogLevel, Version, guest_exports as e};
use crate::connection::Connection;
use crate::shared_data::Share;
use crate::shared_queues::SharedQueues;
use crate::state::{GuestExports, Phase, ROOT_CONTEXT, Shutdown, State, StreamState};
use crate::stream::Stream;
use crate::{HostError, Limits, LogLine, Metrics, Properties, SharedData, abi, error, limits};
use std::collections::{BTreeMap, BTreeSet};
use wasmtime::{Instance, InstancePre, Store, TypedFunc, WasmParams, WasmResults};

/// What a module can learn of its surroundings, and where its time and randomness come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginConfiguration {
    /// Property `plugin_name`.
    pub name: String,
    /// Property `plugin_root_id`.
    pub root_id: String,
    /// Property `plugin_vm_id`; plugins of one id share data.
    pub vm_id: String,
    /// Bytes that `proxy_on_vm_start` can read.
    pub vm_configuration: Vec<u8>,
    /// Bytes that `proxy_on_configure` can read.
    pub configuration: Vec<u8>,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// The clusters that the module can call.
    pub clusters: Clusters,
    /// Lines below are dropped.
    pub log_level: LogLevel,
    /// Nanoseconds since 1970 until [`Plugin::set_time_ns`].
    pub time_ns: u64,
    /// What random bytes follow from.
    pub random_seed: u64,
}

impl Default for PluginConfiguration {
    /// Nameless, without configuration, at level info, at the beginning of 1970.
    fn default() -> Self {
        Self {
            name: String::new(),
            root_id: String::new(),
            vm_id: String::new(),
            vm_configuration: Vec::new(),
            configuration: Vec::new(),
            environment: BTreeMap::new(),
            clusters: Clusters::Only(BTreeSet::new()),
            log_level: LogLevel::Info,
            time_ns: 0,
            random_seed: 0,
        }
    }
}

/// Which clusters there are. A module that calls another one is told so at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clusters {
    /// Whichever it calls.
    All,
    /// These.
    Only(BTreeSet<String>),
}

impl Clusters {
    pub(crate) fn contains(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }
}

/// A module that was started and configured.
///
/// After a callback failed the plugin gives [`HostError::Failed`]: start another one.
pub struct Plugin {
    store: Store<State>,
    pub(crate) callbacks: Callbacks,
    /// Keeps what the VM shares with others of its id.
    _share: Share,
    failed: bool,
    last_context: u32,
    fuel_used: u64,
}

/// Root, token, and what there is of an answer.
type FiveNumbers = (i32, i32, i32, i32, i32);

/// The callbacks that a module exports; one that it lacks means to go on.
pub(crate) struct Callbacks {
    on_context_create: Option<TypedFunc<(i32, i32), ()>>,
    pub(crate) on_tick: Option<TypedFunc<i32, ()>>,
    pub(crate) on_queue_ready: Option<TypedFunc<(i32, i32), ()>>,
    pub(crate) on_http_call_response: Option<TypedFunc<FiveNumbers, ()>>,
    pub(crate) on_grpc_initial_metadata: Option<TypedFunc<(i32, i32, i32), ()>>,
    pub(crate) on_grpc_receive: Option<TypedFunc<(i32, i32, i32), ()>>,
    pub(crate) on_grpc_trailing_metadata: Option<TypedFunc<(i32, i32, i32), ()>>,
    pub(crate) on_grpc_close: Option<TypedFunc<(i32, i32, i32), ()>>,
    pub(crate) on_new_connection: Option<TypedFunc<i32, i32>>,
    pub(crate) on_downstream_data: Option<TypedFunc<(i32, i32, i32), i32>>,
    pub(crate) on_upstream_data: Option<TypedFunc<(i32, i32, i32), i32>>,
    pub(crate) on_downstream_close: Option<TypedFunc<(i32, i32), ()>>,
    pub(crate) on_upstream_close: Option<TypedFunc<(i32, i32), ()>>,
    pub(crate) on_request_headers: Option<HeadersCallback>,
    pub(crate) on_request_body: Option<TypedFunc<(i32, i32, i32), i32>>,
    pub(crate) on_request_trailers: Option<TypedFunc<(i32, i32), i32>>,
    pub(crate) on_response_headers: Option<HeadersCallback>,
    pub(crate) on_response_body: Option<TypedFunc<(i32, i32, i32), i32>>,
    pub(crate) on_response_trailers: Option<TypedFunc<(i32, i32), i32>>,
    pub(crate) on_done: Option<TypedFunc<i32, i32>>,
    pub(crate) on_log: Option<TypedFunc<i32, ()>>,
    pub(crate) on_delete: Option<TypedFunc<i32, ()>>,
}

/// A callback about headers: in version 0.1.0 it is not told whether the stream ends.
#[derive(Clone)]
pub(crate) enum HeadersCallback {
    First(TypedFunc<(i32, i32), i32>),
    Later(TypedFunc<(i32, i32, i32), i32>),
}

impl Plugin {
    pub(crate) fn start(
        instance: &InstancePre<State>,
        version: Version,
        limits: Limits,
        shared: (SharedData, SharedQueues),
        configuration: PluginConfiguration,
    ) -> Result<Self, HostError> {
        let share = shared.0.share(&shared.1, &configuration.vm_id);
        let mut store =
            Store::new(instance.module().engine(), State::new(limits, version, shared, configuration));
        store.limiter(|state| &mut state.store_limits);
        let instance = instance
            .instantiate(&mut store)
            .map_err(|error| error::from_callback("instantiation", &error, &limits))?;
        let exports = exports(&mut store, &instance)?;
        store.data_mut().guest = Some(exports);
        let callbacks = Callbacks::find(&mut store, &instance);
        let mut plugin =
            Self { store, callbacks, _share: share, failed: false, last_context: ROOT_CONTEXT, fuel_used: 0 };
        plugin.run_constructors(&instance)?;
        plugin.configure(&instance)?;
        Ok(plugin)
    }

    /// Opens a stream with the properties of its connection and request.
    ///
    /// `request.*` follows from the headers where the table does not say it.
    pub fn open(&mut self, properties: Properties) -> Result<Stream<'_>, HostError> {
        let context = self.open_context(properties)?;
        Ok(Stream::new(self, context))
    }

    /// Opens a connection with its properties, for a module that works below HTTP.
    pub fn connect(&mut self, properties: Properties) -> Result<Connection<'_>, HostError> {
        let context = self.open_context(properties)?;
        Ok(Connection::new(self, context))
    }

    /// A connection that was opened before and is not closed.
    pub fn connection(&mut self, context: u32) -> Result<Connection<'_>, HostError> {
        if self.state().streams.contains_key(&context) {
            Ok(Connection::new(self, context))
        } else {
            Err(HostError::NoSuchStream(context))
        }
    }

    fn open_context(&mut self, properties: Properties) -> Result<u32, HostError> {
        if self.failed {
            return Err(HostError::Failed);
        }
        if self.state().streams.len() >= limits::STREAMS_MAX {
            return Err(HostError::TooManyStreams { streams_max: limits::STREAMS_MAX });
        }
        let context = self.free_context();
        let stream = StreamState { properties, ..StreamState::default() };
        self.state_mut().streams.insert(context, stream);
        let callback = self.callbacks.on_context_create.clone();
        let params = (context.cast_signed(), ROOT_CONTEXT.cast_signed());
        self.call(e::ON_CONTEXT_CREATE, callback, context, params)?;
        Ok(context)
    }

    /// A stream that was opened before and is not closed.
    pub fn stream(&mut self, context: u32) -> Result<Stream<'_>, HostError> {
        if self.state().streams.contains_key(&context) {
            Ok(Stream::new(self, context))
        } else {
            Err(HostError::NoSuchStream(context))
        }
    }

    /// Whether the module is told when a stream is over.
    #[must_use]
    pub fn sees_log(&self) -> bool {
        self.callbacks.on_log.is_some()
    }

    /// Whether the module is told of the headers of answers.
    #[must_use]
    pub fn sees_response_headers(&self) -> bool {
        self.callbacks.on_response_headers.is_some()
    }

    /// Asks the module to end: `proxy_on_done` and, unless it puts the end off, `proxy_on_delete` of the root. Gives whether it
    /// has ended; if it has not, ask again until it called `proxy_done`.
    pub fn shut_down(&mut self) -> Result<bool, HostError> {
        let root = ROOT_CONTEXT.cast_signed();
        match self.state().shutdown {
            Shutdown::PutOff => return Ok(false),
            Shutdown::Done => {}
            Shutdown::No => {
                let on_done = self.callbacks.on_done.clone();
                if self.call(e::ON_DONE, on_done, ROOT_CONTEXT, root)? == Some(0) {
                    self.state_mut().shutdown = Shutdown::PutOff;
                    return Ok(false);
                }
            }
        }
        let on_delete = self.callbacks.on_delete.clone();
        self.call(e::ON_DELETE, on_delete, ROOT_CONTEXT, root)?;
        self.failed = true;
        Ok(true)
    }

    /// How often the module asked to be ticked; `None` is never.
    #[must_use]
    pub fn tick_period_ms(&self) -> Option<u32> {
        let period_ms = self.state().tick_period_ms;
        (period_ms > 0).then_some(period_ms)
    }

    /// Sets the time that the module sees.
    pub fn set_time_ns(&mut self, time_ns: u64) {
        self.state_mut().time_ns = time_ns;
    }

    /// The module's metrics.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.state().metrics
    }

    /// Sets all metrics to 0.
    pub fn reset_metrics(&mut self) {
        self.state_mut().metrics.reset();
    }

    /// Takes the log lines written since the last time.
    pub fn take_log(&mut self) -> Vec<LogLine> {
        self.state_mut().log.take()
    }

    /// The instructions that the last callback ran.
    #[must_use]
    pub fn fuel_used(&self) -> u64 {
        self.fuel_used
    }

    pub(crate) fn state(&self) -> &State {
        self.store.data()
    }

    pub(crate) fn state_mut(&mut self) -> &mut State {
        self.store.data_mut()
    }

    /// Runs one callback for a context, with fresh limits. `None` if the module lacks it.
    pub(crate) fn call<P: WasmParams, R: WasmResults>(
        &mut self,
        function: Function,
        callback: Option<TypedFunc<P, R>>,
        context: u32,
        params: P,
    ) -> Result<Option<R>, HostError> {
        if self.failed {
            return Err(HostError::Failed);
        }
        let Some(callback) = callback else { return Ok(None) };
        let limits = self.state().limits;
        let state = self.state_mut();
        state.context = context;
        state.work_left = limits.callback_work_bytes_max;
        let failed = |error: &wasmtime::Error| error::from_callback(function.name, error, &limits);
        self.store.set_fuel(limits.callback_fuel).map_err(|error| failed(&error))?;
        let result = callback.call(&mut self.store, params);
        let fuel_left = self.store.get_fuel().map_err(|error| failed(&error))?;
        self.fuel_used = limits.callback_fuel.saturating_sub(fuel_left);
        match result {
            Ok(result) => Ok(Some(result)),
            Err(error) => {
                self.failed = true;
                Err(failed(&error))
            }
        }
    }

    /// `_initialize` and then a `main`, or `_start`; few host calls are allowed there.
    fn run_constructors(&mut self, instance: &Instance) -> Result<(), HostError> {
        let initialize = self.find::<(), ()>(instance, e::INITIALIZE);
        if initialize.is_some() {
            self.call(e::INITIALIZE, initialize, ROOT_CONTEXT, ())?;
            let main = self.find::<(i32, i32), i32>(instance, e::MAIN);
            if main.is_some() {
                self.call(e::MAIN, main, ROOT_CONTEXT, (0, 0))?;
            } else {
                let main = self.find::<(), i32>(instance, e::MAIN_VOID);
                self.call(e::MAIN_VOID, main, ROOT_CONTEXT, ())?;
            }
        } else {
            let start = self.find::<(), ()>(instance, e::START);
            self.call(e::START, start, ROOT_CONTEXT, ())?;
        }
        self.state_mut().phase = Phase::Callback;
        Ok(())
    }

    fn configure(&mut self, instance: &Instance) -> Result<(), HostError> {
        let root = ROOT_CONTEXT.cast_signed();
        let create = self.callbacks.on_context_create.clone();
        self.call(e::ON_CONTEXT_CREATE, create, ROOT_CONTEXT, (root, 0))?;
        self.state_mut().configuring = true;
        let configuration = &self.state().configuration;
        let sizes = [configuration.vm_configuration.len(), configuration.configuration.len()];
        for (function, size) in [e::ON_VM_START, e::ON_CONFIGURE].into_iter().zip(sizes) {
            let callback = self.find::<(i32, i32), i32>(instance, function);
            let size = u32::try_from(size).unwrap_or(u32::MAX).cast_signed();
            if self.call(function, callback, ROOT_CONTEXT, (root, size))? == Some(0) {
                let words = self.state().log.last_error().map(str::to_owned);
                return Err(HostError::Refused { callback: function.name, words });
            }
        }
        self.state_mut().configuring = false;
        Ok(())
    }

    fn find<P: WasmParams, R: WasmResults>(
        &mut self,
        instance: &Instance,
        function: Function,
    ) -> Option<TypedFunc<P, R>> {
        instance.get_typed_func(&mut self.store, function.name).ok()
    }

    /// The next number that no open stream has; fewer than all can be open.
    fn free_context(&mut self) -> u32 {
        loop {
            self.last_context = self.last_context.checked_add(1).unwrap_or(ROOT_CONTEXT + 1);
            if !self.state().streams.contains_key(&self.last_context) {
                return self.last_context;
            }
        }
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Plugin").field("failed", &self.failed).finish_non_exhaustive()
    }
}

impl Callbacks {
    /// Signatures were checked when the module was loaded, so what is not found is not there.
    fn find(store: &mut Store<State>, instance: &Instance) -> Self {
        macro_rules! find {
            ($function:expr) => {
                instance.get_typed_func(&mut *store, $function.name).ok()
            };
        }
        macro_rules! headers {
            ($function:expr) => {
                find!($function)
                    .map(HeadersCallback::Later)
                    .or_else(|| find!($function).map(HeadersCallback::First))
            };
        }
        Self {
            on_context_create: find!(e::ON_CONTEXT_CREATE),
            on_tick: find!(e::ON_TICK),
            on_queue_ready: find!(e::ON_QUEUE_READY),
            on_http_call_response: find!(e::ON_HTTP_CALL_RESPONSE),
            on_grpc_initial_metadata: find!(e::ON_GRPC_RECEIVE_INITIAL_METADATA),
            on_grpc_receive: find!(e::ON_GRPC_RECEIVE),
            on_grpc_trailing_metadata: find!(e::ON_GRPC_RECEIVE_TRAILING_METADATA),
            on_grpc_close: find!(e::ON_GRPC_CLOSE),
            on_new_connection: find!(e::ON_NEW_CONNECTION),
            on_downstream_data: find!(e::ON_DOWNSTREAM_DATA),
            on_upstream_data: find!(e::ON_UPSTREAM_DATA),
            on_downstream_close: find!(e::ON_DOWNSTREAM_CONNECTION_CLOSE),
            on_upstream_close: find!(e::ON_UPSTREAM_CONNECTION_CLOSE),
            on_request_headers: headers!(e::ON_REQUEST_HEADERS),
            on_request_body: find!(e::ON_REQUEST_BODY),
            on_request_trailers: find!(e::ON_REQUEST_TRAILERS),
            on_response_headers: headers!(e::ON_RESPONSE_HEADERS),
            on_response_body: find!(e::ON_RESPONSE_BODY),
            on_response_trailers: find!(e::ON_RESPONSE_TRAILERS),
            on_done: find!(e::ON_DONE),
            on_log: find!(e::ON_LOG),
            on_delete: find!(e::ON_DELETE),
        }
    }
}

fn exports(store: &mut Store<State>, instance: &Instance) -> Result<GuestExports, HostError> {
    let memory = instance.get_memory(&mut *store, abi::MEMORY).ok_or(HostError::NoMemory)?;
    let allocator = instance
        .get_typed_func(&mut *store, e::MALLOC.name)
        .or_else(|_| instance.get_typed_func(&mut *store, e::ON_MEMORY_ALLOCATE.name))
        .map_err(|_| HostError::NoAllocator)?;
    Ok(GuestExports { memory, allocator })
}
