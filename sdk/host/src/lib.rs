//! A proxy-wasm host on wasmtime: runs a module as Envoy would, one request at a time, with limits.
//!
//! ```text
//! bytes --Host::load--> LoadedModule --start--> Plugin --open--> Stream --on_request_headers--> Outcome
//! ```
//!
//! The host behaves as Envoy 1.40 does, measured, where a module can tell the difference: data goes
//! into memory that the module's own allocator gives, nothing is allocated for an empty value, keys
//! are lower-cased, a single-header call gives the first value only, and request headers are gone
//! in response callbacks. Unlike Envoy it never crashes and never hangs: a callback that traps, uses
//! up its fuel or makes the host work too much ends in a [`HostError`], after which the plugin is
//! failed and says so.
//!
//! Nothing here reads a clock or draws randomness: both come in with [`PluginConfiguration`], so
//! the same module, requests and configuration give the same answers.

pub mod callouts;
pub mod connection;
pub mod error;
pub mod headers;
pub mod limits;
pub mod local_response;
pub mod log;
pub mod metrics;
pub mod module;
pub mod plugin;
pub mod property;
pub mod proxy;
pub mod shared_data;
pub mod shared_queues;
pub mod stream;

mod answers;
mod calls;
mod guest;
mod random;
mod state;
mod validate;

pub use callouts::{Call, GrpcCall, HttpAnswer, HttpCall};
pub use chancery_sdk_abi as abi;
pub use connection::{Connection, Peer};
pub use error::HostError;
pub use headers::HeaderMap;
pub use limits::Limits;
pub use local_response::LocalResponse;
pub use log::LogLine;
pub use metrics::Metrics;
pub use module::{Host, LoadedModule};
pub use plugin::{Clusters, Plugin, PluginConfiguration};
pub use property::{Properties, PropertyValue};
pub use proxy::{Exchange, Exchanged, Failure, Message, Proxy, Script, ScriptedAnswer};
pub use shared_data::SharedData;
pub use shared_queues::SharedQueues;
pub use stream::{ClosedStream, Outcome, Stream};
