//! The host, seen through modules written in WebAssembly's text form: good, odd and hostile ones.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

mod blobs;
mod hostile;
mod load;
mod streams;
mod surrounded;
mod surroundings;

use chancery_sdk_host::abi::LogLevel;
use chancery_sdk_host::{HeaderMap, Host, HostError, Limits, Plugin, PluginConfiguration, Properties};

/// What most modules need: a memory, a bump allocator, the version, and a log of whole strings.
const PRELUDE: &str = r#"
    (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
    (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_get_header_map_pairs" (func $pairs (param i32 i32 i32) (result i32)))
    (import "env" "proxy_set_header_map_pairs" (func $set_pairs (param i32 i32 i32) (result i32)))
    (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_replace_header_map_value" (func $replace (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_remove_header_map_value" (func $remove (param i32 i32 i32) (result i32)))
    (import "env" "proxy_get_property" (func $get_property (param i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_set_property" (func $set_property (param i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_get_buffer_bytes" (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_set_buffer_bytes" (func $set_buffer (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
    (import "env" "proxy_get_metric" (func $get_metric (param i32 i32) (result i32)))
    (import "env" "proxy_get_shared_data" (func $get_shared (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_set_shared_data" (func $set_shared (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_get_current_time_nanoseconds" (func $time (param i32) (result i32)))
    (import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))
    (import "env" "proxy_http_call" (func $http (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes (param i32 i32) (result i32)))
    (import "env" "proxy_send_local_response" (func $respond (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 2)
    (global $top (mut i32) (i32.const 4096))
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "malloc") (param $size i32) (result i32)
        (global.get $top)
        (global.set $top (i32.add (global.get $top) (local.get $size))))
    ;; Logs the bytes whose pointer and length stand at 0 and 4.
    (func $log_result (drop (call $log (i32.const 2) (i32.load (i32.const 0)) (i32.load (i32.const 4)))))
    ;; Logs a status as a digit or letter.
    (func $log_status (param $status i32)
        (i32.store8 (i32.const 8) (i32.add (local.get $status) (i32.const 48)))
        (drop (call $log (i32.const 2) (i32.const 8) (i32.const 1))))
"#;

/// A module of the prelude and this text, as bytes.
fn module(text: &str) -> Vec<u8> {
    wat::parse_str(format!("(module {PRELUDE} {text})")).unwrap()
}

fn host() -> Host {
    Host::new(Limits { callback_fuel: 1_000_000, memory_bytes_max: 16 << 20, ..Limits::default() }).unwrap()
}

fn start(text: &str) -> Result<Plugin, HostError> {
    host().load(&module(text))?.start(PluginConfiguration::default())
}

/// Headers as they come from a client, one name twice.
fn headers() -> HeaderMap {
    [(":method", "GET"), (":path", "/a?b=c"), ("X-Twice", "one"), ("x-twice", "two"), ("x-empty", "")]
        .into_iter()
        .collect()
}

/// The lines that a module logs while it handles the request headers.
fn log_of_request(plugin: &mut Plugin, properties: Properties) -> Vec<String> {
    plugin.take_log();
    plugin.open(properties).unwrap().on_request_headers(headers(), true).unwrap();
    messages(plugin)
}

fn messages(plugin: &mut Plugin) -> Vec<String> {
    let lines = plugin.take_log();
    lines
        .into_iter()
        .inspect(|line| assert_eq!(line.level, LogLevel::Info))
        .map(|line| line.message)
        .collect()
}

/// The message of the error, which must be one.
fn error_of<T>(result: Result<T, HostError>) -> String {
    match result {
        Ok(_) => panic!("this was accepted"),
        Err(error) => error.to_string(),
    }
}
