//! Tests of a filter without Envoy and without Wasm: the filter's own type, natively, in microseconds.
//!
//! ```text
//! Plugin::start(configuration) ── exchange() ── request_headers(…), request_body(…), answer_call(…), … ──> Outcome
//!                              └─ connection() ── client_sends(…), …
//! ```
//!
//! [`Host`] stands in Envoy's place. It holds what a filter holds and lets go on what a filter lets go on, as Envoy does, so that
//! a test can look at what reached the service: nothing, as long as the filter waits. Time, attributes and the answers to
//! calls are what the test says. Whatever happens is written down: a [`Recording`] can be compared, and replayed against
//! another version or another configuration of the filter.

mod connection;
mod exchange;
mod host;
mod plugin;
mod recording;

pub use connection::Connection;
pub use exchange::{Exchange, Outcome};
pub use host::{Host, MadeCall, Message, Reply};
pub use plugin::Plugin;
pub use recording::{Event, Recording, Step};
