//! What host calls read and write: the data of a wasmtime store.

use crate::abi::{BufferType, MapType, Status, StreamType, Version};
use crate::callouts::Callouts;
use crate::limits::FILTER_STATE_BYTES_MAX;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::random::Random;
use crate::shared_queues::SharedQueues;
use crate::{HeaderMap, Limits, LocalResponse, PluginConfiguration, Properties, SharedData, limits};
use std::collections::{BTreeMap, BTreeSet};
use wasmtime::{Memory, StoreLimits, StoreLimitsBuilder, TypedFunc};

/// The context of the plugin itself; streams are numbered behind it.
pub(crate) const ROOT_CONTEXT: u32 = 1;

/// Everything that one instance of a module can reach.
pub(crate) struct State {
    pub(crate) limits: Limits,
    /// The version that the module speaks.
    pub(crate) version: Version,
    pub(crate) store_limits: StoreLimits,
    /// `None` only until the module is instantiated.
    pub(crate) guest: Option<GuestExports>,
    pub(crate) phase: Phase,
    /// Bytes of work that the running callback may still cause.
    pub(crate) work_left: u64,
    pub(crate) configuration: PluginConfiguration,
    /// Whether the plugin's configuration can be read: during start and configuration only.
    pub(crate) configuring: bool,
    pub(crate) time_ns: u64,
    pub(crate) random: Random,
    pub(crate) log: Log,
    pub(crate) metrics: Metrics,
    pub(crate) shared_data: SharedData,
    pub(crate) shared_queues: SharedQueues,
    /// By which shared queues know the plugin.
    pub(crate) plugin_number: u64,
    pub(crate) callouts: Callouts,
    pub(crate) shutdown: Shutdown,
    pub(crate) tick_period_ms: u32,
    pub(crate) streams: BTreeMap<u32, StreamState>,
    /// The context that host calls concern.
    pub(crate) context: u32,
}

/// What of a module host calls use themselves.
#[derive(Clone)]
pub(crate) struct GuestExports {
    pub(crate) memory: Memory,
    pub(crate) allocator: TypedFunc<i32, i32>,
}

/// Which host calls are allowed at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// In `_initialize` or `_start`: the log and WASI.
    Starting,
    /// In a callback: all.
    Callback,
    /// In the allocator, called for a host call: the log, output and the clock.
    Allocating,
}

/// How far the end of a plugin has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// It was not asked for.
    No,
    /// The module wants to do something first.
    PutOff,
    /// The module has done it.
    Done,
}

/// One HTTP stream, or one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamState {
    pub(crate) properties: Properties,
    pub(crate) filter_state: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) local_response: Option<LocalResponse>,
    /// The answer was given in the callback that runs.
    pub(crate) answers_now: bool,
    pub(crate) request_headers: HeaderSlot,
    pub(crate) request_trailers: HeaderSlot,
    pub(crate) response_headers: HeaderSlot,
    pub(crate) response_trailers: HeaderSlot,
    pub(crate) request_body: BodySlot,
    pub(crate) response_body: BodySlot,
    pub(crate) downstream_data: BodySlot,
    pub(crate) upstream_data: BodySlot,
    /// What of the stream is to go on after this callback.
    pub(crate) continued: BTreeSet<StreamType>,
    /// What of the stream or connection is closed after this callback.
    pub(crate) closed: BTreeSet<StreamType>,
    /// Headers can be read again, and not be changed: the stream is being logged.
    pub(crate) is_logged: bool,
}

/// A header map, and whether the module can see it now.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeaderSlot {
    pub(crate) map: Option<HeaderMap>,
    pub(crate) hidden: bool,
}

/// What the module can see of a body: a piece, or what was collected of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct BodySlot {
    pub(crate) bytes: Option<Vec<u8>>,
    /// The next piece is put behind these bytes, as the module asked for.
    pub(crate) is_collected: bool,
    /// It went on.
    pub(crate) hidden: bool,
    /// The message ends with it.
    pub(crate) ends: bool,
}

impl BodySlot {
    /// Takes a piece in, and gives how many bytes there are now.
    pub(crate) fn take_in(&mut self, mut piece: Vec<u8>) -> usize {
        self.hidden = false;
        match &mut self.bytes {
            Some(bytes) if self.is_collected => bytes.append(&mut piece),
            bytes => *bytes = Some(piece),
        }
        self.bytes.as_ref().map_or(0, Vec::len)
    }

    pub(crate) fn visible(&mut self) -> Option<&mut Vec<u8>> {
        if self.hidden { None } else { self.bytes.as_mut() }
    }
}

