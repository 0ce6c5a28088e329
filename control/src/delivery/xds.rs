//! Telling proxies their configuration: incremental xDS, one aggregated stream a proxy.
//!
//! ```text
//!            DeltaDiscoveryRequest                      DeltaDiscoveryResponse
//!                    |                                            ^
//!   [wire]           v                                            |
//!              message::Request                            message::Response
//!                    |                                            |
//!                    v                                            |
//!   [conversation]  Conversation (pure: no socket, no clock) -----+---> message::Event --> acks
//!                     one [subscription] per type, the proxy's [memory] ^
//!                                                                      |
//!   a Snapshot (immutable) --------------------------------------------+
//! ```
//!
//! The same conversation is held by the control plane with every proxy and by a sidecar with its
//! own Envoy: for the secrets that only the sidecar has, and for everything else while the control
//! plane is away.

pub mod application;
pub mod conversation;
pub mod counts;
mod grpc;
pub mod lines;
pub mod memory;
pub mod message;
pub mod server;
mod stream;
mod subscription;
pub mod unopened;
pub mod wire;

pub use application::Application;
pub use conversation::Conversation;
pub use counts::{Counts, PLAINTEXT_LINE};
pub use memory::Memory;
pub use server::XdsServer;
pub use unopened::UnopenedListeners;
