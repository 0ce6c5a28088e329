//! The admission of modules: every finding as a file with its golden output, and what instrumented modules do.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod any_bytes;
mod cases;
mod defused;
mod generated;
mod same_meaning;
mod words;

use chancery_sdk_admission::{Admission, Terms, admit, limit_calls};
use chancery_sdk_host::{HeaderMap, Host, HostError, Limits, Plugin, PluginConfiguration, Properties};

/// What each module of the tests has: memory, marker, allocator, and calls of the host.
const PRELUDE: &str = r#"
    (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
    (import "env" "proxy_get_header_map_pairs" (func $pairs (param i32 i32 i32) (result i32)))
    (import "env" "proxy_close_stream" (func $close (param i32) (result i32)))
    (import "env" "proxy_send_local_response" (func $respond (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 2)
    (func (export "proxy_abi_version_0_2_1"))
"#;
/// An allocator that always gives the same place.
const ALLOCATOR: &str = r#"(func (export "malloc") (param i32) (result i32) (i32.const 4096))"#;

fn module(text: &str) -> Vec<u8> {
    wat::parse_str(format!("(module {PRELUDE} {text})")).unwrap()
}

/// Terms with small budgets, so that tests end soon.
fn terms() -> Terms {
    Terms { callback_budget: 100_000, start_budget: 1_000_000, ..Terms::default() }
}

fn admitted(bytes: &[u8], terms: &Terms) -> Vec<u8> {
    let Admission { findings, module, .. } = admit(bytes, terms);
    module.unwrap_or_else(|| panic!("refused: {findings:?}")).bytes
}

/// A host whose own fuel never ends before a budget of the tests.
fn host() -> Host {
    Host::for_few_calls(Limits { callback_fuel: 100_000_000, ..Limits::default() }).unwrap()
}

fn start(bytes: &[u8]) -> Result<Plugin, HostError> {
    host().load(bytes)?.start(PluginConfiguration::default())
}

fn headers() -> HeaderMap {
    [(":method", "GET"), (":path", "/a?b=c"), ("x-a", "b")].into_iter().collect()
}

/// Handles the headers of a request and gives what was logged.
fn ask(plugin: &mut Plugin) -> Result<Vec<String>, HostError> {
    plugin.open(Properties::new())?.on_request_headers(headers(), true)?;
    Ok(plugin.take_log().into_iter().map(|line| line.message).collect())
}

fn error_of<T>(result: Result<T, HostError>) -> String {
    match result {
        Ok(_) => panic!("this ended well"),
        Err(error) => error.to_string(),
    }
}