impl State {
    pub(crate) fn new(
        limits: Limits,
        version: Version,
        shared: (SharedData, SharedQueues),
        configuration: PluginConfiguration,
    ) -> Self {
        let (shared_data, shared_queues) = shared;
        let store_limits = StoreLimitsBuilder::new()
            .memory_size(limits.memory_bytes_max)
            .table_elements(limits::TABLE_ELEMENTS_MAX)
            .build();
        Self {
            limits,
            version,
            store_limits,
            guest: None,
            phase: Phase::Starting,
            work_left: 0,
            time_ns: configuration.time_ns,
            random: Random::new(configuration.random_seed),
            log: Log::new(configuration.log_level),
            metrics: Metrics::default(),
            shared_data,
            plugin_number: shared_queues.join(),
            shared_queues,
            callouts: Callouts::default(),
            shutdown: Shutdown::No,
            tick_period_ms: 0,
            configuring: false,
            configuration,
            streams: BTreeMap::new(),
            context: ROOT_CONTEXT,
        }
    }

    /// The stream that host calls concern; the root has none.
    pub(crate) fn stream(&mut self) -> Option<&mut StreamState> {
        self.streams.get_mut(&self.context)
    }

    /// A header map that the module can read now.
    pub(crate) fn header_map(&self, map_type: MapType) -> Option<&HeaderMap> {
        let stream = self.streams.get(&self.context);
        match stream.and_then(|stream| stream.readable(map_type)) {
            Some(map) => Some(map),
            None => self.callouts.header_map(map_type),
        }
    }

    /// A header map that the module can change now. Trailers that a message lacks are made when the module wants to change
    /// them in the callback about its end.
    pub(crate) fn header_map_mut(&mut self, map_type: MapType) -> Option<&mut HeaderMap> {
        let stream = self.stream()?;
        let ends_here = match map_type {
            MapType::RequestTrailers => stream.request_body.ends && stream.request_body.visible().is_some(),
            MapType::ResponseTrailers => {
                stream.response_body.ends && stream.response_body.visible().is_some()
            }
            _ => false,
        };
        let slot = stream.slot(map_type)?;
        if ends_here && slot.map.is_none() {
            slot.show(HeaderMap::new());
        }
        slot.visible()
    }
}

impl StreamState {
    /// The slot of a map; `None` for maps of answers to calls, which are no stream's.
    pub(crate) fn slot(&mut self, map_type: MapType) -> Option<&mut HeaderSlot> {
        match map_type {
            MapType::RequestHeaders => Some(&mut self.request_headers),
            MapType::RequestTrailers => Some(&mut self.request_trailers),
            MapType::ResponseHeaders => Some(&mut self.response_headers),
            MapType::ResponseTrailers => Some(&mut self.response_trailers),
            MapType::GrpcReceiveInitialMetadata
            | MapType::GrpcReceiveTrailingMetadata
            | MapType::HttpCallResponseHeaders
            | MapType::HttpCallResponseTrailers => None,
        }
    }

    /// A map that can be read now.
    pub(crate) fn readable(&self, map_type: MapType) -> Option<&HeaderMap> {
        let (slot, can_be_logged) = match map_type {
            MapType::RequestHeaders => (&self.request_headers, true),
            MapType::RequestTrailers => (&self.request_trailers, false),
            MapType::ResponseHeaders => (&self.response_headers, true),
            MapType::ResponseTrailers => (&self.response_trailers, true),
            _ => return None,
        };
        if slot.hidden && !(self.is_logged && can_be_logged) { None } else { slot.map.as_ref() }
    }

    /// The slot of a buffer; `None` for those that are no stream's.
    pub(crate) fn body(&mut self, buffer_type: BufferType) -> Option<&mut BodySlot> {
        match buffer_type {
            BufferType::HttpRequestBody => Some(&mut self.request_body),
            BufferType::HttpResponseBody => Some(&mut self.response_body),
            BufferType::DownstreamData => Some(&mut self.downstream_data),
            BufferType::UpstreamData => Some(&mut self.upstream_data),
            _ => None,
        }
    }

    /// Keeps a value as filter state `wasm.<name>`.
    pub(crate) fn set_filter_state(&mut self, name: Vec<u8>, value: Vec<u8>) -> Result<(), Status> {
        let others = self.filter_state.iter().filter(|(other, _)| **other != name);
        let bytes: usize = others.map(|(name, value)| name.len() + value.len()).sum();
        if bytes + name.len() + value.len() > FILTER_STATE_BYTES_MAX {
            return Err(Status::InternalFailure);
        }
        self.filter_state.insert(name, value);
        Ok(())
    }
}

impl HeaderSlot {
    pub(crate) fn show(&mut self, map: HeaderMap) {
        *self = Self { map: Some(map), hidden: false };
    }

    pub(crate) fn visible(&mut self) -> Option<&mut HeaderMap> {
        if self.hidden { None } else { self.map.as_mut() }
    }
}
