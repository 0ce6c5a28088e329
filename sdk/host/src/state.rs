//! What host calls read and write: the data of a wasmtime store.

use crate::abi::{MapType, Status};
use crate::limits::FILTER_STATE_BYTES_MAX;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::random::Random;
use crate::{HeaderMap, Limits, LocalResponse, PluginConfiguration, Properties, SharedData, limits};
use std::collections::BTreeMap;
use wasmtime::{Memory, StoreLimits, StoreLimitsBuilder, TypedFunc};

/// The context of the plugin itself; streams are numbered behind it.
pub(crate) const ROOT_CONTEXT: u32 = 1;

/// Everything that one instance of a module can reach.
pub(crate) struct State {
    pub(crate) limits: Limits,
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

/// One HTTP stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamState {
    pub(crate) properties: Properties,
    pub(crate) filter_state: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) local_response: Option<LocalResponse>,
    pub(crate) request_headers: HeaderSlot,
    pub(crate) request_trailers: HeaderSlot,
    pub(crate) response_headers: HeaderSlot,
    pub(crate) response_trailers: HeaderSlot,
    pub(crate) request_body: BodySlot,
    pub(crate) response_body: BodySlot,
    pub(crate) continued: bool,
    pub(crate) closed: bool,
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
}

impl BodySlot {
    /// Takes a piece in, and gives how many bytes there are now.
    pub(crate) fn take_in(&mut self, mut piece: Vec<u8>) -> usize {
        match &mut self.bytes {
            Some(bytes) if self.is_collected => bytes.append(&mut piece),
            bytes => *bytes = Some(piece),
        }
        self.bytes.as_ref().map_or(0, Vec::len)
    }
}

impl State {
    pub(crate) fn new(limits: Limits, shared_data: SharedData, configuration: PluginConfiguration) -> Self {
        let store_limits = StoreLimitsBuilder::new()
            .memory_size(limits.memory_bytes_max)
            .table_elements(limits::TABLE_ELEMENTS_MAX)
            .build();
        Self {
            limits,
            store_limits,
            guest: None,
            phase: Phase::Starting,
            work_left: 0,
            time_ns: configuration.time_ns,
            random: Random::new(configuration.random_seed),
            log: Log::new(configuration.log_level),
            metrics: Metrics::default(),
            shared_data,
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

    /// A header map that the module can see now.
    pub(crate) fn header_map(&mut self, map_type: MapType) -> Option<&mut HeaderMap> {
        self.stream()?.slot(map_type)?.visible()
    }
}

impl StreamState {
    /// The slot of a map; `None` for maps of calls, which this host does not make.
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

    /// Shows all maps again, as Envoy does when a stream is logged.
    pub(crate) fn show_all(&mut self) {
        for slot in [
            &mut self.request_headers,
            &mut self.request_trailers,
            &mut self.response_headers,
            &mut self.response_trailers,
        ] {
            slot.hidden = false;
        }
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
