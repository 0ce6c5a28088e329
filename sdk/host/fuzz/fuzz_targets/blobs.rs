//! Bytes that a module hands to host calls as pairs, paths, names and numbers: the host goes on.
#![no_main]

use chancery_sdk_host::{Clusters, Host, Limits, LoadedModule, PluginConfiguration, Properties};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static MODULE: LazyLock<LoadedModule> = LazyLock::new(|| {
    let bytes = wat::parse_str(include_str!("../../tests/host/blobs.wat")).expect("the text is valid");
    let host = Host::new(Limits::default()).expect("wasmtime runs here");
    host.load(&bytes).expect("the module keeps the contract")
});

fuzz_target!(|bytes: &[u8]| {
    let mut plugin = MODULE
        .start(PluginConfiguration { clusters: Clusters::All, ..PluginConfiguration::default() })
        .expect("it starts");
    let mut stream = plugin.open(Properties::new()).expect("it has room");
    let headers = [(":method", "GET"), (":path", "/")].into_iter().collect();
    stream.on_request_headers(headers, false).expect("it has no such callback");
    stream.on_request_body(bytes.to_vec(), true).expect("the host goes on");
    stream.close().expect("the stream is open");
});
