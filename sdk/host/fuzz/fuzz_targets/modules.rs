//! Bytes taken as a module: refused, or run within the limits.
#![no_main]

use chancery_sdk_host::{Host, Limits, PluginConfiguration, Properties};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static HOST: LazyLock<Host> = LazyLock::new(|| {
    let limits = Limits { callback_fuel: 100_000, memory_bytes_max: 1 << 20, ..Limits::default() };
    Host::new(limits).expect("wasmtime runs here")
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(module) = HOST.load(bytes) else { return };
    let Ok(mut plugin) = module.start(PluginConfiguration::default()) else { return };
    let Ok(mut stream) = plugin.open(Properties::new()) else { return };
    let headers = [(":method", "GET"), (":path", "/")].into_iter().collect();
    let _outcome = stream.on_request_headers(headers, true);
});
