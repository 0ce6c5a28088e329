//! Custom Envoy filters in Rust: what a filter is, what it may ask, and how it is tested.
//!
#![doc = include_str!("../README.md")]
//!
//! # The parts
//!
//! ```text
//! Envoy ── proxy-wasm ── envoy ──┐                    ┌── HttpFilter, TcpFilter: what a filter is
//!                                ├─ Host ── course ───┤
//! a test ─────────── testing ────┘                    └── Headers, Body, Whole, Proxy, …: what it may ask, where
//! ```
//!
//! `course` is the heart: what a filter is shown when, and what the proxy holds meanwhile. It knows no Envoy and no test.

pub mod config;
pub mod host;
pub mod json;
pub mod media;
pub mod testing;

mod answer;
mod body;
mod callout;
mod course;
#[cfg(target_arch = "wasm32")]
pub mod envoy;
mod filter;
mod headers;
mod metrics;
mod proxy;
mod shared;
mod tcp;

pub use answer::Answer;
pub use body::{Body, Whole};
pub use callout::{Call, CallAnswer, CallError, CallId};
pub use chancery_sdk_abi as abi;
pub use chancery_sdk_abi::LogLevel as Level;
pub use config::{ConfigError, NoConfig};
pub use filter::{Ended, HttpFilter, Next};
pub use headers::{HeaderMap, Headers, Repeated};
pub use host::Host;
pub use metrics::{Counter, Gauge, Histogram};
pub use proxy::{Proxy, SHARED_TRIES_MAX};
pub use shared::{Conflict, Shared};
pub use tcp::{TcpFilter, TcpNext};

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub use proxy_wasm;

/// Makes a module of a filter of HTTP requests: `chancery_sdk::http_filter!(MyFilter);`, once in a crate of type `cdylib`.
///
/// Natively it only sees to it that the type is a filter.
#[macro_export]
macro_rules! http_filter {
    ($filter:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            $crate::proxy_wasm::main! {{ $crate::envoy::run_http::<$filter>(); }}
        };

        const _: () = {
            const fn is_a_filter<F: $crate::HttpFilter<$crate::testing::Host>>() {}
            is_a_filter::<$filter>();
        };
    };
}

/// Makes a module of a filter of TCP connections: `chancery_sdk::tcp_filter!(MyFilter);`, once in a crate of type `cdylib`.
#[macro_export]
macro_rules! tcp_filter {
    ($filter:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            $crate::proxy_wasm::main! {{ $crate::envoy::run_tcp::<$filter>(); }}
        };

        const _: () = {
            const fn is_a_filter<F: $crate::TcpFilter<$crate::testing::Host>>() {}
            is_a_filter::<$filter>();
        };
    };
}
